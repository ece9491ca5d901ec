//! What agents leave behind: nothing. One test at a time measures the process.

use std::sync::{Mutex, PoisonError};

use peristyle_agents::{AgentOptions, Cluster, Code, Exit};

static ALONE: Mutex<()> = Mutex::new(());

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Bytes that `rounds` rounds add to the process, after some to warm up.
fn growth(warm_up: u32, rounds: u32, mut round: impl FnMut()) -> u64 {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (0..warm_up).for_each(|_| round());
    let before = resident_bytes();
    (0..rounds).for_each(|_| round());
    resident_bytes().saturating_sub(before)
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
    let grown = growth(4, 30, || {
        let agent = cluster.spawn(Code::source("x.ts", text), AgentOptions::default()).unwrap();
        assert_eq!(agent.join().wait(), Exit::Closed);
    });
    // All of it would be 390 MB.
    assert!(grown < 80 << 20, "{grown} bytes more");
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
    let grown = growth(100, 300, || {
        let agent = cluster.spawn(Code::source("x.ts", text), AgentOptions::default()).unwrap();
        agent.receive().wait().unwrap();
        agent.post(&[1]).unwrap();
        agent.terminate();
        assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()));
    });
    // Agents that were kept would take some 500 KiB each.
    assert!(grown < 32 << 20, "{grown} bytes more");
}
