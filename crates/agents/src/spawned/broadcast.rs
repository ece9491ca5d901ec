//! `BroadcastChannel`: messages to all channels of a name, in all agents of a cluster.
//!
//! A message is serialised once; each receiver reads the same bytes, on its own thread, in its own time. It is a task of its
//! receiver from the moment it is posted, so a channel's messages stay in order.
//!
//! # Rules
//! - A message goes to all other channels or, if one of them is full, to none.
//! - A channel keeps its agent while somebody listens to it, until it is closed: others may open one at any time.
//! - Nothing is transferred, so a message may be read by any number of threads, at the same time.
//! - Locks are taken in the order registry, inbox.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::Value as RawValue;
use mozjs::jsval::{BooleanValue, DoubleValue, UndefinedValue};
use mozjs::rooted;

use super::clone;
use super::convert::Pending;
use super::event_loop::Hold;
use super::inbox::{Inbox, Task};
use super::message::{Cloned, Content};
use super::natives::{Native, native, refuse};
use super::port::{PortLimits, PostError};
use super::realm::{Realm, Tool};
use crate::cluster::Shared;

pub(crate) const NATIVES: [(&CStr, Native, u32); 4] = [
    (c"openBroadcast", open, 1),
    (c"postBroadcast", post, 2),
    (c"holdBroadcast", hold, 2),
    (c"closeBroadcast", close, 1),
];

/// A message, as all receivers have it.
struct Said {
    cloned: Cloned,
    bytes: u64,
}

// SAFETY: `Cloned` is `Send`. Shared, it is only read, by `JS_ReadStructuredClone`: that takes its data as constant, changes
// only maps of transferables, of which a broadcast has none, and counts references (shared memory, string buffers, modules)
// by atomics.
unsafe impl Sync for Said {}

/// What waits for one receiver.
#[derive(Default)]
struct Waiting {
    messages: AtomicUsize,
    bytes: AtomicU64,
}

/// A message on its way to one receiver.
pub(crate) struct Delivery {
    channel: u64,
    said: Arc<Said>,
    waiting: Arc<Waiting>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // Relaxed: the counts stand for themselves, and only bound what waits.
        self.waiting.messages.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(self.said.bytes, Ordering::Relaxed);
    }
}

/// An open channel, as others see it.
struct Receiver {
    channel: u64,
    inbox: Arc<Inbox>,
    limits: PortLimits,
    waiting: Arc<Waiting>,
}

/// All open channels of a cluster, by name.
#[derive(Default)]
pub(crate) struct Broadcasts(Mutex<HashMap<String, Vec<Receiver>>>);

impl Broadcasts {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Receiver>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message to all channels of a name but the one that posts it.
    fn post(&self, name: &str, from: u64, said: Said) -> Result<(), PostError> {
        let said = Arc::new(said);
        let channels = self.lock();
        let receivers = channels.get(name).map(Vec::as_slice).unwrap_or_default();
        let others = || receivers.iter().filter(|receiver| receiver.channel != from);
        for Receiver { limits, waiting, .. } in others() {
            // Only posts fill what waits, and all hold the lock.
            let (messages, bytes) = (waiting.messages.load(Ordering::Relaxed), waiting.bytes.load(Ordering::Relaxed));
            if said.bytes > limits.message_bytes {
                return Err(PostError::TooLarge { bytes: said.bytes, max: limits.message_bytes });
            }
            if messages >= limits.queue_messages || bytes.saturating_add(said.bytes) > limits.queue_bytes {
                return Err(PostError::Full { messages, bytes });
            }
        }
        for Receiver { channel, inbox, waiting, .. } in others() {
            waiting.messages.fetch_add(1, Ordering::Relaxed);
            waiting.bytes.fetch_add(said.bytes, Ordering::Relaxed);
            // An agent that has ended takes nothing; its channels go with it.
            let delivery = Delivery { channel: *channel, said: said.clone(), waiting: waiting.clone() };
            drop(inbox.push(Task::Broadcast(delivery)));
        }
        Ok(())
    }
}

/// An agent's open channel. Its drop closes it.
pub(crate) struct Subscription {
    shared: Arc<Shared>,
    name: String,
    channel: u64,
    hold: Option<Hold>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut channels = self.shared.broadcasts.lock();
        let mut gone = None;
        if let Some(receivers) = channels.get_mut(&self.name) {
            if let Some(at) = receivers.iter().position(|receiver| receiver.channel == self.channel) {
                gone = Some(receivers.remove(at));
            }
            if receivers.is_empty() {
                channels.remove(&self.name);
            }
        }
        drop(channels);
        drop(gone);
    }
}

/// `openBroadcast(name)`: the channel's number.
unsafe extern "C" fn open(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (realm, name) = (call.realm, call.text(cx, 0));
        let channel = NEXT.fetch_add(1, Ordering::Relaxed);
        let (inbox, limits) = (realm.inbox.clone(), realm.options.ports);
        let receiver = Receiver { channel, inbox, limits, waiting: Arc::default() };
        realm.shared.broadcasts.lock().entry(name.clone()).or_default().push(receiver);
        let subscription = Subscription { shared: realm.shared.clone(), name, channel, hold: None };
        realm.broadcasts.borrow_mut().insert(channel, subscription);
        call.give(DoubleValue(channel as f64));
        Ok(())
    })
}

/// `postBroadcast(channel, value)`
unsafe extern "C" fn post(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let (realm, channel) = (call.realm, call.number(0) as u64);
        rooted!(in(raw) let value = call.get(1));
        rooted!(in(raw) let nothing = UndefinedValue());
        // SAFETY: the context is in the agent's realm.
        let packet = unsafe { clone::write(cx, realm, &value, &nothing, None)? };
        let bytes = packet.bytes();
        let max = realm.options.ports.message_bytes;
        if bytes > max {
            return refuse(cx, realm, &PostError::TooLarge { bytes, max });
        }
        let Content::Clone(cloned) = packet.content else { return Ok(()) };
        // Writing ran code of the script, which may have closed the channel.
        let name = realm.broadcasts.borrow().get(&channel).map(|known| known.name.clone());
        let Some(name) = name else { return Ok(()) };
        let posted = realm.shared.broadcasts.post(&name, channel, Said { cloned, bytes });
        posted.or_else(|error| refuse(cx, realm, &error))
    })
}

/// `holdBroadcast(channel, listening)`
unsafe extern "C" fn hold(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let listening = call.get(1).is_boolean() && call.get(1).to_boolean();
        if let Some(known) = call.realm.broadcasts.borrow_mut().get_mut(&(call.number(0) as u64)) {
            known.hold = listening.then(|| Hold::new(&call.realm.inbox));
        }
        Ok(())
    })
}

/// `closeBroadcast(channel)`
unsafe extern "C" fn close(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let closed = call.realm.broadcasts.borrow_mut().remove(&(call.number(0) as u64));
        drop(closed);
        Ok(())
    })
}

/// Delivers a message; `false` if the agent was terminated.
///
/// # Safety
/// `cx` is this thread's context, in the realm.
pub(crate) unsafe fn deliver(cx: &mut JSContext, realm: &Realm, delivery: Delivery) -> bool {
    let channel = delivery.channel;
    if !realm.broadcasts.borrow().contains_key(&channel) {
        return true;
    }
    // SAFETY: as the caller answers; values are rooted. Nothing is transferred by a broadcast.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut value = UndefinedValue());
        rooted!(in(raw) let mut ports = UndefinedValue());
        let read = clone::read_kept(cx, realm, &delivery.said.cloned, &mut value, &mut ports);
        drop(delivery);
        let readable = match read {
            Ok(()) => true,
            Err(Pending) if clone::forgive(cx) => false,
            Err(Pending) => return false,
        };
        realm.run_tool(cx, Tool::Broadcast, &[DoubleValue(channel as f64), value.get(), BooleanValue(readable)])
    }
}
