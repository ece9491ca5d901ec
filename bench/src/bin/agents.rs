//! Spawned agents beside Node's `worker_threads`, in turns: how long until one is ready, what an idle one takes, and what
//! messages and shared memory cost.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin agents [-- TURNS]
//! ```
//!
//! Both run the same JavaScript, `bench/agents/measure.mjs`. A figure is the median of a turn's; what is shown is the median
//! of the turns, and its ratio to Node's. `node` must be on the path.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use peristyle_agents::{AgentHandle, AgentOptions, Cluster, Code};
use peristyle_bench::turns;

const IDLE: &str = "onmessage = () => {}; postMessage(1);";
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/agents/node.mjs");

/// What is measured.
struct Figure {
    title: &'static str,
    unit: &'static str,
    per: f64,
    /// Node's figure.
    node: &'static str,
    ours: fn(&Cluster, &str) -> f64,
    /// How many times better than Node's it is to be.
    wanted: f64,
}

const FIGURES: [Figure; 9] = [
    Figure { title: "ready, cold", unit: "us", per: 1.0, node: "ready", ours: ready_cold, wanted: 20.0 },
    Figure { title: "ready, set up in advance", unit: "us", per: 1.0, node: "ready", ours: ready_warm, wanted: 100.0 },
    Figure { title: "memory of an idle agent", unit: "KiB", per: 1024.0, node: "memory", ours: memory, wanted: 20.0 },
    Figure { title: "round trip of a number", unit: "us", per: 1.0, node: "roundTrip", ours: measured, wanted: 2.5 },
    Figure { title: "one way, small objects", unit: "us", per: 1.0, node: "oneWay", ours: measured, wanted: 5.0 },
    Figure { title: "clone of 10 000 objects", unit: "us", per: 1.0, node: "clone", ours: measured, wanted: 1.0 },
    Figure { title: "transfer of 1 MiB", unit: "us", per: 1.0, node: "transfer", ours: measured, wanted: 1.5 },
    Figure { title: "broadcast to 64", unit: "us", per: 1.0, node: "broadcast", ours: measured, wanted: 1.0 },
    Figure { title: "loop on shared memory", unit: "ns", per: 1.0, node: "loop", ours: measured, wanted: 1.0 },
];

fn spawn(cluster: &Cluster) -> AgentHandle {
    cluster.spawn(Code::source("idle.mjs", IDLE), AgentOptions::default()).expect("an agent")
}

/// From the spawn to the first message, in microseconds; the median.
fn ready(cluster: &Cluster, mut before: impl FnMut(&Cluster)) -> f64 {
    let took = (0..41).map(|_| {
        before(cluster);
        let start = Instant::now();
        let agent = spawn(cluster);
        agent.receive().wait().expect("a message");
        let took = start.elapsed();
        agent.terminate();
        agent.join().wait();
        took.as_secs_f64() * 1e6
    });
    median(took.collect())
}

fn ready_cold(cluster: &Cluster, _: &str) -> f64 {
    ready(cluster, |_| {})
}

fn ready_warm(cluster: &Cluster, _: &str) -> f64 {
    cluster.keep_warm(4, AgentOptions::default()).expect("agents");
    let took = ready(cluster, |cluster| {
        while cluster.warm_agents() < 4 {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    cluster.keep_warm(0, AgentOptions::default()).expect("none");
    took
}

/// Until an agent is taken for idle, here and in Node: ours give memory back after half of that.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Resident bytes of an idle agent.
fn memory(cluster: &Cluster, _: &str) -> f64 {
    const COUNT: usize = 200;
    let agents = |count| (0..count).map(|_| spawn(cluster)).collect::<Vec<_>>();
    let first = agents(1);
    let settle =
        |agents: &[AgentHandle]| agents.iter().for_each(|agent| drop(agent.receive().wait().expect("a message")));
    settle(&first);
    std::thread::sleep(IDLE_FOR);
    let before = resident();
    let agents = agents(COUNT);
    settle(&agents);
    std::thread::sleep(IDLE_FOR);
    let took = (resident() - before) / COUNT as f64;
    for agent in first.into_iter().chain(agents) {
        agent.terminate();
        agent.join().wait();
    }
    took
}

/// Bytes of this process that are in memory.
fn resident() -> f64 {
    let statistics = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statistics.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).expect("a number");
    pages * 4096.0
}

/// A figure of `measure.mjs`.
fn measured(cluster: &Cluster, name: &str) -> f64 {
    let modules = [
        ("ours.mjs", include_str!("../../agents/ours.mjs")),
        ("echo.mjs", include_str!("../../agents/echo.mjs")),
        ("measure.mjs", include_str!("../../agents/measure.mjs")),
    ];
    let agent = cluster.spawn(Code::bundle("ours.mjs", modules), AgentOptions::default()).expect("an agent");
    let took = agent.call("figure", &[name]).wait().expect("a number");
    agent.terminate();
    agent.join().wait();
    took
}

fn node(name: &str) -> f64 {
    let output = Command::new("node").args([NODE, name]).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let turns = turns(3);
    let cluster = Cluster::new().expect("an engine");
    println!("{:<28} {:>12} {:>16} {:>9} {:>8}", "", "ours", "worker_threads", "ratio", "wanted");
    for Figure { title, unit, per, node: name, ours, wanted } in FIGURES {
        let (mut own, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            peer.push(node(name) / per);
            own.push(ours(&cluster, name) / per);
        }
        let (own, peer) = (median(own), median(peer));
        if own < 0.0 {
            println!("{title:<28} cannot be measured: our agents lack what it needs");
            continue;
        }
        println!("{title:<28} {own:>8.2} {unit:<3} {peer:>12.2} {unit:<3} {:>8.1}x {wanted:>7}x", peer / own);
    }
    let start = Instant::now();
    let agents: Vec<_> = (0..1000).map(|_| spawn(&cluster)).collect();
    agents.iter().for_each(|agent| drop(agent.receive().wait().expect("a message")));
    println!("1 000 agents up at once after {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    agents.iter().for_each(AgentHandle::terminate);
    agents.into_iter().for_each(|agent| drop(agent.join().wait()));
}
