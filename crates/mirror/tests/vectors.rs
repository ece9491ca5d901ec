//! The test vectors: messages in; state, versions, reports and messages out. Clients of other languages run the same files.

#[path = "../examples/reference/app.rs"]
mod app;
#[path = "../examples/reference/probe.rs"]
mod probe;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use peristyle_mirror::{
    Failure, Frame, Host, HostOptions, Message, Receiver, Transport, TransportError, Value, parse_json,
};
use probe::Probe;

/// How long a message of a host's may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn read(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse_json(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn items(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_list).map(|list| list.iter().cloned().collect()).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

const FILES: [&str; 6] = ["messages", "state", "calls", "patches", "extensions", "host"];

fn cases(file: &str) -> Vec<Value> {
    let cases = items(Some(&read(&format!("{file}.json"))));
    assert!(!cases.is_empty(), "{file} has no cases");
    cases
}

#[test]
fn every_rule_has_a_vector() {
    let rules: BTreeSet<String> =
        items(Some(&read("rules.json"))).iter().map(|rule| text(rule, "id").to_owned()).collect();
    let mut covered = BTreeSet::new();
    for case in FILES.iter().flat_map(|file| cases(file)) {
        assert!(!items(case.get("steps")).is_empty(), "`{}` has no steps", text(&case, "name"));
        covered.extend(items(case.get("rules")).iter().filter_map(Value::as_str).map(str::to_owned));
    }
    let missing: Vec<_> = rules.difference(&covered).collect();
    assert!(missing.is_empty(), "rules without a vector: {missing:?}");
    let unknown: Vec<_> = covered.difference(&rules).collect();
    assert!(unknown.is_empty(), "vectors of rules that there are not: {unknown:?}");
    for section in 2..=6 {
        assert!(rules.iter().any(|rule| rule.starts_with(&format!("{section}."))), "no rule of section {section}");
    }
}

fn check_client(file: &str) {
    for case in cases(file) {
        let mut probe = Probe::new(case.get("extensions").and_then(Value::as_bool).unwrap_or(false));
        let mut now = Duration::ZERO;
        for (at, step) in items(case.get("steps")).iter().enumerate() {
            let command = step.get("do").cloned().unwrap_or_default();
            let events = match text(&command, "cmd") {
                "text" => probe.receive(text(&command, "text"), now),
                "fail-posts" => {
                    probe.post_error = command.get("message").and_then(Value::as_str).map(str::to_owned);
                    Vec::new()
                }
                "wait" => {
                    let ms = command.get("ms").and_then(Value::as_f64).unwrap_or_default();
                    now += Duration::from_secs_f64(ms / 1000.0);
                    probe.command(&command, now)
                }
                _ => probe.command(&command, now),
            };
            assert_eq!(
                Value::List(events.into_iter().collect()),
                step.get("events").cloned().unwrap_or_default(),
                "{file}: `{}`, step {at}: {command}",
                text(&case, "name")
            );
        }
    }
}

#[test]
fn messages() {
    check_client("messages");
}

#[test]
fn state() {
    check_client("state");
}

#[test]
fn calls() {
    check_client("calls");
}

#[test]
fn patches() {
    check_client("patches");
}

#[test]
fn extensions() {
    check_client("extensions");
}

/// The far end of a host's connection, as JSON text has it.
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
    fn send(&self, message: &Value) {
        let receiver = self.receiver.lock().unwrap().clone();
        if let Some(receiver) = receiver {
            receiver.receive(Message::parse(&message.to_json(), 1 << 20).map(Frame::new));
        }
    }

    /// Takes what was heard, at least `count` messages.
    fn take(&self, count: usize) -> Vec<Value> {
        let heard = self.heard.0.lock().unwrap();
        let (mut heard, _) = self.heard.1.wait_timeout_while(heard, PATIENCE, |heard| heard.len() < count).unwrap();
        std::mem::take(&mut *heard)
    }
}

#[test]
fn host() {
    for case in cases("host") {
        let name = text(&case, "name");
        let flag = |name: &str| case.get(name).and_then(Value::as_bool).unwrap_or(false);
        let invalid = Arc::new(Mutex::new(0.0));
        let counter = invalid.clone();
        let options = HostOptions {
            epoch: Some(7),
            extensions: flag("extensions"),
            on_invalid: Some(Arc::new(move |_, _| *counter.lock().unwrap() += 1.0)),
            ..HostOptions::default()
        };
        let builder = app::builder(text(&case, "host")).unwrap().options(options);
        let host: Host = if flag("starting") { builder.starting() } else { builder.build() }.unwrap();
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
                "send" => connections[&connection].send(command.get("data").unwrap()),
                "started" => {
                    for _ in 0..command.get("changes").and_then(Value::as_i64).unwrap_or(0) {
                        let add = |counter: &mut app::Counter| {
                            counter.add(1.0);
                            Ok(())
                        };
                        host.update(add).unwrap();
                    }
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
