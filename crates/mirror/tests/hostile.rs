//! Broken and hostile messages, made of the vectors' own: nothing panics, and both sides stay usable.

#[path = "../examples/reference/app.rs"]
mod app;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use peristyle_mirror::{
    ClientCore, Extensions, Frame, Message, Receiver, Transport, TransportError, Value, parse_json,
};

/// Only takes the receiver.
#[derive(Default)]
struct End(Mutex<Option<Arc<dyn Receiver>>>);

impl Transport for End {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let message = Message::parse(frame.text(), 1 << 26);
        assert_eq!(message.as_ref(), Ok(frame.message()), "a host's own message");
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        *self.0.lock().unwrap() = Some(receiver);
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        Ok(())
    }
}

fn random(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % below.max(1)
}

/// The messages of all vectors.
fn messages() -> Vec<String> {
    let mut messages = Vec::new();
    for file in ["messages", "state", "calls", "patches", "extensions", "host"] {
        let path = format!("{}/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let cases = parse_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in cases.as_list().unwrap().iter() {
            let steps = case.get("steps").and_then(Value::as_list).unwrap();
            messages.extend(steps.iter().filter_map(|step| Some(step.get("do")?.get("data")?.to_json())));
        }
    }
    assert!(messages.len() > 300);
    messages
}

/// Parts that tend to go wrong.
const PARTS: [&str; 16] = [
    "null",
    "-1",
    "1e999",
    "9007199254740993",
    "\"__proto__\"",
    "\"\\ud800\"",
    "{}",
    "[",
    "]",
    "}",
    "\"",
    "\\",
    "-",
    "\u{0}",
    "4294967295",
    "\"length\"",
];

fn broken(messages: &[String], seed: &mut u64) -> Vec<u8> {
    let mut bytes = messages[random(seed, messages.len())].clone().into_bytes();
    for _ in 0..random(seed, 4) {
        let at = random(seed, bytes.len());
        match random(seed, 5) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = random(seed, 256) as u8,
            2 => {
                let other = messages[random(seed, messages.len())].as_bytes();
                let (from, to) = (random(seed, other.len()), random(seed, other.len()));
                bytes.splice(at..at, other[from.min(to)..from.max(to)].iter().copied());
            }
            _ => {
                let end = (at + random(seed, 8)).min(bytes.len());
                bytes.splice(at..end, PARTS[random(seed, PARTS.len())].bytes());
            }
        }
    }
    bytes
}

#[test]
fn nothing_that_arrives_panics() {
    let messages = messages();
    let mut seed = 11;
    for _ in 0..300 {
        let host = app::builder("patch").unwrap().build().unwrap();
        let end = Arc::new(End::default());
        host.connect(end.clone()).unwrap();
        let receiver = end.0.lock().unwrap().clone().unwrap();
        let mut clients = [ClientCore::new(Extensions::OFF), ClientCore::new(Extensions::default())];
        let mut events = Vec::new();
        for step in 0..200 {
            let bytes = broken(&messages, &mut seed);
            let read = || Message::parse_bytes(&bytes, 1 << 16).map(Frame::new);
            if let Ok(frame) = read() {
                let again = Message::parse(frame.text(), 1 << 26);
                assert_eq!(again.as_ref(), Ok(frame.message()), "{}", frame.text());
            }
            receiver.clone().receive(read());
            let now = Duration::from_millis(step * 20);
            for client in &mut clients {
                if step % 16 == 0 {
                    let args = parse_json("[]").unwrap();
                    client.call("m".into(), "f".into(), args.into(), 100.0, false, now, &mut events).unwrap();
                }
                client.receive(read(), now, &mut events);
                client.expire(now, &mut events);
            }
        }
        // Still there: a whole state is taken, and a change is published.
        for client in &mut clients {
            let text = r#"{"type":"state","sync":"snapshot","version":9007199254740991,"state":{"a":1}}"#;
            client.receive(Message::parse(text, 1 << 20).map(Frame::new), Duration::from_secs(9), &mut events);
            assert_eq!(client.version(), 9_007_199_254_740_991);
        }
        let version = host.state().1;
        let add = |counter: &mut app::Counter| {
            counter.add(1.0);
            Ok(())
        };
        host.update(add).unwrap();
        // Asynchronous actions that hostile calls started may be publishing beside it.
        assert!(host.state().1 > version);
    }
}

#[test]
fn depth_and_size_cost_neither_stack_nor_memory() {
    let parse = |text: String| Message::parse(&text, 64 << 20);
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let call = |args: String| format!(r#"{{"type":"call","id":1,"module":"m","method":"f","args":{args}}}"#);
    assert!(parse(call(deep(511))).is_ok());
    assert!(parse(call(deep(512))).is_err());
    assert!(parse(call("[".repeat(10_000_000))).is_err());
    assert!(parse("{\"a\":".repeat(10_000_000)).is_err());
    assert!(Message::parse(&call(format!("[\"{}\"]", "x".repeat(100))), 100).is_err());
    // What would be too deep to be published is refused, and leaves the host able to publish.
    let host = app::builder("patch").unwrap().build().unwrap();
    let end = Arc::new(End::default());
    host.connect(end.clone()).unwrap();
    let receiver = end.0.lock().unwrap().clone().unwrap();
    for (depth, changes) in [(505, 1), (507, 1), (508, 1), (100, 2)] {
        let put = format!(r#"{{"type":"call","id":1,"module":"doc","method":"put","args":[["a"],{}]}}"#, deep(depth));
        receiver.clone().receive(parse(put).map(Frame::new));
        assert_eq!(host.state().1, changes, "depth {depth}");
    }
    host.connect(Arc::new(End::default())).unwrap();
    // Many patches, each below the last: state grows no deeper than paths are long.
    let mut client = ClientCore::new(Extensions::OFF);
    let mut events = Vec::new();
    let state = r#"{"type":"state","sync":"snapshot","version":0,"state":{}}"#;
    client.receive(Message::parse(state, 1 << 20).map(Frame::new), Duration::ZERO, &mut events);
    for version in 1..2000 {
        let path = vec!["\"a\""; version].join(",");
        let text = format!(
            r#"{{"type":"state","sync":"patch","version":{version},"patches":[{{"op":"add","path":[{path}],"value":{{}}}}]}}"#
        );
        client.receive(Message::parse(&text, 1 << 20).map(Frame::new), Duration::ZERO, &mut events);
        events.clear();
    }
    assert_eq!(client.version(), 512);
}
