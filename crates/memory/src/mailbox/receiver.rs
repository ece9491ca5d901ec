//! The side that reads messages.

use std::{fmt, time::Duration};

use super::{
    RecvError, Wait,
    layout::{SENDER_STATE_AT, STATE_DIED, STATE_THERE, head_at},
    park::Spin,
    shared::Shared,
};
use crate::{
    Block,
    sync::{Arc, Edge, Ordering, model_failed},
};

/// Reads the messages of a mailbox. Messages that were published and not released are *held*: they stay as they are. When
/// it goes, the sender is told, and waits for it no more.
pub struct Receiver<T = ()> {
    shared: Arc<Shared<T>>,
    index: u32,
    /// The number of the first message that is held.
    head: u32,
    spin: Spin,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, index: u32, first: u32, spin: Duration) -> Receiver<T> {
        Receiver { shared, index, head: first, spin: Spin::new(spin) }
    }

    /// Its number among the mailbox's receivers.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Where the mailbox lies; see [`layout`](super::layout).
    pub fn block(&self) -> &Block {
        self.shared.block()
    }

    /// Messages that are held now; more may come at any time.
    ///
    /// # Errors
    /// [`RecvError::Corrupt`].
    #[inline]
    pub fn held(&self) -> Result<u32, RecvError> {
        held(&self.shared, self.head)
    }

    /// Waits until at least `count` messages are held, and gives how many are.
    ///
    /// # Errors
    /// [`RecvError::Beyond`]; [`RecvError::Empty`], as `wait` allows; [`RecvError::Closed`] or [`RecvError::Died`] if the
    /// sender is gone and fewer are held; [`RecvError::Corrupt`].
    #[inline]
    pub fn wait(&mut self, count: u32, wait: Wait) -> Result<u32, RecvError> {
        let held = self.held()?;
        if held >= count { Ok(held) } else { self.wait_for(count, wait) }
    }

    fn wait_for(&mut self, asked: u32, wait: Wait) -> Result<u32, RecvError> {
        let &mut Receiver { ref shared, index, head, ref mut spin } = self;
        if asked > shared.capacity {
            return Err(RecvError::Beyond { asked, capacity: shared.capacity });
        }
        let enough = || match held(shared, head) {
            Ok(held) => (held >= asked).then_some(Ok(held)),
            Err(error) => Some(Err(error)),
        };
        let found = shared.receiver_bed(index).wait(spin, wait, || {
            enough().or_else(|| match shared.state(SENDER_STATE_AT) {
                STATE_THERE => None,
                // Once more: what was published before it left is seen now.
                STATE_DIED => Some(enough().unwrap_or(Err(RecvError::Died))),
                _ => Some(enough().unwrap_or(Err(RecvError::Closed))),
            })
        });
        found.unwrap_or_else(|| Err(RecvError::Empty { held: held(shared, head)?, asked }))
    }

    /// Receives the oldest message, which is released when the result goes.
    ///
    /// # Errors
    /// As [`Receiver::wait`] for one message.
    #[inline]
    pub fn recv(&mut self, wait: Wait) -> Result<Received<'_, T>, RecvError> {
        self.wait(1, wait)?;
        Ok(Received { receiver: self })
    }

    /// Message `nth` of those that are held, the oldest of which is 0. It stays until it is released.
    #[inline]
    pub fn get(&self, nth: u32) -> Option<Message<'_, T>> {
        let is_held = self.held().is_ok_and(|held| nth < held);
        is_held.then(|| Message { shared: &self.shared, number: self.head.wrapping_add(nth) })
    }

    /// The number of the oldest message that is held, or else of the next to come.
    pub fn head(&self) -> u32 {
        self.head
    }

    /// Releases the oldest `count` messages, or all that are held if these are fewer; gives how many it released. Their
    /// slots are written again.
    pub fn release(&mut self, count: u32) -> u32 {
        let count = count.min(self.held().unwrap_or(0));
        if count > 0 {
            self.head = self.head.wrapping_add(count);
            // Pairs with the load in `Shared::head`: who sees the number may write what was read before.
            self.shared.word(head_at(self.index)).store(self.head, Edge::Release.order(Ordering::Release));
            self.shared.wake_sender();
        }
        count
    }
}

/// Messages from `head` on.
#[inline(always)]
fn held<T>(shared: &Shared<T>, head: u32) -> Result<u32, RecvError> {
    let tail = shared.tail();
    let (held, capacity) = (tail.wrapping_sub(head), shared.capacity);
    if held <= capacity { Ok(held) } else { Err(RecvError::Corrupt { tail, head, capacity }) }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if !model_failed() {
            self.shared.depart(self.index);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receiver { index, head, .. } = self;
        f.debug_struct("Receiver").field("block", self.block()).field("index", index).field("head", head).finish()
    }
}

/// A message that is held.
pub struct Message<'a, T = ()> {
    shared: &'a Shared<T>,
    number: u32,
}

impl<'a, T> Message<'a, T> {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its bytes, as many as a slot has.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        let len = self.shared.slot_bytes as usize;
        // SAFETY: the message is published, which `held` saw by a load that orders it after the sender's writes, and its
        // receiver, borrowed during `'a`, releases it by `&mut` only; until then the sender does not claim the slot, and
        // everybody reads.
        self.shared.with_slot(self.number, |bytes, _| unsafe { std::slice::from_raw_parts(bytes, len) })
    }

    /// The value beside it.
    #[inline]
    pub fn value(&self) -> &'a T {
        // SAFETY: as in `bytes`.
        self.shared.with_slot(self.number, |_, value| unsafe { &*value })
    }
}

impl<T> Clone for Message<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Message<'_, T> {}

impl<T> fmt::Debug for Message<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.number).finish()
    }
}

/// The oldest message, released when this goes.
pub struct Received<'a, T = ()> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Received<'_, T> {
    fn message(&self) -> Message<'_, T> {
        // It is held: `recv` saw it, and nothing was released since.
        Message { shared: &self.receiver.shared, number: self.receiver.head }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.receiver.head
    }

    /// Its bytes, as many as a slot has.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.message().bytes()
    }

    /// The value beside it.
    #[inline]
    pub fn value(&self) -> &T {
        self.message().value()
    }
}

impl<T> Drop for Received<'_, T> {
    fn drop(&mut self) {
        if !model_failed() {
            self.receiver.release(1);
        }
    }
}

impl<T> fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Received").field(&self.number()).finish()
    }
}
