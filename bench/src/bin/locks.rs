//! What locks cost: `Atomics.Mutex` without contention, and handed over between two agents, beside Node's `Atomics`.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin locks [-- TURNS]
//! ```
//!
//! Node (`node` in the path) runs as a process of its own, which is told how many rounds to play and answers with the time
//! that they took; so does each agent, so that no call and no pipe is measured. A round trip is two hand-overs: a thread
//! gives a turn to the other one, which sleeps, and sleeps until it is its own again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use peristyle_agents::{AgentHandle, AgentOptions, Cluster, Code};
use peristyle_bench::{Contestant, compare, turns};

/// Locks and unlocks of a frame, and round trips.
const LOCKS: u32 = 20_000;
const ROUNDS: u32 = 100;

const OURS: &str = "
const mutex = new Atomics.Mutex(), token = new Atomics.Mutex.UnlockToken();
export const reuse = (times) => {
  const start = performance.now();
  for (let i = 0; i < times; i++) { Atomics.Mutex.lock(mutex, token); token.unlock(); }
  return performance.now() - start;
};
export const fresh = (times) => {
  const start = performance.now();
  for (let i = 0; i < times; i++) Atomics.Mutex.lock(mutex).unlock();
  return performance.now() - start;
};
export const using_ = (times) => {
  const start = performance.now();
  for (let i = 0; i < times; i++) { using held = Atomics.Mutex.lock(mutex, token); }
  return performance.now() - start;
};
// Rounds of turns by a condition.
const hand = (mutex, condition, turn, mine, rounds) => {
  using held = Atomics.Mutex.lock(mutex, token);
  for (let i = 0; i < rounds; i++) {
    while (turn[0] !== mine) Atomics.Condition.wait(condition, held);
    turn[0] = 1 - mine;
    Atomics.Condition.notify(condition, 1);
  }
};
export const play = (mutex, condition, buffer, rounds) => {
  const start = performance.now();
  hand(mutex, condition, new Int32Array(buffer), 0, rounds);
  return performance.now() - start;
};
export const serve = (mutex, condition, buffer) => hand(mutex, condition, new Int32Array(buffer), 1, Infinity);
";

/// The same with `Atomics.wait` and `notify`, in our agents and in Node.
const FUTEX: &str = "
const hand = (turn, mine, rounds) => {
  for (let i = 0; i < rounds; i++) {
    while (Atomics.load(turn, 0) !== mine) Atomics.wait(turn, 0, 1 - mine);
    Atomics.store(turn, 0, 1 - mine);
    Atomics.notify(turn, 0, 1);
  }
};
const play = (buffer, rounds) => {
  const start = performance.now();
  hand(new Int32Array(buffer), 0, rounds);
  return performance.now() - start;
};
const serve = (buffer) => hand(new Int32Array(buffer), 1, Infinity);
";

/// Node's process: each line that it gets is what to do and how often.
const NODE: &str = "
const { Worker, isMainThread, workerData } = require('node:worker_threads');
const { createInterface } = require('node:readline');
const source = process.env.PERISTYLE_BENCH_SOURCE;
const buffer = new SharedArrayBuffer(4);
const worker = new Worker(`const { workerData } = require('node:worker_threads'); ${source} serve(workerData);`, { eval: true, workerData: buffer });
const { play } = new Function(`${source} return { play };`)();
const word = new Int32Array(new SharedArrayBuffer(4));
const lock = (times) => {
  const start = performance.now();
  for (let i = 0; i < times; i++) { Atomics.compareExchange(word, 0, 0, 2); Atomics.exchange(word, 0, 0); }
  return performance.now() - start;
};
worker.on('online', () => createInterface({ input: process.stdin }).on('line', (line) => {
  const [what, times] = line.split(' ');
  process.stdout.write(`${what === 'play' ? play(buffer, +times) : lock(+times)}\\n`);
}).on('close', () => process.exit()));
";

struct Node {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Node {
    fn start() -> Option<Node> {
        let mut command = Command::new("node");
        command.args(["-e", NODE]).env("PERISTYLE_BENCH_SOURCE", FUTEX);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let (ask, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Node { child, ask, answers })
    }

    fn run(&mut self, what: &str, times: u32) -> Duration {
        writeln!(self.ask, "{what} {times}").expect("node reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("node answers");
        milliseconds(line.trim().parse().expect("node answers with a number"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It is idle, and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

fn spawn(cluster: &Cluster, text: &str) -> AgentHandle {
    cluster.spawn(Code::source("locks.ts", text), AgentOptions::default()).expect("an agent")
}

/// Ends its agent, whatever it waits for.
struct Served(AgentHandle);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.terminate();
    }
}

fn main() {
    let turns = turns(60);
    let cluster = Cluster::new().expect("an engine");
    let mut alone = Vec::new();
    if let Some(mut node) = Node::start() {
        alone.push(Contestant::timed("Node: compareExchange and exchange", move || node.run("lock", LOCKS)));
    } else {
        println!("no node in the path: its rows are left out\n");
    }
    for (name, function) in [
        ("Atomics.Mutex, one token", "reuse"),
        ("Atomics.Mutex, one token, using", "using_"),
        ("Atomics.Mutex, a token each", "fresh"),
    ] {
        let agent = spawn(&cluster, OURS);
        alone.push(Contestant::timed(name, move || {
            milliseconds(agent.call(function, &(LOCKS,)).wait().expect("it runs"))
        }));
    }
    let mutex = cluster.shared_mutex().expect("memory");
    alone.push(Contestant::timed("SharedMutex, from Rust", move || {
        let start = Instant::now();
        (0..LOCKS).for_each(|_| drop(mutex.lock().expect("it is free")));
        start.elapsed()
    }));
    let mutex = Mutex::new(());
    alone.push(Contestant::timed("std's Mutex", move || {
        let start = Instant::now();
        (0..LOCKS).for_each(|_| drop(std::hint::black_box(&mutex).lock()));
        start.elapsed()
    }));
    compare("lock and unlock, nobody else there", turns, f64::from(LOCKS), "ns", alone);

    let mut handed = Vec::new();
    if let Some(mut node) = Node::start() {
        handed.push(Contestant::timed("Node: Atomics.wait and notify", move || node.run("play", ROUNDS)));
    }
    let (mutex, condition) = (cluster.shared_mutex().expect("memory"), cluster.shared_condition().expect("memory"));
    let memory = cluster.shared_buffer(4).expect("memory");
    let (player, server) = (spawn(&cluster, OURS), Served(spawn(&cluster, OURS)));
    drop(server.0.call::<()>("serve", &(&mutex, &condition, &memory)));
    handed.push(Contestant::timed("Atomics.Mutex and Condition", move || {
        let _ = &server;
        milliseconds(player.call("play", &(&mutex, &condition, &memory, ROUNDS)).wait().expect("it runs"))
    }));
    let memory = cluster.shared_buffer(4).expect("memory");
    let futex = format!("{FUTEX} export {{ play, serve }};");
    let (player, server) = (spawn(&cluster, &futex), Served(spawn(&cluster, &futex)));
    drop(server.0.call::<()>("serve", &(&memory,)));
    handed.push(Contestant::timed("the engine's Atomics.wait and notify", move || {
        let _ = &server;
        milliseconds(player.call("play", &(&memory, ROUNDS)).wait().expect("it runs"))
    }));
    compare("a round trip between two threads", turns, f64::from(ROUNDS) * 1e3, "us", handed);
}
