//! Agents that were set up in advance are like others.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use peristyle_agents::{AgentOptions, Cluster, Code, Exit, HostError, MakeHostObject};

fn options(name: &str) -> AgentOptions {
    AgentOptions { name: name.into(), ..AgentOptions::default() }
}

/// Waits until as many agents are warm.
fn until_warm(cluster: &Cluster, count: usize) {
    let start = Instant::now();
    while cluster.warm_agents() != count {
        assert!(start.elapsed() < Duration::from_secs(60), "{} agents are warm", cluster.warm_agents());
        thread::yield_now();
    }
}

#[test]
fn a_warm_agent_is_given_its_name_its_code_and_its_port() {
    let cluster = Cluster::new().unwrap();
    cluster.keep_warm(2, options("ignored")).unwrap();
    assert_eq!(cluster.warm_agents(), 2);
    let text = "onmessage = ({ data }) => postMessage([name, self.name, data]);
                export const add = (a: number, b: number) => a + b;
                postMessage(performance.now() < 60_000);";
    let agents = ["first", "second", "third", ""].map(|name| {
        let agent = cluster.spawn(Code::source("main.ts", text), options(name)).unwrap();
        (name, agent)
    });
    for (name, agent) in agents {
        assert_eq!(agent.receive().wait().unwrap().get::<bool>(), Ok(true));
        agent.post("hello").unwrap();
        let told: (String, String, String) = agent.receive().wait().unwrap().get().unwrap();
        assert_eq!(told, (name.into(), name.into(), "hello".into()));
        assert_eq!(agent.call::<f64>("add", &(1, 2)).wait(), Ok(3.0));
        assert_eq!(agent.eval::<String>("performance; typeof Worker").wait(), Ok("function".into()));
        agent.terminate();
        assert!(matches!(agent.join().wait(), Exit::Terminated(_)));
    }
    until_warm(&cluster, 2);
}

#[test]
fn only_what_fits_is_taken() {
    let cluster = Cluster::new().unwrap();
    cluster.keep_warm(1, AgentOptions::default()).unwrap();
    let other = AgentOptions { shared_memory: false, ..AgentOptions::default() };
    let agent = cluster.spawn(Code::source("main.mjs", ""), other.clone()).unwrap();
    assert_eq!(cluster.warm_agents(), 1);
    assert_eq!(agent.eval::<String>("typeof SharedArrayBuffer").wait(), Ok("undefined".into()));
    cluster.keep_warm(3, other).unwrap();
    assert_eq!(cluster.warm_agents(), 3);
    cluster.keep_warm(0, AgentOptions::default()).unwrap();
    assert_eq!(cluster.warm_agents(), 0);
    assert_eq!(
        cluster.spawn(Code::source("main.mjs", ""), AgentOptions::default()).unwrap().join().wait(),
        Exit::Finished
    );
}

#[test]
fn workers_are_taken_from_the_pool_too() {
    let cluster = Cluster::new().unwrap();
    cluster.keep_warm(2, AgentOptions::default()).unwrap();
    let text = "const worker = new Worker('data:text/javascript,postMessage(name)', { name: 'inner' });
                worker.onmessage = ({ data }) => postMessage(data);";
    let agent = cluster.spawn(Code::source("main.mjs", text), AgentOptions::default()).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<String>(), Ok("inner".into()));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn a_pool_does_not_keep_its_cluster_by_what_agents_are_given() {
    let held = Arc::new(());
    let cluster = Cluster::new().unwrap();
    let make: MakeHostObject = {
        let (held, cluster) = (held.clone(), cluster.clone());
        Arc::new(move |_, _| Err(HostError(format!("{held:?} of {cluster:?}"))))
    };
    let options = AgentOptions { host_objects: [("maker".to_owned(), make)].into(), ..AgentOptions::default() };
    cluster.keep_warm(1, options).unwrap();
    drop(cluster);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_cluster_with_warm_agents_is_dropped_while_others_run() {
    let cluster = Cluster::new().unwrap();
    cluster.keep_warm(3, AgentOptions::default()).unwrap();
    let agent =
        cluster.spawn(Code::source("main.mjs", "export const one = () => 1;"), AgentOptions::default()).unwrap();
    drop(cluster);
    assert_eq!(agent.call::<u8>("one", &()).wait(), Ok(1));
    assert_eq!(agent.join().wait(), Exit::Finished);
}
