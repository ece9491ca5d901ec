//! Agents that end while the engine still does something for them.

use std::time::Duration;

use peristyle_agents::{AgentOptions, Cluster, Code, Exit};

/// Longer than any of these takes on a busy machine; a deadlock takes for ever.
const LONG: Duration = Duration::from_secs(60);

#[track_caller]
fn exit_of(script: &str) -> Exit {
    let cluster = Cluster::new().unwrap();
    let agent = cluster.spawn(Code::source("main.mjs", script), AgentOptions::default()).unwrap();
    agent.join().wait_timeout(LONG).unwrap_or_else(|_| panic!("it does not end: {script}"))
}

const WORDS: &str = "const words = new Int32Array(new SharedArrayBuffer(4));";

#[test]
fn waits_with_a_time_limit_do_not_keep_what_closes() {
    let script = format!("{WORDS} for (let i = 0; i < 9; i++) Atomics.waitAsync(words, 0, 0, 1e6 + i); close();");
    assert_eq!(exit_of(&script), Exit::Closed);
}

#[test]
fn waits_that_were_notified_at_the_last_moment_do_not_keep_what_closes() {
    let script = format!(
        "{WORDS} for (let i = 0; i < 9; i++) Atomics.waitAsync(words, 0, 0, i % 2 ? 1e6 : Infinity);
         Atomics.notify(words, 0, 5); close();"
    );
    assert_eq!(exit_of(&script), Exit::Closed);
}

#[test]
fn a_module_that_is_being_compiled_does_not_keep_what_closes() {
    let script = "WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)); close();";
    assert_eq!(exit_of(script), Exit::Closed);
}

#[test]
fn agents_that_notify_each_other_while_they_end_all_end() {
    // Each worker notifies what others wait for, at any moment of their end.
    let worker = "onmessage = ({ data }) => {
        const words = new Int32Array(data);
        for (let i = 0; i < 20; i++) { Atomics.waitAsync(words, 0, 0, i % 3 ? 50 : Infinity); Atomics.notify(words, 0, 7); }
        close();
    };";
    let main = "const shared = new SharedArrayBuffer(4);
        for (let i = 0; i < 8; i++) new Worker('./worker.mjs').postMessage(shared);";
    for _ in 0..8 {
        let cluster = Cluster::new().unwrap();
        let code = Code::bundle("main.mjs", [("main.mjs", main), ("worker.mjs", worker)]);
        let agent = cluster.spawn(code, AgentOptions::default()).unwrap();
        assert_eq!(agent.join().wait_timeout(LONG).unwrap(), Exit::Finished);
    }
}
