//! Terminating: whatever an agent does, it ends, for the reason that it was given, and takes nobody with it.

#[path = "support/shapes.rs"]
mod shapes;
#[path = "support/threads.rs"]
mod threads;

use std::time::Duration;

use peristyle_agents::{AgentOptions, CallError, Cluster, Code, Exit};
use shapes::SHAPES;
use threads::none_left;

#[test]
fn every_shape_ends_when_it_is_told_to() {
    let cluster = Cluster::new().unwrap();
    let echo = "export const echo = (x) => x;";
    let bystander = cluster.spawn(Code::source("bystander.ts", echo), AgentOptions::default()).unwrap();
    for shape in &SHAPES {
        for round in 0..5 {
            let options = AgentOptions { name: "shaped".into(), ..AgentOptions::default() };
            let agent = cluster.spawn(Code::source("shape.mjs", shape.program()), options).unwrap();
            let up: Result<String, _> = agent.receive().wait().map(|message| message.get().unwrap());
            assert_eq!(up.as_deref(), Ok("up"), "{}", shape.name);
            let pending = agent.eval::<()>("new Promise(() => {})");
            // At once, and later and later: all moments must do.
            std::thread::sleep(Duration::from_micros(round * 300));
            agent.terminate();
            assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()), "{}", shape.name);
            assert_eq!(pending.wait(), Err(CallError::Ended), "{}", shape.name);
        }
        assert_eq!(bystander.call::<u32>("echo", &[7]).wait(), Ok(7), "{}", shape.name);
    }
    // Workers have no name, but are joined by who started them.
    none_left("shaped");
}

#[test]
fn the_first_reason_counts_and_a_second_stop_does_nothing() {
    let agent =
        Cluster::new().unwrap().spawn(Code::source("x.mjs", SHAPES[0].program()), AgentOptions::default()).unwrap();
    agent.receive().wait().unwrap();
    for _ in 0..100 {
        agent.terminate();
    }
    assert_eq!(agent.eval::<()>("new Promise(() => {})").wait(), Err(CallError::Ended));
    assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()));
}

#[test]
fn a_worker_is_terminated_by_its_parent_in_every_shape() {
    let cluster = Cluster::new().unwrap();
    let main = "
        const worker = new Worker('./shape.mjs');
        worker.onmessage = () => {
          worker.terminate();
          postMessage('told');
        };";
    for shape in &SHAPES {
        let code = Code::bundle("main.mjs", [("main.mjs", main.to_owned()), ("shape.mjs", shape.program())]);
        let agent = cluster.spawn(code, AgentOptions::default()).unwrap();
        assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "told", "{}", shape.name);
        // The parent stays for its worker, and goes when that has ended.
        assert_eq!(agent.join().wait(), Exit::Finished, "{}", shape.name);
    }
}
