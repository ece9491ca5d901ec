//! Messages of anybody's into a client and a host: neither panics, and both stay usable.
#![no_main]

use std::{sync::Arc, time::Duration};

use peristyle_mirror::{
    ClientCore, Extensions, Failure, Frame, Host, Message, Receiver, State, SyncMode, Transport, TransportError, Value,
    module, parse_json,
};

#[derive(Clone, State)]
struct Doc {
    root: Value,
}

#[module]
impl Doc {
    #[action]
    fn set(&mut self, root: Value) -> Value {
        std::mem::replace(&mut self.root, root)
    }

    #[action]
    fn add(&mut self, number: f64, text: Option<String>) -> Result<String, Failure> {
        Ok(format!("{number}{}", text.unwrap_or_default()))
    }
}

/// Hands the input to the host, and what the host says to a client.
struct End(std::sync::Mutex<Option<Arc<dyn Receiver>>>, std::sync::Mutex<ClientCore>);

impl Transport for End {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let mut events = Vec::new();
        let message = Message::parse(frame.text(), 1 << 26).map(Frame::new);
        assert!(message.is_ok(), "a host's own message is invalid: {}", frame.text());
        self.1.lock().unwrap().receive(message, Duration::ZERO, &mut events);
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        *self.0.lock().unwrap() = Some(receiver);
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        self.0.lock().unwrap().take();
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let host = Host::builder().sync(SyncMode::Patch).module(Doc { root: Value::Null }).build().unwrap();
    let follower = ClientCore::new(Extensions::default());
    let end = Arc::new(End(Default::default(), std::sync::Mutex::new(follower)));
    host.connect(end.clone()).unwrap();
    let mut clients = [ClientCore::new(Extensions::default()), ClientCore::new(Extensions::OFF)];
    let mut events = Vec::new();
    for client in &mut clients {
        let args = parse_json("[]").unwrap_or_default();
        for _ in 0..3 {
            let _ = client.call("m".into(), "f".into(), args.clone().into(), 10.0, false, Duration::ZERO, &mut events);
        }
    }
    // A line is a message.
    for (at, line) in data.split(|&byte| byte == b'\n').enumerate() {
        let read = || Message::parse_bytes(line, 1 << 16).map(Frame::new);
        if let Ok(frame) = read() {
            // What was read is written so that it is read as the same.
            let again = Message::parse(frame.text(), 1 << 26);
            assert_eq!(again.as_ref(), Ok(frame.message()));
        }
        let receiver = end.0.lock().unwrap().clone();
        if let Some(receiver) = receiver {
            receiver.receive(read());
        }
        for client in &mut clients {
            client.receive(read(), Duration::from_millis(at as u64), &mut events);
            client.expire(Duration::from_millis(at as u64), &mut events);
        }
        events.clear();
    }
    // The host still publishes what its follower takes.
    let changed = host.update(|doc: &mut Doc| {
        doc.root = "alive".into();
        Ok(())
    });
    assert_eq!(changed, Ok(()));
    assert_eq!(end.1.lock().unwrap().state(), Some(&host.state().0));
});
