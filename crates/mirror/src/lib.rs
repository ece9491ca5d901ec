//! One app's state, followed and called from anywhere.
//!
//! A [`Host`] owns modules: state with declared actions. A [`Client`], wherever it is, holds an up-to-date copy of the
//! state (its *mirror*), selects from it, watches it, and calls actions as if they were local. Between them is a
//! [`Transport`]: memory, a broadcast channel, pipes, sockets, a WebSocket, or one of your own.
//!
//! ```
//! use peristyle_mirror::{Client, ClientOptions, Host, State, SyncMode, block_on, module, transport::memory_pair};
//!
//! #[derive(Clone, State)]
//! struct Counter {
//!     count: i64,
//! }
//!
//! #[module]
//! impl Counter {
//!     #[action]
//!     fn increase(&mut self, step: i64) -> i64 {
//!         self.count += step;
//!         self.count
//!     }
//! }
//!
//! let host = Host::builder().sync(SyncMode::Patch).module(Counter { count: 0 }).build()?;
//! let (near, far) = memory_pair();
//! host.connect(near)?;
//!
//! let client = Client::connect(far, ClientOptions::default())?;
//! let count = |state: &peristyle_mirror::Value| state.get("counter")?.get("count")?.as_i64();
//! let _watch = client.watch(count, |count, before| println!("{count:?}, was {before:?}"));
//! assert_eq!(block_on(client.module::<Counter>().increase(2))?, 2);
//! assert_eq!(client.select(count)?, Some(2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules may also live elsewhere, as in a JavaScript agent (`peristyle-runtime`): whoever keeps them makes the texts of
//! their states, changes and results, and a host passes them on unread ([`Host::attach`]).
//!
//! The examples `mirror_counter_host` and `mirror_counter_client` are the same over TCP, a page each. Collections that
//! are large go into [`StateList`] and [`StateMap`], whose changes cost what changed.
//!
//! # Rules
//! - Messages are JSON, as the mirror protocol has them; a client or host written for CoSystem's worker runtime is a
//!   peer. What goes beyond it can be switched off ([`Extensions`], [`HostOptions::extensions`]).
//! - State is persistent: what a change does not touch stays identical, and nothing is copied whole.
//! - The core does no I/O and reads no clock; sockets are behind features.
//! - What a peer sends never panics, never recurses and never grows without bound.
//!
//! # Not here
//! Worlds: tables of entities cross as binary deltas, which another crate makes.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod client;
mod diff;
mod executor;
mod host;
mod json;
mod message;
mod module;
mod patch;
mod payload;
mod state;
mod timer;
pub mod transport;
mod tree;
mod typed;
mod value;

pub use peristyle_derive::{State, module};

pub use crate::client::{
    Abort, Call, CallError, CallOptions, Client, ClientCore, ClientOptions, Conflict, ConflictReason, Event,
    Extensions, Observer, Posted,
};
pub use crate::diff::Changes;
pub use crate::executor::{BoxFuture, Spawner, block_on, yield_now};
pub use crate::host::{
    Foreign, ForeignApp, ForeignChange, ForeignModule, Host, HostBuilder, HostError, HostOptions, InvalidObserver,
    RecordedCall,
};
pub use crate::json::{DEPTH_MAX, JsonError, parse as parse_json};
pub use crate::message::{
    CallMessage, Frame, Invalid, MESSAGE_BYTES_MAX, Message, Ready, RemoteError, ResultMessage, StateMessage,
    SyncMessage, SyncMode,
};
pub use crate::module::{Args, Arguments, Failure, Live, Method, Module, Run, outcome};
pub use crate::patch::{Op, Patch, PatchError, Segment, apply};
pub use crate::payload::{Json, Patches};
pub use crate::state::{Plain, State, StateList, StateMap, record_field, record_plain};
pub use crate::timer::sleep;
pub use crate::transport::{Receiver, Transport, TransportError};
pub use crate::typed::{ValueError, from_value, to_value};
pub use crate::value::{List, Map, Text, Value};

/// Locks, whether or not somebody panicked while holding it: what is guarded is kept whole by other means.
fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
