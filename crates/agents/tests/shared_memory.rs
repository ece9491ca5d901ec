//! Shared memory between agents and Rust: bytes, waits and wakes on one word, growth.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, BufferError, Cluster, Code, SharedBuffer, Waited};
use serde_json::{Value, json};

fn spawn(cluster: &Cluster, text: &str) -> AgentHandle {
    cluster.spawn(Code::source("main.ts", text), AgentOptions::default()).unwrap()
}

fn next(agent: &AgentHandle) -> Value {
    agent.receive().wait().unwrap().get().unwrap()
}

#[test]
fn rust_and_agents_see_each_others_writes() {
    let cluster = Cluster::new().unwrap();
    let memory = cluster.shared_buffer(32).unwrap();
    memory.i32(4).unwrap().store(-5, SeqCst);
    let text = "
      export const sum = (buffer) => {
        const cells = new Int32Array(buffer), wide = new BigInt64Array(buffer);
        Atomics.add(cells, 0, cells[1]);
        Atomics.store(wide, 2, -1n);
        return [buffer instanceof SharedArrayBuffer, buffer.byteLength];
      };
      export const make = () => new Uint8Array(new SharedArrayBuffer(3)).fill(7).buffer;";
    let agent = spawn(&cluster, text);
    assert_eq!(agent.call::<Value>("sum", &(&memory,)).wait().unwrap(), json!([true, 32]));
    assert_eq!(memory.i32(0).unwrap().load(SeqCst), -5);
    assert_eq!(memory.i64(16).unwrap().load(SeqCst), -1);
    assert_eq!(memory.u64(16).unwrap().load(SeqCst), u64::MAX);
    // One that an agent made; it outlives the agent.
    let made: SharedBuffer = agent.call("make", &()).wait().unwrap();
    let bytes: Vec<u8> = agent.call("make", &()).wait().unwrap();
    drop(agent.join().wait());
    assert_eq!((made.to_vec(), made.len(), bytes), (vec![7; 3], 3, vec![7; 3]));
    let again = spawn(&cluster, "export const first = (buffer) => new Uint8Array(buffer)[0]++;");
    assert_eq!(again.call::<u8>("first", &(&made,)).wait(), Ok(7));
    assert_eq!(made.u8(0).unwrap().load(SeqCst), 8);
}

#[test]
fn places_are_checked() {
    let memory = Cluster::new().unwrap().shared_buffer(6).unwrap();
    assert_eq!(memory.i32(4).err(), Some(BufferError::OutOfBounds { offset: 4, bytes: 4, length: 6 }));
    assert_eq!(memory.i32(2).err(), Some(BufferError::Misaligned { offset: 2, bytes: 4 }));
    assert!(memory.i64(usize::MAX - 3).is_err() && memory.u8(6).is_err() && memory.u8(5).is_ok());
    let empty = Cluster::new().unwrap().shared_buffer(0).unwrap();
    assert!(empty.is_empty() && empty.to_vec().is_empty() && empty.u8(0).is_err());
}

#[test]
fn rust_wakes_what_waits_in_agents() {
    let cluster = Cluster::new().unwrap();
    let memory = cluster.shared_buffer(16).unwrap();
    let text = "
      export const wait = (buffer) => Atomics.wait(new Int32Array(buffer), 1, 0);
      export const waitWide = (buffer) => Atomics.wait(new BigInt64Array(buffer), 1, 0n);
      export const later = (buffer) => Atomics.waitAsync(new Int32Array(buffer), 1, 0).value;
      export const timed = (buffer) => Atomics.wait(new Int32Array(buffer), 1, 0, 1);";
    for (function, offset) in [("wait", 4), ("later", 4), ("waitWide", 8)] {
        let agents: Vec<_> = (0..3).map(|_| spawn(&cluster, text)).collect();
        let calls: Vec<_> = agents.iter().map(|agent| agent.call::<String>(function, &(&memory,))).collect();
        let mut woken = 0;
        // They wait when they wait: whoever notifies before wakes nobody.
        while woken < 3 {
            woken += cluster.notify(&memory, offset, Some(1)).unwrap();
        }
        for call in calls {
            assert_eq!(call.wait().unwrap(), "ok", "{function}");
        }
    }
    assert_eq!(spawn(&cluster, text).call::<String>("timed", &(&memory,)).wait().unwrap(), "timed-out");
    assert_eq!(cluster.notify(&memory, 4, None).unwrap(), 0);
}

#[test]
fn agents_wake_what_waits_in_rust() {
    let cluster = Cluster::new().unwrap();
    let memory = cluster.shared_buffer(16).unwrap();
    let text = "
      export const wake = (buffer, wide) => {
        const cells = wide ? new BigInt64Array(buffer) : new Int32Array(buffer);
        for (;;) if (Atomics.notify(cells, 1) > 0) return;
      };";
    let agent = spawn(&cluster, text);
    thread::scope(|scope| {
        let waits = scope.spawn(|| cluster.wait(&memory, 4, 0, None).unwrap());
        agent.call::<()>("wake", &(&memory, false)).wait().unwrap();
        assert_eq!(waits.join().unwrap(), Waited::Notified);
        let waits = scope.spawn(|| cluster.wait(&memory, 8, 0i64, None).unwrap());
        agent.call::<()>("wake", &(&memory, true)).wait().unwrap();
        assert_eq!(waits.join().unwrap(), Waited::Notified);
        // Rust wakes Rust, by the same queue.
        let waits = scope.spawn(|| cluster.wait(&memory, 4, 0, None).unwrap());
        while cluster.notify(&memory, 4, None).unwrap() == 0 {}
        assert_eq!(waits.join().unwrap(), Waited::Notified);
    });
    assert_eq!(cluster.wait(&memory, 4, 1, None).unwrap(), Waited::NotEqual);
    assert_eq!(cluster.wait(&memory, 8, i64::MIN, None).unwrap(), Waited::NotEqual);
    assert_eq!(cluster.wait(&memory, 4, 0, Some(Duration::from_millis(1))).unwrap(), Waited::TimedOut);
    assert!(cluster.wait(&memory, 2, 0, None).is_err() && cluster.wait(&memory, 12, 0i64, None).is_err());
}

#[test]
fn memory_grows_in_place_on_both_sides() {
    let cluster = Cluster::new().unwrap();
    let memory = cluster.growable_shared_buffer(8, 1 << 20).unwrap();
    let text = "
      let buffer;
      onmessage = ({ data }) => { buffer = data; buffer.grow(70000); new Uint8Array(buffer)[69999] = 3; postMessage(buffer.growable); };
      export const length = () => buffer.byteLength;";
    let agent = spawn(&cluster, text);
    let cell = memory.i32(0).unwrap();
    cell.store(9, SeqCst);
    agent.post(&memory).unwrap();
    assert_eq!(next(&agent), json!(true));
    assert_eq!((memory.len(), cluster.measure(&memory).unwrap(), memory.len()), (8, 70000, 70000));
    assert_eq!((memory.u8(69999).unwrap().load(SeqCst), cell.load(SeqCst)), (3, 9));
    cluster.grow(&memory, 100_000).unwrap();
    assert_eq!((memory.len(), agent.call::<usize>("length", &()).wait().unwrap()), (100_000, 100_000));
    assert!(matches!(cluster.grow(&memory, 2 << 20), Err(BufferError::Refused(_))));
    assert!(matches!(cluster.grow(&memory, 8), Err(BufferError::Refused(_))));
    assert!(matches!(cluster.grow(&cluster.shared_buffer(8).unwrap(), 16), Err(BufferError::Refused(_))));
    assert!(matches!(cluster.shared_buffer(usize::MAX), Err(BufferError::Refused(_))));
}
