//! What carries messages between hosts and clients.
//!
//! A transport has one end here: [`post`](Transport::post) sends, and what arrives goes to the one [`Receiver`] that
//! subscribed. It knows messages, not what they mean. See [`guide`] for how to write one.
//!
//! # Rules
//! - `post` does not block. What cannot be sent now is refused as [`TransportError::Full`], and
//!   [`Receiver::writable`] follows once there is room. The sender decides what becomes of it.
//! - A transport that is full stops reading, so that a peer that floods but never reads slows down itself.
//! - What arrives is handed over in order, one at a time.

mod broadcast;
mod lossy;
mod memory;
#[cfg(feature = "sockets")]
mod stream;
#[cfg(feature = "websocket")]
mod websocket;

use std::sync::Arc;

pub use self::broadcast::{Broadcast, BroadcastHub, BroadcastOptions, Envelope};
pub use self::lossy::{Faults, Lossy};
pub use self::memory::{Memory, memory_pair};
#[cfg(feature = "sockets")]
pub use self::stream::{ChildTransport, Stream, StreamOptions};
#[cfg(feature = "websocket")]
pub use self::websocket::{WebSocket, WebSocketOptions};
use crate::message::{Frame, Invalid};

#[doc = include_str!("guide.md")]
pub mod guide {}

/// Why a message was not sent, or a transport ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// There is no room now; [`Receiver::writable`] will be called.
    #[error("the transport has no room")]
    Full,
    /// The other end is gone, or this one was closed.
    #[error("the transport is closed")]
    Closed,
    /// A message is larger than the transport takes.
    #[error("a message of {bytes} bytes, of which {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The transport has a receiver already.
    #[error("the transport has a receiver already")]
    Subscribed,
    /// The system or the peer failed.
    #[error("{0}")]
    Io(String),
}

impl From<std::io::Error> for TransportError {
    fn from(error: std::io::Error) -> Self {
        TransportError::Io(error.to_string())
    }
}

/// One end of a connection.
pub trait Transport: Send + Sync {
    /// Sends a message, without waiting.
    ///
    /// # Errors
    /// If it was not sent and will not be.
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError>;

    /// Begins to hand over what arrives; what arrived before is handed over first.
    ///
    /// # Errors
    /// If there is a receiver already, or the transport failed.
    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError>;

    /// Stops handing over, forgets the receiver and closes this end.
    ///
    /// # Errors
    /// If closing failed.
    fn unsubscribe(&self) -> Result<(), TransportError>;

    /// Whether there are several peers at the other end, who all hear what is posted.
    fn is_shared(&self) -> bool {
        false
    }
}

/// Takes what a transport brings.
pub trait Receiver: Send + Sync {
    /// Takes a message, or the reason why what arrived is none.
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>);

    /// Learns that there is room again.
    fn writable(self: Arc<Self>) {}

    /// Learns that nothing will arrive any more.
    fn closed(self: Arc<Self>, error: &TransportError);
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        (**self).post(frame)
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        (**self).subscribe(receiver)
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        (**self).unsubscribe()
    }

    fn is_shared(&self) -> bool {
        (**self).is_shared()
    }
}
