//! What agents leave behind: nothing. One test at a time measures the process.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use peristyle_agents::{AgentOptions, Cluster, Code, Exit};

static ALONE: Mutex<()> = Mutex::new(());

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Fails if `rounds` rounds add `bound` bytes to the process, after some to warm up.
#[track_caller]
fn grows_less(bound: u64, warm_up: u32, rounds: u32, mut round: impl FnMut()) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (0..warm_up).for_each(|_| round());
    let before = resident_bytes();
    (0..rounds).for_each(|_| round());
    // The engine gives memory back on threads of its own, which on a busy machine come late.
    let is_below = (0..1000).any(|_| {
        let is_below = resident_bytes() < before + bound;
        if !is_below {
            thread::sleep(Duration::from_millis(10));
        }
        is_below
    });
    assert!(is_below, "{} bytes more", resident_bytes().saturating_sub(before));
}

#[test]
fn ports_without_owners_go_with_their_agent() {
    // Ports in messages that nobody reads, in closed ports, and unreachable; each message holds 64 KiB.
    let text = "
      for (let i = 0; i < 200; i++) {
        const { port1, port2 } = new MessageChannel();
        const inner = new MessageChannel();
        port1.postMessage(new Uint8Array(1 << 16), [inner.port1]);
        inner.port2.postMessage(new Uint8Array(1 << 10).fill(1));
        if (i % 2) port2.close();
        else if (i % 3 === 0) postMessage(null, [port2]);
      }
      close();";
    let cluster = Cluster::new().unwrap();
    // All of it would be 390 MB.
    grows_less(80 << 20, 4, 30, || {
        let agent = cluster.spawn(Code::source("x.ts", text), AgentOptions::default()).unwrap();
        assert_eq!(agent.join().wait(), Exit::Closed);
    });
}

#[test]
fn spawning_and_terminating_leaves_no_memory() {
    let text = "
      const { port1 } = new MessageChannel(); port1.onmessage = () => {}; onmessage = () => {};
      Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      new Worker('data:text/javascript,onmessage = () => {}').postMessage(port1, [port1]);
      postMessage([1, 'x']);
      for (;;);";
    let cluster = Cluster::new().unwrap();
    // Agents that were kept would take some 500 KiB each.
    grows_less(32 << 20, 100, 300, || {
        let agent = cluster.spawn(Code::source("x.ts", text), AgentOptions::default()).unwrap();
        agent.receive().wait().unwrap();
        agent.post(&[1]).unwrap();
        agent.terminate();
        assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()));
    });
}
