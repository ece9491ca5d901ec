//! An agent that outgrows its limit ends alone, whatever it grows, and before it has much more than the limit.
//!
//! Each kind of growth runs in a process of its own, whose peak of resident memory is measured by the kernel, beside agents
//! that work on.

use std::process::Command;

use peristyle_agents::{AgentHandle, AgentOptions, CallError, Cluster, Code, Exit};

const LIMIT_BYTES: u64 = 64 << 20;

/// The most that an agent may take.
const BOUND_BYTES: u64 = LIMIT_BYTES / 4 * 5;
/// The most that it may take in a built-in that allocates small things and never asks whether to go on.
const BOUND_DEAF_BYTES: u64 = LIMIT_BYTES / 2 * 3;

/// What grows for ever. Each keeps what it makes, and touches it.
const GROWTHS: [(&str, &str); 19] = [
    ("objects", "const all = []; for (let i = 0;; i++) all.push({ a: i, b: [i], c: { d: i } });"),
    ("linked", "let all = null; for (let i = 0;; i++) all = { next: all, i };"),
    ("strings", "const all = []; for (let i = 0;; i++) all.push(`${i}`.repeat(1000));"),
    (
        "doubled",
        "let all = 'x'; const kept = []; for (;;) { all += all; kept.push(all.charCodeAt(all.length - 1), all); }",
    ),
    ("push", "const all = []; for (;;) all.push(1.5);"),
    ("array", "const all = []; for (;;) all.push(new Array(1000).fill(1.5));"),
    ("big-array", "const all = []; for (;;) all.push(new Array(1 << 20).fill(0.5));"),
    ("map", "const all = new Map(); for (let i = 0;; i++) all.set(i, i);"),
    ("set", "const all = new Set(); for (let i = 0;; i++) all.add(`${i}`);"),
    ("buffers", "const all = []; for (;;) all.push(new Uint8Array(new ArrayBuffer(1 << 20)).fill(1));"),
    ("small-buffers", "const all = []; for (;;) all.push(new Uint8Array(new ArrayBuffer(4096)).fill(1));"),
    ("shared", "const all = []; for (;;) all.push(new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(1));"),
    (
        "resized",
        "const all = new ArrayBuffer(0, { maxByteLength: 60 << 20 }), more = []; for (;;) { if (all.byteLength < 60 << 20) all.resize(all.byteLength + 65536); new Uint8Array(all).fill(1); more.push(new ArrayBuffer(65536)); }",
    ),
    (
        "wasm",
        "const memory = new WebAssembly.Memory({ initial: 1 }); for (;;) { memory.grow(16); new Uint8Array(memory.buffer).fill(1); }",
    ),
    ("typed", "const all = []; for (;;) all.push(new Float64Array(100_000).fill(1));"),
    ("closures", "const all = []; for (let i = 0;; i++) { const kept = [i]; all.push(() => kept.push(i)); }"),
    (
        "regexps",
        "const all = []; for (let i = 0;; i++) { const one = new RegExp(`^(?:a|b${i})*${'x'.repeat(1000)}$`); one.test('abab'); all.push(one); }",
    ),
    (
        "modules",
        "for (let i = 0;; i++) await import(`data:text/javascript,export const n = ${i}; /* ${'x'.repeat(1 << 16)} */`);",
    ),
    ("parsed", "const text = `[${'[[]],'.repeat(1 << 21)}0]`; const all = []; for (;;) all.push(JSON.parse(text));"),
];

fn kibibytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Agents that work while another one ends. They keep nothing: the process's memory is measured beside them.
fn bystanders(cluster: &Cluster) -> Vec<AgentHandle> {
    let text = "let n = 0; setInterval(() => { n++; }, 1);
                export const count = () => n; export const echo = (x) => x;";
    let spawn = |_| cluster.spawn(Code::source("bystander.ts", text), AgentOptions::default()).unwrap();
    let agents: Vec<_> = (0..2).map(spawn).collect();
    agents.iter().for_each(|agent| assert_eq!(agent.call::<u32>("echo", &[7]).wait(), Ok(7)));
    agents
}

fn limited() -> AgentOptions {
    AgentOptions { heap_bytes: LIMIT_BYTES, ..AgentOptions::default() }
}

/// Runs in a process of its own.
#[test]
fn grow() {
    let Ok(kind) = std::env::var("PERISTYLE_TEST_GROWTH") else { return };
    let (_, text) = GROWTHS.iter().find(|(name, _)| *name == kind).unwrap();
    let cluster = Cluster::new().unwrap();
    let bystanders = bystanders(&cluster);
    // The kernel's peak begins again.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kibibytes("VmRSS");
    let greedy = cluster.spawn(Code::source("greedy.ts", *text), limited()).unwrap();
    let pending = greedy.call::<()>("nothing", &());
    let exit = greedy.join().wait();
    let peak = (kibibytes("VmHWM") - before) << 10;
    assert_eq!(exit, Exit::OutOfMemory { heap_bytes: LIMIT_BYTES });
    assert_eq!(pending.wait(), Err(CallError::Ended));
    let bound = if kind == "parsed" { BOUND_DEAF_BYTES } else { BOUND_BYTES };
    assert!(peak <= bound, "{kind}: {peak} bytes");
    for agent in bystanders {
        let count = agent.call::<u32>("count", &()).wait().unwrap();
        assert_eq!(agent.call::<String>("echo", &["still here"]).wait(), Ok("still here".into()));
        // Its timer goes on, too.
        while agent.call::<u32>("count", &()).wait().unwrap() == count {}
    }
}

#[test]
fn whatever_grows_ends_its_agent_alone_and_in_time() {
    for (kind, _) in GROWTHS {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", "grow"]).env("PERISTYLE_TEST_GROWTH", kind).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{kind}: {:?}\n{text}", output.status);
    }
}

fn spawn(text: &str) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::source("x.ts", text), limited()).unwrap()
}

#[test]
fn a_request_that_can_never_be_met_is_refused_and_the_agent_goes_on() {
    const OUT: &str = "string: out of memory";
    for (request, name) in [
        ("new ArrayBuffer(1 << 30)", OUT),
        ("new ArrayBuffer(8, { maxByteLength: 1 << 30 })", OUT),
        ("new Uint8Array(1 << 30).fill(1)", OUT),
        ("new Float64Array(1 << 27)", OUT),
        ("new SharedArrayBuffer(1 << 30)", OUT),
        ("new WebAssembly.Memory({ initial: 16384 })", OUT),
        ("new WebAssembly.Memory({ initial: 16384, maximum: 16384, shared: true })", OUT),
        ("new WebAssembly.Memory({ initial: 1 }).grow(16384)", "RangeError"),
        ("'x'.repeat(1 << 29).split('')", OUT),
        ("new Array(1 << 27).fill(0)", OUT),
    ] {
        let agent = spawn(&format!(
            "export const ask = () => {{ try {{ {request}; return 'granted'; }} catch (e) {{ return e.name ?? `${{typeof e}}: ${{e}}`; }} }};
             export const live = () => [...new Array(1000).keys()].length;"
        ));
        for _ in 0..3 {
            assert_eq!(agent.call::<String>("ask", &()).wait().as_deref(), Ok(name), "{request}");
            assert_eq!(agent.call::<u32>("live", &()).wait(), Ok(1000), "{request}");
        }
        assert_eq!(agent.join().wait(), Exit::Finished, "{request}");
    }
}

#[test]
fn garbage_is_no_use() {
    // Thirty times the limit, of which little lives at any time, in pieces small and large.
    let agent = spawn(
        "export const churn = () => {
           let kept = [], sum = 0;
           for (let i = 0; i < 100; i++) { kept = new Uint8Array(20 << 20).fill(i); sum += kept[5]; }
           for (let i = 0; i < 3e6; i++) { kept = [i, { a: [i] }, `${i}`]; sum += kept.length; }
           for (let i = 0; i < 300; i++) { kept = new Array(1 << 18).fill(i); sum += kept.length; }
           return sum;
         };",
    );
    assert_eq!(agent.call::<f64>("churn", &()).wait(), Ok(4950.0 + 9e6 + 300.0 * f64::from(1 << 18)));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn nearly_the_limit_is_allowed() {
    let agent = spawn(
        "const kept = [];
         export const fill = () => { for (let i = 0; i < 56; i++) kept.push(new Uint8Array(1 << 20).fill(i)); return kept.length; };
         export const work = () => { let n = 0; for (let i = 0; i < 1e5; i++) n += [i].length; return n; };",
    );
    assert_eq!(agent.call::<u32>("fill", &()).wait(), Ok(56));
    assert_eq!(agent.call::<u32>("work", &()).wait(), Ok(100_000));
}

#[test]
fn an_agent_cannot_outlive_its_limit_by_catching() {
    for text in [
        "const all = []; for (;;) try { for (;;) all.push({}); } catch {} finally { continue; }",
        "const all = []; const f = () => { try { for (;;) all.push([1, 2, 3]); } catch {} queueMicrotask(f); }; f();",
        "const all = []; setInterval(() => { for (let i = 0; i < 1e5; i++) all.push({}); }, 0);",
        "onmessage = () => {}; const all = []; (async () => { for (;;) { all.push(new ArrayBuffer(1e6)); await 0; } })();",
    ] {
        assert_eq!(spawn(text).join().wait(), Exit::OutOfMemory { heap_bytes: LIMIT_BYTES }, "{text}");
    }
}

#[test]
fn a_worker_out_of_memory_tells_its_parent_which_goes_on() {
    let agent = Cluster::new()
        .unwrap()
        .spawn(
            Code::bundle(
                "main.ts",
                [
                    (
                        "main.ts",
                        "const worker = new Worker('./greedy.ts');
                         worker.onerror = (event) => { event.preventDefault(); postMessage(event.message); };",
                    ),
                    ("greedy.ts", "const all = []; for (;;) all.push({});"),
                ],
            ),
            limited(),
        )
        .unwrap();
    let message: String = agent.receive().wait().unwrap().get().unwrap();
    assert_eq!(message, "RangeError: the worker outgrew its limit of 67108864 bytes");
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn two_agents_have_limits_of_their_own() {
    let cluster = Cluster::new().unwrap();
    let fill = "const all = []; for (let i = 0; i < 40; i++) all.push(new Uint8Array(1 << 20).fill(i)); postMessage(all.length);";
    let spawn = |_| cluster.spawn(Code::source("x.ts", fill), limited()).unwrap();
    let agents: Vec<_> = (0..4).map(spawn).collect();
    for agent in agents {
        assert_eq!(agent.receive().wait().unwrap().get::<u32>().unwrap(), 40);
        assert_eq!(agent.join().wait(), Exit::Finished);
    }
}
