//! What ports tell Rust beside messages: room after a refusal, and the other end's close.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use peristyle_agents::{AgentOptions, Cluster, Code, Port, PortLimits, PostError};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages and events in the order in which they were told.
#[derive(Clone, Default)]
struct Told(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Told {
    fn push(&self, what: String) {
        self.0.0.lock().unwrap().push(what);
        self.0.1.notify_all();
    }

    fn hears(port: &Port) -> Told {
        let told = Told::default();
        let (messages, events) = (told.clone(), told.clone());
        port.on_message(move |message| messages.push(message.get::<String>().unwrap()));
        port.on_event(move |event| events.push(format!("{event:?}")));
        told
    }

    fn now(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    fn after(&self, count: usize) -> Vec<String> {
        let told = self.0.0.lock().unwrap();
        self.0.1.wait_timeout_while(told, PATIENCE, |told| told.len() < count).unwrap().0.clone()
    }
}

#[test]
fn a_close_is_told_once_and_after_the_messages() {
    let (near, far) = Port::pair(PortLimits::default());
    let told = Told::hears(&near);
    far.post("one").unwrap();
    far.close();
    far.close();
    drop(far);
    assert_eq!(told.now(), ["one", "Closed"]);
    // Who asks later is told, too.
    let late = Told::default();
    let events = late.clone();
    near.on_event(move |event| events.push(format!("{event:?}")));
    assert_eq!(late.now(), ["Closed"]);
    // One's own close is nothing new.
    let (near, far) = Port::pair(PortLimits::default());
    let told = Told::hears(&near);
    near.close();
    drop(far);
    assert_eq!(told.now(), [""; 0]);
}

#[test]
fn room_is_told_to_whom_it_was_refused_and_to_nobody_else() {
    let (near, far) = Port::pair(PortLimits { queue_bytes: 100, ..PortLimits::default() });
    let told = Told::hears(&near);
    near.post(&"x".repeat(60)).unwrap();
    assert!(far.try_receive().unwrap().is_some());
    assert_eq!(told.now(), [""; 0], "nobody was refused");
    near.post(&"x".repeat(60)).unwrap();
    assert!(matches!(near.post(&"y".repeat(60)), Err(PostError::Full { messages: 1, .. })));
    assert!(matches!(near.post(&"y".repeat(60)), Err(PostError::Full { .. })));
    assert_eq!(told.now(), [""; 0]);
    assert!(far.receive().wait().is_ok());
    assert_eq!(told.now(), ["Room"]);
    near.post(&"y".repeat(60)).unwrap();
}

#[test]
fn an_agent_makes_room_and_its_end_closes_the_port() {
    let cluster = Cluster::new().unwrap();
    let text = "onmessage = ({ ports: [port] }) => { port.onmessage = ({ data }) => port.postMessage(data.at(-1)); };";
    let agent = cluster.spawn(Code::source("echo.mjs", text), AgentOptions::default()).unwrap();
    let (near, far) = Port::pair(PortLimits { queue_messages: 2, ..PortLimits::default() });
    let told = Told::hears(&near);
    near.post("a").unwrap();
    near.post("b").unwrap();
    assert!(matches!(near.post("c"), Err(PostError::Full { .. })));
    agent.port().post_with("port", vec![far]).unwrap();
    // Half of the queue is to be free: one message is taken, which is room, before it is answered.
    assert_eq!(told.after(3), ["Room", "a", "b"]);
    agent.terminate();
    assert_eq!(told.after(4)[3], "Closed");
    assert_eq!(near.post("d"), Err(PostError::Closed));
}

#[test]
fn modules_in_memory_are_imported_by_name_by_every_kind_of_code() {
    let modules = [
        ("shared.ts", "export * from './lib/sum.js'; export const name: string = 'shared';"),
        ("lib/sum.ts", "export const sum = (a: number, b: number): number => a + b;"),
    ];
    let modules = Arc::new(modules.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let cluster = Cluster::new().unwrap();
    let main = "import { name, sum } from 'shared'; export const ask = () => `${name} ${sum(2, 3)}`;";
    let directory = std::env::temp_dir().join(format!("peristyle-ports-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("main.mjs");
    std::fs::write(&file, main).unwrap();
    for code in [Code::source("main.mjs", main), Code::bundle("main.mjs", [("main.mjs", main)]), Code::file(&file)] {
        let options = AgentOptions { modules: Arc::clone(&modules), ..AgentOptions::default() };
        let agent = cluster.spawn(code, options).unwrap();
        assert_eq!(agent.call::<String>("ask", &()).wait().unwrap(), "shared 5");
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let broken = Arc::new([("broken.ts".to_owned(), "let =".to_owned())].into());
    let options = AgentOptions { modules: broken, ..AgentOptions::default() };
    assert!(cluster.spawn(Code::source("main.mjs", ""), options).is_err());
}
