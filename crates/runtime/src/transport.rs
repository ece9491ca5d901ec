//! Message ports as transports: hosts and clients here, in an agent, or one of each.
//!
//! Messages cross as `postMessage` sends them, as objects, so that any client over `postMessage` is a peer, one of
//! CoSystem's worker runtime included. A peer may also send JSON text; [`PortOptions::text`] makes this end send it.
//!
//! # Rules
//! - A full port refuses, and tells when there is room. A message beyond the port's limit is refused as too large, and so
//!   is one beyond [`PortOptions::bytes_max`] that arrives.
//! - When the other end closes, or its agent ends, the receiver is told, after all that was posted before.
//! - Text with lone surrogates crosses as JSON text only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peristyle_agents::{Message as PortMessage, Port, PortEvent, PostError};
use peristyle_mirror::{
    Frame, Invalid, MESSAGE_BYTES_MAX, Message, Receiver, Transport, TransportError, Value, parse_json,
};
use serde::Serialize;

/// How a port carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortOptions {
    /// Bytes of JSON text of a message that arrives. 1 MiB unless told.
    pub bytes_max: usize,
    /// Whether messages are sent as JSON text. As objects unless told.
    pub text: bool,
}

impl PortOptions {
    /// For a host's end.
    pub fn host() -> PortOptions {
        PortOptions { bytes_max: MESSAGE_BYTES_MAX, text: false }
    }

    /// For a client's end: a whole state of the host that it chose is one message, of up to 64 MiB.
    pub fn client() -> PortOptions {
        PortOptions { bytes_max: 64 << 20, text: false }
    }
}

/// A message port that carries the messages of a host or a client.
pub struct PortTransport(Arc<Shared>);

struct Shared {
    port: Port,
    options: PortOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    receiver: Option<Arc<dyn Receiver>>,
    is_subscribed: bool,
}

impl PortTransport {
    /// Takes over a port.
    pub fn new(port: Port, options: PortOptions) -> PortTransport {
        PortTransport(Arc::new(Shared { port, options, state: Mutex::default() }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the receiver, and returns it.
    fn take(&self) -> Option<Arc<dyn Receiver>> {
        self.lock().receiver.take()
    }

    fn arrived(&self, message: PortMessage) {
        let receiver = self.lock().receiver.clone();
        if let Some(receiver) = receiver {
            receiver.receive(read(message, self.options.bytes_max).map(Frame::new));
        }
    }

    fn happened(&self, event: PortEvent) {
        match event {
            PortEvent::Room => {
                let receiver = self.lock().receiver.clone();
                receiver.into_iter().for_each(Receiver::writable);
            }
            PortEvent::Closed => {
                self.take().inspect(|receiver| receiver.clone().closed(&TransportError::Closed));
            }
            _ => {}
        }
    }
}

fn read(message: PortMessage, bytes_max: usize) -> Result<Message, Invalid> {
    let (value, _) = message.into::<Value>().map_err(|error| Invalid::NotPlain(error.to_string()))?;
    match &value {
        Value::String(text) => Message::parse(text.as_str().ok_or(Invalid::NotText)?, bytes_max),
        value => Message::parse(&value.to_json(), bytes_max),
    }
}

fn refused(error: PostError) -> TransportError {
    match error {
        PostError::Closed => TransportError::Closed,
        PostError::Full { .. } => TransportError::Full,
        PostError::TooLarge { bytes, max } => {
            let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
            TransportError::TooLarge { bytes: size(bytes), max: size(max) }
        }
        other => TransportError::Io(other.to_string()),
    }
}

fn send(port: &Port, message: &(impl Serialize + ?Sized)) -> Result<(), TransportError> {
    port.post(message).map_err(refused)
}

impl Transport for PortTransport {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let Shared { port, options, .. } = &*self.0;
        if options.text {
            return send(port, &**frame.text());
        }
        // Text that others made for the host is read here, by the one who needs objects.
        let value = parse_json(frame.text()).map_err(|error| TransportError::Io(error.to_string()))?;
        send(port, &value)
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.is_subscribed, true) {
            return Err(TransportError::Subscribed);
        }
        state.receiver = Some(receiver);
        drop(state);
        // The port keeps both callbacks, so they must not keep the port. Messages first: a close is told after them.
        let (arriving, happening) = (Arc::downgrade(&self.0), Arc::downgrade(&self.0));
        self.0.port.on_message(move |message| {
            if let Some(shared) = arriving.upgrade() {
                shared.arrived(message);
            }
        });
        self.0.port.on_event(move |event| {
            if let Some(shared) = happening.upgrade() {
                shared.happened(event);
            }
        });
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        let receiver = self.0.take();
        self.0.port.close();
        drop(receiver);
        Ok(())
    }
}
