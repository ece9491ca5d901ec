//! Messages: what lies in queues, and what Rust receives.

use std::fmt;

use mozjs::rust::JSAutoStructuredCloneBufferWrapper;
use serde::de::DeserializeOwned;

use super::port::{Channel, End, Port};
use super::value::{Value, ValueError};
use super::wasm_module::WasmModule;

/// A message in a queue.
pub(crate) struct Packet {
    pub(crate) content: Content,
    bytes: u64,
}

pub(crate) enum Content {
    /// From agent to agent: a structured clone.
    Clone(Cloned),
    /// From or to Rust.
    Value(Value, Vec<End>),
}

/// A structured clone, written in same-process scope. It belongs to no thread.
pub(crate) struct Cloned {
    pub(crate) buffer: JSAutoStructuredCloneBufferWrapper,
    /// Channels whose ends it carries, by address: they are compared, not used.
    pub(crate) channels: Vec<usize>,
    /// Compiled WebAssembly that it refers to by number.
    pub(crate) modules: Vec<WasmModule>,
    /// Whether the value is the first of a list of two; the other measured it.
    pub(crate) wrapped: bool,
}

// SAFETY: the buffer holds bytes, allocations and counted references (shared memory, string buffers), all of which any
// thread may drop; ends and modules are `Send`. No reference to a clone is ever shared between threads: who takes it owns it.
unsafe impl Send for Cloned {}

impl Packet {
    pub(crate) fn value(value: Value, ends: Vec<End>) -> Packet {
        let bytes = value.bytes();
        Packet { content: Content::Value(value, ends), bytes }
    }

    pub(crate) fn cloned(cloned: Cloned, bytes: u64) -> Packet {
        Packet { content: Content::Clone(cloned), bytes }
    }

    /// Bytes that it counts for, what it transfers included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_value(&self) -> bool {
        matches!(self.content, Content::Value(..))
    }

    /// Whether it carries an end of this channel.
    pub(crate) fn carries(&self, channel: *const Channel) -> bool {
        match &self.content {
            Content::Clone(cloned) => cloned.channels.contains(&channel.addr()),
            Content::Value(_, ends) => ends.iter().any(|end| end.channel() == channel),
        }
    }

    /// As Rust receives it; nothing for a structured clone, which no queue that Rust reads holds.
    pub(crate) fn into_message(self) -> Option<Message> {
        match self.content {
            Content::Value(value, ends) => Some(Message { value, ports: ends.into_iter().map(Port::new).collect() }),
            Content::Clone(_) => None,
        }
    }
}

/// A message that Rust received.
pub struct Message {
    value: Value,
    /// The ports that came with it, in the order of the sender's list. In the value, `null` stands where they stood.
    pub ports: Vec<Port>,
}

impl Message {
    /// The message as a value of Rust.
    ///
    /// # Errors
    /// [`ValueError`] if it is no such value.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        self.value.clone().to()
    }

    /// As [`Message::get`], without a copy; the ports come apart.
    ///
    /// # Errors
    /// [`ValueError`] if it is no such value.
    pub fn into<T: DeserializeOwned>(self) -> Result<(T, Vec<Port>), ValueError> {
        Ok((self.value.to()?, self.ports))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.value).field(&self.ports.len()).finish()
    }
}
