//! The mirror protocol's vectors for hosts, run against the reference app in an agent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use peristyle_agents::{Cluster, Code};
use peristyle_mirror::{
    Failure, Frame, Host, HostOptions, Message, Receiver, SyncMode, Transport, TransportError, Value, parse_json,
};
use peristyle_runtime::{AgentApp, AppOptions};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cases whose order is that of modules here: a call runs elsewhere, and the answer to a request that came after it does not
/// wait for it. `calls_during_start_up_run_when_it_ends` says what counts instead.
const OTHER_ORDER: [&str; 1] = ["changes of start-up"];

/// The far end of a host's connection.
#[derive(Clone, Default)]
struct Far {
    heard: Arc<(Mutex<Vec<Value>>, Condvar)>,
    receiver: Arc<Mutex<Option<Arc<dyn Receiver>>>>,
}

impl Transport for Far {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        self.heard.0.lock().unwrap().push(parse_json(frame.text()).unwrap());
        self.heard.1.notify_all();
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        *self.receiver.lock().unwrap() = Some(receiver);
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        *self.receiver.lock().unwrap() = None;
        Ok(())
    }
}

impl Far {
    fn send(&self, message: &str) {
        let receiver = self.receiver.lock().unwrap().clone();
        if let Some(receiver) = receiver {
            receiver.receive(Message::parse(message, 1 << 20).map(Frame::new));
        }
    }

    /// Takes what was heard, at least `count` messages.
    fn take(&self, count: usize) -> Vec<Value> {
        let heard = self.heard.0.lock().unwrap();
        let (mut heard, _) = self.heard.1.wait_timeout_while(heard, PATIENCE, |heard| heard.len() < count).unwrap();
        std::mem::take(&mut *heard)
    }
}

fn items(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_list).map(|list| list.iter().cloned().collect()).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn start(cluster: &Cluster, kind: &str, options: HostOptions) -> (Host, AgentApp) {
    let builder = match kind {
        "patch" => Host::builder().sync(SyncMode::Patch),
        "snapshot" => Host::builder().sync(SyncMode::Snapshot),
        "sections" => Host::builder().sync(SyncMode::Patch).sections(&["counter", "list"]),
        other => panic!("unknown host `{other}`"),
    };
    let host = builder.options(options).starting().unwrap();
    let code = Code::file(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/apps/reference.ts"));
    let app = AgentApp::start(cluster, code, AppOptions::default(), &host).unwrap();
    (host, app)
}

#[test]
fn a_host_of_an_agents_modules_says_what_the_vectors_say() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../mirror/vectors/host.json");
    let cases = items(Some(&parse_json(&std::fs::read_to_string(path).unwrap()).unwrap()));
    assert!(OTHER_ORDER.iter().all(|name| cases.iter().any(|case| text(case, "name") == *name)));
    let cluster = Cluster::new().unwrap();
    for case in cases.iter().filter(|case| !OTHER_ORDER.contains(&text(case, "name"))) {
        let name = text(case, "name");
        let flag = |name: &str| case.get(name).and_then(Value::as_bool).unwrap_or(false);
        let invalid = Arc::new(Mutex::new(0.0));
        let counter = invalid.clone();
        let options = HostOptions {
            epoch: Some(7),
            extensions: flag("extensions"),
            on_invalid: Some(Arc::new(move |_, _| *counter.lock().unwrap() += 1.0)),
            ..HostOptions::default()
        };
        let (host, _app) = start(&cluster, text(case, "host"), options);
        if !flag("starting") {
            host.started(Ok(()));
        }
        let mut connections: BTreeMap<String, Far> = BTreeMap::new();
        for (at, step) in items(case.get("steps")).iter().enumerate() {
            let context = format!("`{name}`, step {at}");
            let command = step.get("do").unwrap();
            let connection = text(command, "connection").to_owned();
            *invalid.lock().unwrap() = 0.0;
            match text(command, "cmd") {
                "open" => {
                    let far = Far::default();
                    host.connect(far.clone()).unwrap();
                    connections.insert(connection, far);
                }
                "send" => connections[&connection].send(&command.get("data").unwrap().to_json()),
                "started" => {
                    let error = command.get("error").and_then(Value::as_str);
                    host.started(error.map_or(Ok(()), |error| Err(Failure::error(error))));
                }
                "dispose" => host.dispose().unwrap(),
                "await" => {}
                other => panic!("{context}: unknown command `{other}`"),
            }
            for (connection, far) in &connections {
                let expected = items(step.get("out").and_then(|out| out.get(connection)));
                let heard = far.take(expected.len());
                assert_eq!(heard, expected, "{context}, connection {connection}");
            }
            let expected = step.get("invalid").and_then(Value::as_f64).unwrap_or(0.0);
            assert_eq!(*invalid.lock().unwrap(), expected, "{context}: invalid messages");
        }
        for (connection, far) in &connections {
            assert_eq!(far.take(0), [], "`{name}`: left at the end, connection {connection}");
        }
    }
}

#[test]
fn calls_during_start_up_run_when_it_ends() {
    let options = HostOptions { extensions: false, ..HostOptions::default() };
    let (host, app) = start(&Cluster::new().unwrap(), "patch", options);
    let far = Far::default();
    host.connect(far.clone()).unwrap();
    far.send(r#"{"type":"call","id":7,"module":"counter","method":"increase","args":[1]}"#);
    for _ in 0..3 {
        app.agent().call::<()>("add", &()).wait().unwrap();
    }
    assert_eq!(far.take(0), []);
    host.started(Ok(()));
    let heard: Vec<_> = far.take(4);
    assert_eq!(
        heard.iter().map(|message| text(message, "type")).collect::<Vec<_>>(),
        ["ready", "state", "state", "result"]
    );
    let (snapshot, change, result) = (&heard[1], &heard[2], &heard[3]);
    assert_eq!((text(snapshot, "sync"), snapshot.get("version")), ("snapshot", Some(&Value::from(3))));
    let count = snapshot.get("state").and_then(|state| state.get("counter")?.get("count")?.as_f64());
    assert_eq!(count, Some(3.0));
    assert_eq!((text(change, "sync"), change.get("version")), ("patch", Some(&Value::from(4))));
    assert_eq!(result.get("value"), Some(&Value::from(4)));
}
