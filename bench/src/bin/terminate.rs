//! How long an agent goes on after it was told to stop, by what it does; what built-ins that never look do to that; how soon
//! an agent that outgrows its memory is gone; and what many agents leave behind.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin terminate [-- [ROUNDS] [--cycles N]]
//! ```
//!
//! Times run from `terminate` until the agent's end is told: its runtime is destroyed by then. *Stopped* runs until it has
//! left its script, which a call that was pending tells.

#[path = "../../../crates/agents/tests/support/shapes.rs"]
mod shapes;

use std::time::{Duration, Instant};

use peristyle_agents::{AgentHandle, AgentOptions, Cluster, Code, Exit};
use shapes::SHAPES;

/// Time for an agent to get into the middle of what it does.
const SETTLE: Duration = Duration::from_millis(2);
/// Limit of the agents that outgrow their memory.
const LIMIT_BYTES: u64 = 64 << 20;

/// Built-ins that do not ask whether to go on: what is prepared, what runs, and a size.
const DEAF: [(&str, &str, &str); 14] = [
    ("indexOf, 64 Ki in 1 Mi", "const a = 'a'.repeat(1 << 20), b = 'a'.repeat(1 << 16) + 'b';", "a.indexOf(b)"),
    ("includes, array of 4 Mi", "const a = new Array(1 << 22).fill('x');", "a.includes('y')"),
    ("replaceAll, 4 Mi places", "const a = 'ab'.repeat(1 << 22);", "a.replaceAll('a', 'cd')"),
    ("split, 4 Mi parts", "const a = 'ab'.repeat(1 << 22);", "a.split('a')"),
    ("join, 4 Mi parts", "const a = new Array(1 << 22).fill('ab');", "a.join()"),
    ("normalize, 4 Mi", "const a = '\\u1e9b\\u0323'.repeat(1 << 21);", "a.normalize('NFKD')"),
    ("JSON.parse, 12 MiB", "const a = `[${'{\"a\":1},'.repeat(1.5e6)}0]`;", "JSON.parse(a)"),
    (
        "JSON.stringify, 1 Mi objects",
        "const a = Array.from({ length: 1 << 20 }, (_, i) => ({ i }));",
        "JSON.stringify(a)",
    ),
    ("sort, 1 Mi numbers", "const a = Array.from({ length: 1 << 20 }, Math.random);", "a.sort()"),
    ("typed sort, 4 Mi", "const a = Float64Array.from({ length: 1 << 22 }, Math.random);", "a.sort()"),
    ("typed fill, 64 MiB", "const a = new Float64Array(1 << 23);", "for (let i = 0; i < 1; i++) a.fill(i + 0.5)"),
    ("BigInt, 250 000 digits to text", "const a = 3n ** (1n << 19n);", "`${a}`"),
    (
        "structuredClone, 256 Ki objects",
        "const a = Array.from({ length: 1 << 18 }, (_, i) => ({ i }));",
        "structuredClone(a)",
    ),
    ("compile, 4 MiB of source", "const a = 'f(1);'.repeat(1 << 20);", "new Function(a)"),
];

/// What outgrows the limit, as in the tests.
const GROWTHS: [(&str, &str); 8] = [
    ("objects", "const all = []; for (let i = 0;; i++) all.push({ a: i });"),
    ("strings", "const all = []; for (let i = 0;; i++) all.push(`${i}`.repeat(100));"),
    ("push", "const all = []; for (;;) all.push(1.5);"),
    ("Map", "const all = new Map(); for (let i = 0;; i++) all.set(i, i);"),
    ("ArrayBuffer", "const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));"),
    ("SharedArrayBuffer", "const all = []; for (;;) all.push(new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(1));"),
    ("closures", "const all = []; for (let i = 0;; i++) all.push(() => i);"),
    (
        "wasm memory",
        "const m = new WebAssembly.Memory({ initial: 1 }); for (;;) { m.grow(16); new Uint8Array(m.buffer).fill(1, -65536); }",
    ),
];

fn spawn(cluster: &Cluster, text: String, options: AgentOptions) -> AgentHandle {
    let agent = cluster.spawn(Code::source("bench.mjs", text), options).expect("a thread");
    match agent.receive().wait() {
        Ok(_) => agent,
        Err(_) => panic!("it does not come up: {:?}", agent.join().wait()),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Median and 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort();
    [ms(times[times.len() / 2]), ms(times[(times.len() * 99 / 100).min(times.len() - 1)])]
}

fn shapes(cluster: &Cluster, rounds: usize) {
    println!("terminate, {rounds} rounds a shape       stopped p50       p99      ended p50       p99");
    let (mut all_stopped, mut all_ended) = (Vec::new(), Vec::new());
    for shape in &SHAPES {
        let (mut stopped, mut ended) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let agent = spawn(cluster, shape.program(), AgentOptions::default());
            let pending = agent.eval::<()>("new Promise(() => {})");
            std::thread::sleep(SETTLE);
            let start = Instant::now();
            agent.terminate();
            // Answered either way; which tells when.
            let _ = pending.wait();
            stopped.push(start.elapsed());
            assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()), "{}", shape.name);
            ended.push(start.elapsed());
        }
        all_stopped.extend_from_slice(&stopped);
        all_ended.extend_from_slice(&ended);
        let ([a, b], [c, d]) = (percentiles(stopped), percentiles(ended));
        println!("  {:<34} {a:>9.3} ms {b:>7.3} ms   {c:>9.3} ms {d:>7.3} ms", shape.name);
    }
    let ([a, b], [c, d]) = (percentiles(all_stopped), percentiles(all_ended));
    println!("  {:<34} {a:>9.3} ms {b:>7.3} ms   {c:>9.3} ms {d:>7.3} ms\n", "all");
}

fn deaf(cluster: &Cluster) {
    println!("built-ins that do not look            alone   ended after terminate in their first quarter");
    for (name, before, text) in DEAF {
        let program = format!(
            "{before} export const alone = () => {{ const t = performance.now(); {text}; return performance.now() - t; }};
             onmessage = () => {{ postMessage('in'); {text}; for (;;); }}; postMessage('up');"
        );
        let agent = spawn(cluster, program, AgentOptions { heap_bytes: 2 << 30, ..AgentOptions::default() });
        let alone: f64 = agent.call("alone", &()).wait().expect("it works");
        agent.post(&()).expect("there is room");
        agent.receive().wait().expect("it is in it");
        std::thread::sleep(Duration::from_secs_f64(alone / 4e3));
        let start = Instant::now();
        agent.terminate();
        agent.join().wait();
        println!("  {name:<34} {alone:>7.1} ms {:>9.1} ms", ms(start.elapsed()));
    }
    println!();
}

/// From three quarters of the limit, all of it touched, to the end.
fn memory(cluster: &Cluster, rounds: usize) {
    println!("outgrowing {} MiB, {rounds} rounds    from 48 MiB until its end is told, p50   p99", LIMIT_BYTES >> 20);
    let before =
        "const kept = []; while (kept.length < 48) kept.push(new Uint8Array(1 << 20).fill(1)); postMessage('up');";
    for (name, text) in GROWTHS {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let options = AgentOptions { heap_bytes: LIMIT_BYTES, ..AgentOptions::default() };
            let agent = spawn(cluster, format!("{before} {text}"), options);
            let start = Instant::now();
            let exit = agent.join().wait();
            times.push(start.elapsed());
            assert_eq!(exit, Exit::OutOfMemory { heap_bytes: LIMIT_BYTES }, "{name}");
        }
        let [median, most] = percentiles(times);
        println!("  {name:<34} {median:>22.1} ms {most:>9.1} ms");
    }
    println!();
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or(":0");
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap_or(0)
}

fn cycles(cluster: &Cluster, cycles: usize) {
    let text = "const { port1 } = new MessageChannel(); port1.onmessage = () => {}; onmessage = () => {}; postMessage('up'); for (;;);";
    let round = || {
        let agent = spawn(cluster, text.into(), AgentOptions::default());
        agent.terminate();
        agent.join().wait();
    };
    (0..cycles.min(1000)).for_each(|_| round());
    let (threads, first) = (status("Threads"), status("VmRSS"));
    println!("{cycles} cycles of spawn and terminate: {first} kB at first, {threads} threads");
    let start = Instant::now();
    for part in 1..=10 {
        (0..cycles / 10).for_each(|_| round());
        let now = status("VmRSS");
        let drift = (now as f64 / first as f64 - 1.0) * 100.0;
        println!("  {:>7} cycles  {now:>8} kB  {drift:>+6.2} %  {} threads", cycles / 10 * part, status("Threads"));
    }
    println!("  {:.3} ms a cycle\n", ms(start.elapsed()) / cycles.max(1) as f64);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse().expect("an argument is a number");
    let cluster = Cluster::new().expect("an engine");
    if let Some(at) = arguments.iter().position(|argument| argument == "--cycles") {
        return cycles(&cluster, arguments.get(at + 1).map_or(10_000, number));
    }
    let rounds = arguments.first().map_or(50, number);
    shapes(&cluster, rounds);
    deaf(&cluster);
    memory(&cluster, rounds.div_ceil(10));
    cycles(&cluster, rounds * 10);
}
