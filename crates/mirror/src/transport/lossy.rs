//! A transport that loses, repeats, delays and reorders, the same way for the same seed. For tests.
//!
//! What is posted goes through a channel of its own with virtual time: [`Lossy::advance`] hands on what is due. Nothing
//! happens by itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{Receiver, Transport, TransportError};
use crate::{lock, message::Frame};

/// What may happen to a message, in parts of 1 000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// It is lost.
    pub drop: u32,
    /// It arrives twice.
    pub repeat: u32,
    /// It arrives later than others.
    pub delay: u32,
    /// How many steps later at most.
    pub delay_max: u64,
    /// The channel is cut: this and all later messages are lost until [`Lossy::mend`].
    pub cut: u32,
}

struct Channel {
    faults: Faults,
    seed: u64,
    now: u64,
    order: u64,
    is_cut: bool,
    /// By due time and order of posting.
    due: BTreeMap<(u64, u64), Arc<Frame>>,
}

impl Channel {
    /// A pseudo-random number below `below` (splitmix64).
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % below.max(1)
    }

    fn happens(&mut self, parts: u32) -> bool {
        parts > 0 && self.random(1000) < u64::from(parts)
    }
}

/// A transport whose sending is unreliable. Copies are the same.
pub struct Lossy<T> {
    inner: Arc<T>,
    channel: Arc<Mutex<Channel>>,
}

impl<T> Clone for Lossy<T> {
    fn clone(&self) -> Self {
        Lossy { inner: self.inner.clone(), channel: self.channel.clone() }
    }
}

impl<T: Transport> Lossy<T> {
    /// Makes what is posted to `inner` meet `faults`.
    pub fn new(inner: T, faults: Faults, seed: u64) -> Lossy<T> {
        let channel = Channel { faults, seed, now: 0, order: 0, is_cut: false, due: BTreeMap::new() };
        Lossy { inner: Arc::new(inner), channel: Arc::new(Mutex::new(channel)) }
    }

    /// Lets one step pass, and hands on what is due. Returns how many messages still wait.
    pub fn advance(&self) -> usize {
        let mut channel = lock(&self.channel);
        channel.now += 1;
        let later = (channel.now + 1, 0);
        let rest = channel.due.split_off(&later);
        let due = std::mem::replace(&mut channel.due, rest);
        drop(channel);
        for frame in due.into_values() {
            // Who posted it has been told that it was sent.
            let _ = self.inner.post(&frame);
        }
        lock(&self.channel).due.len()
    }

    /// Ends all faults from now on; what waits still arrives, late as it is.
    pub fn mend(&self) {
        let mut channel = lock(&self.channel);
        (channel.faults, channel.is_cut) = (Faults::default(), false);
    }
}

impl<T: Transport> Transport for Lossy<T> {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let mut channel = lock(&self.channel);
        let faults = channel.faults;
        if channel.happens(faults.cut) {
            channel.is_cut = true;
        }
        if channel.is_cut || channel.happens(faults.drop) {
            return Ok(());
        }
        let copies = 1 + u64::from(channel.happens(faults.repeat));
        for _ in 0..copies {
            let delay = if channel.happens(faults.delay) { channel.random(faults.delay_max) } else { 0 };
            channel.order += 1;
            let at = (channel.now + 1 + delay, channel.order);
            channel.due.insert(at, frame.clone());
        }
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        self.inner.subscribe(receiver)
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        self.inner.unsubscribe()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
}
