//! Message ports as transports: clients and hosts here and in agents, and what becomes of them when ports fail.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, Cluster, Code, Port, PortLimits};
use peristyle_mirror::{
    CallError, Client, ClientOptions, Frame, Host, HostOptions, Invalid, Message, Receiver, State, SyncMode, Transport,
    TransportError, Value, block_on, module, parse_json,
};
use peristyle_runtime::{Package, PortOptions, PortTransport};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, State)]
struct Counter {
    count: i64,
    text: String,
}

#[module]
impl Counter {
    #[action]
    fn increase(&mut self, step: i64) -> i64 {
        self.count += step;
        self.count
    }

    #[action]
    fn write(&mut self, text: String) -> usize {
        self.text = text;
        self.text.len()
    }
}

fn host() -> Host {
    let counter = Counter { count: 0, text: String::new() };
    Host::builder().sync(SyncMode::Patch).module(counter).build().unwrap()
}

/// A client in an agent, as a page or a worker would have it.
const CLIENT: &str = r#"
    import { createPostMessageWorkerTransport, createWorkerClient } from "peristyle";
    let client, conflicts = 0, changes = 0;
    export const connected = new Promise((resolve) => {
        onmessage = async ({ data, ports }) => {
            if (data !== "host") return;
            const transport = createPostMessageWorkerTransport(ports[0]);
            client = createWorkerClient({ transport, requestTimeout: 0, onConflict: () => conflicts++ });
            await client.ready;
            client.watch((state) => state.counter.count, () => changes++);
            resolve();
        };
    });
    export async function state() { await connected; return [client.state.version, client.getState(), conflicts]; }
    export function noticed() { return changes; }
    export async function call(method, ...args) { await connected; return client.module("counter")[method](...args); }
    export async function flood(n) {
        await connected;
        return Promise.all(Array.from({ length: n }, () => client.call("counter", "increase", 1)));
    }
    export async function watched(n) {
        await connected;
        return new Promise((resolve) => {
            const seen = [];
            client.watch((state) => state.counter.count, (count) => { seen.push(count); if (seen.length === n) resolve(seen); });
        });
    }
"#;

fn spawn(cluster: &Cluster, text: &str) -> AgentHandle {
    let options = AgentOptions { loader: Some(Arc::new(Package::hosted())), ..AgentOptions::default() };
    cluster.spawn(Code::source("client.mjs", text), options).unwrap()
}

/// Connects an agent's client to a host.
fn connect(host: &Host, agent: &AgentHandle, options: PortOptions) -> u64 {
    let (near, far) = Port::pair(PortLimits::default());
    agent.port().post_with("host", vec![far]).unwrap();
    host.connect(PortTransport::new(near, options)).unwrap()
}

#[test]
fn a_client_in_an_agent_follows_a_host_here() {
    let cluster = Cluster::new().unwrap();
    let host = host();
    let agents = [spawn(&cluster, CLIENT), spawn(&cluster, CLIENT)];
    for agent in &agents {
        connect(&host, agent, PortOptions::host());
    }
    let [one, other] = &agents;
    assert_eq!(one.call::<i64>("call", &("increase", 2)).wait().unwrap(), 2);
    assert_eq!(one.call::<usize>("call", &("write", "é\u{1f600}")).wait().unwrap(), 6);
    let seen = other.call::<Vec<i64>>("watched", &(300,));
    let counts = one.call::<Vec<i64>>("flood", &(300,)).wait().unwrap();
    assert_eq!(counts, (3..=302).collect::<Vec<_>>());
    // The watcher saw each change, whenever it began to look.
    let seen = match seen.wait_timeout(Duration::from_millis(1)) {
        Ok(seen) => seen.unwrap(),
        Err(seen) => {
            one.call::<Vec<i64>>("flood", &(300,)).wait().unwrap();
            seen.wait().unwrap()
        }
    };
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
    let (version, state, conflicts): (u64, Value, u32) = one.call("state", &()).wait().unwrap();
    assert_eq!(conflicts, 0);
    let (there, commits) = host.state();
    assert_eq!((version, state), (commits, there));
}

#[test]
fn a_client_and_a_host_here_talk_over_ports_in_either_form() {
    for text in [false, true] {
        let host = host();
        let (near, far) = Port::pair(PortLimits::default());
        host.connect(PortTransport::new(near, PortOptions { text, ..PortOptions::host() })).unwrap();
        let far = PortTransport::new(far, PortOptions { text, ..PortOptions::client() });
        let client = Client::connect(far, ClientOptions::default()).unwrap();
        block_on(client.ready()).unwrap();
        assert_eq!(block_on(client.call::<i64>("counter", "increase", (5,))).unwrap(), 5);
        assert_eq!(client.state().unwrap(), host.state().0);
    }
}

#[test]
fn an_agent_that_is_terminated_leaves_its_host_and_nobody_else() {
    let cluster = Cluster::new().unwrap();
    let host = host();
    let (doomed, other) = (spawn(&cluster, CLIENT), spawn(&cluster, CLIENT));
    connect(&host, &doomed, PortOptions::host());
    connect(&host, &other, PortOptions::host());
    doomed.call::<i64>("call", &("increase", 1)).wait().unwrap();
    other.call::<i64>("call", &("increase", 1)).wait().unwrap();
    assert_eq!(host.connections(), 2);
    let flood = doomed.call::<Vec<i64>>("flood", &(10_000,));
    doomed.terminate();
    doomed.join().wait();
    drop(flood);
    // The close is told on the agent's thread, before its end is.
    assert_eq!(host.connections(), 1);
    let count: i64 = other.call("call", &("increase", 1)).wait().unwrap();
    assert_eq!(host.state().0.get("counter").and_then(|counter| counter.get("count")?.as_i64()), Some(count));
}

#[test]
fn a_client_whose_host_closes_the_port_is_told() {
    let cluster = Cluster::new().unwrap();
    // A host in an agent that greets, and hears a call but never answers it.
    let text = r#"
        onmessage = ({ data, ports: [port] }) => {
            port.onmessage = ({ data }) => data.type === "call" && close();
            port.postMessage({ type: "ready" });
            port.postMessage(JSON.stringify({ type: "state", sync: "snapshot", version: 3, state: { a: 1 } }));
            port.postMessage(new Map([[1, 2]]));
            port.postMessage(42n);
            port.postMessage({ type: "state", sync: "patch", version: 4, patches: [{ op: "add", path: ["b"], value: 2 }] });
        };
    "#;
    let agent = spawn(&cluster, text);
    let (near, far) = Port::pair(PortLimits::default());
    agent.port().post_with("host", vec![far]).unwrap();
    let invalid = Arc::new(Mutex::new(Vec::new()));
    let keep = invalid.clone();
    let options = ClientOptions {
        on_invalid: Some(Box::new(move |invalid| keep.lock().unwrap().push(invalid.clone()))),
        ..ClientOptions::default()
    };
    let client = Client::connect(PortTransport::new(near, PortOptions::client()), options).unwrap();
    let call = block_on(client.call::<Value>("a", "b", ()));
    assert_eq!(call, Err(CallError::Transport(TransportError::Closed)));
    // What was said before the close counts, and what is no message was told.
    assert_eq!((client.version(), client.state().unwrap().to_json()), (4, r#"{"a":1,"b":2}"#.into()));
    assert!(matches!(&invalid.lock().unwrap()[..], [Invalid::NotPlain(_), Invalid::NotAnObject]), "{invalid:?}");
}

#[test]
fn a_message_that_is_too_large_is_refused_and_the_rest_goes_on() {
    let cluster = Cluster::new().unwrap();
    // From a client: its host does not take it, and says so by silence; the client's own limits are for it to set.
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = heard.clone();
    let options = HostOptions {
        on_invalid: Some(Arc::new(move |_, invalid| keep.lock().unwrap().push(invalid.clone()))),
        ..HostOptions::default()
    };
    let counter = Counter { count: 0, text: String::new() };
    let host = Host::builder().sync(SyncMode::Patch).options(options).module(counter).build().unwrap();
    let agent = spawn(&cluster, CLIENT);
    connect(&host, &agent, PortOptions { bytes_max: 1000, ..PortOptions::host() });
    let refused = agent.call::<usize>("call", &("write", "x".repeat(2000)));
    assert_eq!(agent.call::<usize>("call", &("write", "y".repeat(500))).wait().unwrap(), 500);
    assert!(matches!(heard.lock().unwrap()[..], [Invalid::TooLarge { max: 1000, .. }]));
    drop(refused);

    // From the host: a change that the port does not take is lost, and a snapshot that would have it, too. Later ones come.
    let limits = PortLimits { message_bytes: 2000, ..PortLimits::default() };
    let (near, far) = Port::pair(limits);
    host.connect(PortTransport::new(near, PortOptions::host())).unwrap();
    let client = Client::connect(PortTransport::new(far, PortOptions::client()), ClientOptions::default()).unwrap();
    block_on(client.ready()).unwrap();
    let text = "z".repeat(5000);
    host.update(|counter: &mut Counter| {
        counter.text = text;
        Ok(())
    })
    .unwrap();
    host.update(|counter: &mut Counter| {
        counter.text.clear();
        counter.count = 9;
        Ok(())
    })
    .unwrap();
    assert_eq!(client.state().unwrap(), host.state().0);
    assert_eq!(client.version(), host.state().1);
}

/// A receiver that counts.
#[derive(Default)]
struct Counted {
    state: Mutex<(usize, usize, bool)>,
    changed: Condvar,
}

impl Receiver for Counted {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        assert!(received.is_ok());
        self.state.lock().unwrap().0 += 1;
    }
    fn writable(self: Arc<Self>) {
        self.state.lock().unwrap().1 += 1;
        self.changed.notify_all();
    }
    fn closed(self: Arc<Self>, error: &TransportError) {
        assert_eq!(*error, TransportError::Closed);
        self.state.lock().unwrap().2 = true;
        self.changed.notify_all();
    }
}

#[test]
fn a_full_port_refuses_and_tells_when_there_is_room() {
    let limits = PortLimits { queue_messages: 4, ..PortLimits::default() };
    let (near, far) = Port::pair(limits);
    let transport = PortTransport::new(near, PortOptions::host());
    let counted = Arc::new(Counted::default());
    transport.subscribe(counted.clone()).unwrap();
    assert_eq!(transport.subscribe(counted.clone()), Err(TransportError::Subscribed));
    let frame = Frame::new(Message::parse(r#"{"type":"sync","id":1}"#, 100).unwrap());
    let sent = (0..10).take_while(|_| transport.post(&frame) == Ok(())).count();
    assert_eq!((sent, transport.post(&frame)), (4, Err(TransportError::Full)));
    assert_eq!(counted.state.lock().unwrap().1, 0);
    for taken in 1..=4 {
        assert!(far.try_receive().unwrap().is_some());
        // Half of the queue is to be free before it is said.
        assert_eq!(counted.state.lock().unwrap().1, usize::from(taken >= 2), "{taken} taken");
    }
    assert_eq!(transport.post(&frame), Ok(()));
    drop(far);
    let state = counted.state.lock().unwrap();
    let (state, _) = counted.changed.wait_timeout_while(state, PATIENCE, |state| !state.2).unwrap();
    assert_eq!(*state, (0, 1, true));
    drop(state);
    assert_eq!(transport.post(&frame), Err(TransportError::Closed));
}

#[test]
fn a_slow_client_in_an_agent_is_brought_up_by_a_snapshot() {
    let cluster = Cluster::new().unwrap();
    let host = host();
    let agent = spawn(&cluster, CLIENT);
    let (near, far) = Port::pair(PortLimits { queue_messages: 8, ..PortLimits::default() });
    agent.port().post_with("host", vec![far]).unwrap();
    host.connect(PortTransport::new(near, PortOptions::host())).unwrap();
    agent.call::<(u64, Value, u32)>("state", &()).wait().unwrap();
    // While the agent is held up by what it says, far more changes come than wait for it.
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    cluster.set_console(move |_, _| gone.lock().unwrap().recv().unwrap());
    let held_up = agent.eval::<()>("console.log('here')");
    for _ in 0..5000 {
        host.update(|counter: &mut Counter| {
            counter.count += 1;
            Ok(())
        })
        .unwrap();
    }
    go.send(()).unwrap();
    held_up.wait().unwrap();
    assert_eq!(agent.call::<i64>("call", &("increase", 1)).wait().unwrap(), 5001);
    let noticed = agent.call::<u32>("noticed", &()).wait().unwrap();
    assert!(noticed < 5001, "all changes came one by one");
    let (version, state, conflicts): (u64, Value, u32) = agent.call("state", &()).wait().unwrap();
    assert_eq!((version, state, conflicts), (5001, host.state().0, 0));
}

#[test]
fn text_that_only_json_carries_crosses_as_text() {
    let message = r#"{"type":"state","sync":"snapshot","version":0,"state":{"lone":"\ud800"}}"#;
    let frame = Frame::new(Message::parse(message, 1000).unwrap());
    let (near, far) = Port::pair(PortLimits::default());
    let objects = PortTransport::new(near, PortOptions::host());
    assert!(matches!(objects.post(&frame), Err(TransportError::Io(_))));
    let (near, other) = Port::pair(PortLimits::default());
    PortTransport::new(near, PortOptions { text: true, ..PortOptions::host() }).post(&frame).unwrap();
    let text: String = other.try_receive().unwrap().unwrap().get().unwrap();
    assert_eq!(parse_json(&text).unwrap(), parse_json(message).unwrap());
    assert!(far.try_receive().unwrap().is_none());
}

#[test]
fn a_client_here_follows_a_host_in_an_agent_until_it_ends() {
    let cluster = Cluster::new().unwrap();
    let text = r#"
        import { createPostMessageWorkerTransport, createWorkerApp, defineModule } from "peristyle";
        class Counter {
            count = 0;
            increase(step) { return (this.count += step); }
            fails() { this.count = -1; throw new RangeError("no"); }
            async never() { await new Promise(() => {}); }
        }
        const counter = defineModule(Counter, { name: "counter", state: ["count"], actions: ["increase", "fails", "never"] });
        onmessage = ({ ports: [port] }) => {
            createWorkerApp({ providers: [counter], transport: createPostMessageWorkerTransport(port), sync: "patch" });
        };
    "#;
    let agent = spawn(&cluster, text);
    let (near, far) = Port::pair(PortLimits::default());
    agent.port().post_with("client", vec![far]).unwrap();
    let transport = PortTransport::new(near, PortOptions::client());
    let client = Client::connect(transport, ClientOptions::default()).unwrap();
    block_on(client.ready()).unwrap();
    assert_eq!(block_on(client.call::<i64>("counter", "increase", (3,))).unwrap(), 3);
    let error = block_on(client.call::<i64>("counter", "fails", ())).unwrap_err();
    assert!(matches!(&error, CallError::Remote(error) if error.name == "RangeError"), "{error:?}");
    let refused = block_on(client.call::<i64>("counter", "constructor", ())).unwrap_err().to_string();
    assert_eq!(refused, "Remote worker error: counter.constructor is neither an action nor exposed");
    assert_eq!((client.version(), client.state().unwrap().to_json()), (1, r#"{"counter":{"count":3}}"#.into()));
    let never = client.call::<i64>("counter", "never", ());
    agent.terminate();
    assert_eq!(block_on(never), Err(CallError::Transport(TransportError::Closed)));
    // The last state stays readable.
    assert_eq!(client.version(), 1);
}
