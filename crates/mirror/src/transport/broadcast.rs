//! A channel on which everybody hears everybody.
//!
//! Messages travel in an [`Envelope`] that names the channel, the sender and perhaps a receiver (section 8 of the
//! protocol). A host has one connection to all its clients: what answers one of them goes to that one alone, because the
//! host's end remembers who asked, under an id of its own.
//!
//! # Rules
//! - Envelopes that are not for this end are dropped without a word; what is for it and malformed is invalid.
//! - Routes are forgotten when used, and when more than [`BroadcastOptions::routes_max`] wait, oldest first.
//! - The token keeps apart, it does not keep secrets: everybody on the channel can read it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Receiver, Transport, TransportError};
use crate::{
    json::{self, INTEGER_MAX},
    lock,
    message::{Frame, Invalid, Message},
    value::{Map, Value},
};

/// A message on a broadcast channel.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The logical channel.
    pub channel: String,
    /// Who sends it.
    pub source: String,
    /// Who is to take it, if not all.
    pub target: Option<String>,
    /// The sender's token.
    pub auth: Option<String>,
    /// The message.
    pub message: Arc<Frame>,
}

impl Envelope {
    /// Returns the envelope as JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"type\":\"cosystem:worker\",\"channel\":");
        json::write_str(&self.channel, &mut out);
        out.push_str(",\"source\":");
        json::write_str(&self.source, &mut out);
        for (key, text) in [("target", &self.target), ("auth", &self.auth)] {
            if let Some(text) = text {
                out.push_str(",\"");
                out.push_str(key);
                out.push_str("\":");
                json::write_str(text, &mut out);
            }
        }
        out.push_str(",\"message\":");
        out.push_str(self.message.text());
        out.push('}');
        out
    }
}

/// Something heard on a channel: an envelope of this process, or text from elsewhere.
#[derive(Debug, Clone)]
enum Heard {
    Envelope(Arc<Envelope>),
    Text(Arc<str>),
}

type Ear = Arc<dyn Fn(&Heard) + Send + Sync>;

/// A broadcast channel within this process. Copies are the same channel.
#[derive(Clone, Default)]
pub struct BroadcastHub(Arc<Mutex<BTreeMap<u64, Ear>>>);

impl BroadcastHub {
    /// A channel on which nobody is yet.
    pub fn new() -> BroadcastHub {
        BroadcastHub::default()
    }

    /// Lets everybody hear an envelope that is given as JSON text, as one from another process would be.
    pub fn inject(&self, text: &str) {
        self.tell(0, &Heard::Text(text.into()));
    }

    /// Lets everybody but `from` hear something.
    fn tell(&self, from: u64, heard: &Heard) {
        let ears: Vec<Ear> = lock(&self.0).iter().filter(|(id, _)| **id != from).map(|(_, ear)| ear.clone()).collect();
        for ear in ears {
            // One that panics is no concern of the others.
            let _ = catch_unwind(AssertUnwindSafe(|| ear(heard)));
        }
    }
}

/// How an end takes part in a channel.
#[derive(Debug, Clone)]
pub struct BroadcastOptions {
    /// The logical channel; several may share one medium.
    pub channel: String,
    /// This end's name; by default one that is unique in this process.
    pub peer_id: Option<String>,
    /// To whom calls and requests go, if not to all.
    pub target_peer_id: Option<String>,
    /// Sent along, and asked of others.
    pub auth_token: Option<String>,
    /// Routes that are remembered at a host.
    pub routes_max: usize,
    /// How large an arriving message may be.
    pub message_bytes_max: usize,
}

impl Default for BroadcastOptions {
    fn default() -> Self {
        BroadcastOptions {
            channel: "cosystem:worker".into(),
            peer_id: None,
            target_peer_id: None,
            auth_token: None,
            routes_max: 8192,
            message_bytes_max: 64 << 20,
        }
    }
}

/// One end of a broadcast channel.
pub struct Broadcast {
    hub: BroadcastHub,
    id: u64,
    source: String,
    options: BroadcastOptions,
    routes: Arc<Mutex<Routes>>,
}

/// Who asked what, by local id.
#[derive(Default)]
struct Routes {
    next: u64,
    /// Ids rise, so the first is the oldest.
    by_id: BTreeMap<u64, (u64, String)>,
}

impl Broadcast {
    /// Joins a channel.
    pub fn new(hub: &BroadcastHub, options: BroadcastOptions) -> Broadcast {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let source = options.peer_id.clone().unwrap_or_else(|| format!("peer:{id}"));
        Broadcast { hub: hub.clone(), id, source, options, routes: Arc::default() }
    }
}

/// Whether an envelope is for `source`, before it is looked into.
fn is_for(envelope_channel: &str, from: &str, target: Option<&str>, source: &str, channel: &str) -> bool {
    envelope_channel == channel && from != source && target.is_none_or(|target| target == source)
}

/// Reads an envelope that came as text: nothing if it is not for this end.
fn open(text: &str, source: &str, options: &BroadcastOptions) -> Option<Result<Envelope, Invalid>> {
    if text.len() > options.message_bytes_max {
        return Some(Err(Invalid::TooLarge { bytes: text.len(), max: options.message_bytes_max }));
    }
    let envelope = json::parse(text).ok()?;
    let envelope: &Map = envelope.as_map()?;
    let text_of = |field: &str| envelope.get(field).and_then(Value::as_str);
    let elsewhere = text_of("type") != Some("cosystem:worker")
        || text_of("channel") != Some(&options.channel)
        || text_of("source") == Some(source)
        || envelope.get("target").is_some_and(|target| target.as_str() != Some(source));
    if elsewhere {
        return None;
    }
    let invalid = |field| Some(Err(Invalid::Field { message: "cosystem:worker", field }));
    let Some(from) = text_of("source") else { return invalid("source") };
    if envelope.get("auth").is_some() && text_of("auth").is_none() {
        return invalid("auth");
    }
    let Some(message) = envelope.get("message") else { return invalid("message") };
    Some(Message::parse(&message.to_json(), options.message_bytes_max).map(|message| Envelope {
        channel: options.channel.clone(),
        source: from.to_owned(),
        target: None,
        auth: text_of("auth").map(str::to_owned),
        message: Frame::new(message),
    }))
}

/// Takes what was heard: nothing if it is dropped without a word.
fn take(heard: &Heard, source: &str, options: &BroadcastOptions) -> Option<Result<Arc<Envelope>, Invalid>> {
    let envelope = match heard {
        Heard::Envelope(envelope) => {
            let target = envelope.target.as_deref();
            is_for(&envelope.channel, &envelope.source, target, source, &options.channel).then(|| envelope.clone())?
        }
        Heard::Text(text) => match open(text, source, options)? {
            Ok(envelope) => Arc::new(envelope),
            Err(invalid) => return Some(Err(invalid)),
        },
    };
    let is_admitted = options.auth_token.is_none() || options.auth_token == envelope.auth;
    is_admitted.then_some(Ok(envelope))
}

impl Routes {
    /// Gives a call or request an id of this end's, and remembers whose it is.
    fn localise(&mut self, message: &Message, source: &str, routes_max: usize) -> Option<Message> {
        let mut message = message.clone();
        let id = match &mut message {
            Message::Call(call) => &mut call.id,
            Message::Sync(sync) => &mut sync.id,
            _ => return None,
        };
        // Wraps after some thousand years of a million calls a second.
        self.next = self.next % INTEGER_MAX + 1;
        self.by_id.insert(self.next, (*id, source.to_owned()));
        *id = self.next;
        while self.by_id.len() > routes_max {
            self.by_id.pop_first();
        }
        Some(message)
    }

    /// Gives an answer the id of whoever asked; returns it with the target.
    fn route(&mut self, message: &Message) -> Option<(Message, String)> {
        let mut message = message.clone();
        let target = match &mut message {
            Message::Result(result) => {
                let (id, source) = self.by_id.remove(&result.id)?;
                result.id = id;
                source
            }
            Message::State(state) => self.by_id.remove(&state.sync_id.take()?)?.1,
            _ => return None,
        };
        Some((message, target))
    }
}

impl Transport for Broadcast {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        if !lock(&self.hub.0).contains_key(&self.id) {
            return Err(TransportError::Closed);
        }
        let (message, target) = match frame.message() {
            Message::Call(_) | Message::Sync(_) => (frame.clone(), self.options.target_peer_id.clone()),
            message => match lock(&self.routes).route(message) {
                Some((message, target)) => (Frame::new(message), Some(target)),
                None => (frame.clone(), None),
            },
        };
        let envelope = Envelope {
            channel: self.options.channel.clone(),
            source: self.source.clone(),
            target,
            auth: self.options.auth_token.clone(),
            message,
        };
        self.hub.tell(self.id, &Heard::Envelope(Arc::new(envelope)));
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        let (source, options, routes) = (self.source.clone(), self.options.clone(), self.routes.clone());
        let ear = move |heard: &Heard| {
            let receiver = receiver.clone();
            match take(heard, &source, &options) {
                None => {}
                Some(Err(invalid)) => receiver.receive(Err(invalid)),
                Some(Ok(envelope)) => {
                    let message = envelope.message.message();
                    let local = lock(&routes).localise(message, &envelope.source, options.routes_max);
                    receiver.receive(Ok(local.map_or_else(|| envelope.message.clone(), Frame::new)));
                }
            }
        };
        let mut ears = lock(&self.hub.0);
        if ears.contains_key(&self.id) {
            return Err(TransportError::Subscribed);
        }
        ears.insert(self.id, Arc::new(ear));
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        let ear = lock(&self.hub.0).remove(&self.id);
        drop(ear);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        let _ = self.unsubscribe();
    }
}
