//! The side that writes messages.

use std::{fmt, time::Duration};

use super::{
    SendError, Wait,
    layout::{INTERRUPT_AT, SENDER_STATE_AT, STATE_DIED, STATE_THERE, TAIL_AT, receiver_state_at},
    park::Spin,
    shared::Shared,
};
use crate::{
    Block,
    sync::{Arc, Edge, Ordering, model_failed},
};

/// Writes messages into a mailbox. When it goes, receivers are told, after they received what was published.
pub struct Sender<T = ()> {
    shared: Arc<Shared<T>>,
    side: Side,
    spin: Spin,
}

/// What the sender knows.
struct Side {
    /// The number of the next message.
    tail: u32,
    /// Every receiver that is there released all messages before this one, as far as is known.
    head: u32,
    /// Receivers that are there, as far as is known: a bit each.
    there: u32,
    /// How many left, as far as is known.
    departed: u32,
}

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, first: u32, spin: Duration) -> Sender<T> {
        let there = u32::MAX >> (u32::BITS - shared.receivers);
        let side = Side { tail: first, head: first, there, departed: 0 };
        Sender { shared, side, spin: Spin::new(spin) }
    }

    /// Claims the next slot: it is the caller's alone until it is published.
    ///
    /// # Errors
    /// [`SendError::Full`], as `wait` allows; [`SendError::Died`], [`SendError::Closed`], [`SendError::Interrupted`] and
    /// [`SendError::Corrupt`], which end waiting.
    #[inline]
    pub fn claim(&mut self, wait: Wait) -> Result<Claim<'_, T>, SendError> {
        if !self.side.has_room(&self.shared)? {
            self.wait_for_room(wait)?;
        }
        Ok(Claim { sender: self })
    }

    fn wait_for_room(&mut self, wait: Wait) -> Result<(), SendError> {
        let Sender { shared, side, spin } = self;
        let found = shared.sender_bed().wait(spin, wait, || match side.has_room(shared) {
            Ok(has_room) => has_room.then_some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        found.unwrap_or_else(|| {
            let (_, receiver) = side.fullest(shared)?;
            Err(SendError::Full { receiver, capacity: shared.capacity })
        })
    }

    /// Sends a message, and gives its number. What it lacks to the size of a slot is zero.
    ///
    /// # Errors
    /// [`SendError::TooLong`], and as [`Sender::claim`].
    pub fn send(&mut self, message: &[u8], wait: Wait) -> Result<u32, SendError> {
        let slot_bytes = self.shared.slot_bytes;
        if message.len() > slot_bytes as usize {
            return Err(SendError::TooLong { bytes: message.len(), slot_bytes });
        }
        let mut claim = self.claim(wait)?;
        let (text, rest) = claim.bytes_mut().split_at_mut(message.len());
        text.copy_from_slice(message);
        rest.fill(0);
        Ok(claim.publish())
    }

    /// The number of the next message.
    pub fn next(&self) -> u32 {
        self.side.tail
    }

    /// Whether a claim would be refused because the mailbox is full.
    ///
    /// # Errors
    /// As [`Sender::claim`].
    pub fn is_full(&mut self) -> Result<bool, SendError> {
        self.side.has_room(&self.shared).map(|has_room| !has_room)
    }

    /// Receivers that were made with it.
    pub fn receivers(&self) -> u32 {
        self.shared.receivers
    }

    /// Messages that fit.
    pub fn capacity(&self) -> u32 {
        self.shared.capacity
    }

    /// Where the mailbox lies; see [`layout`](super::layout).
    pub fn block(&self) -> &Block {
        self.shared.block()
    }

    /// A handle by which others make the sender stop.
    pub fn interrupt(&self) -> Interrupt<T> {
        Interrupt(self.shared.clone())
    }
}

impl Side {
    /// Whether there is a slot for the next message.
    #[inline]
    fn has_room<T>(&mut self, shared: &Shared<T>) -> Result<bool, SendError> {
        if shared.is_interrupted() {
            return Err(SendError::Interrupted);
        }
        if shared.departed() != self.departed {
            self.see_departures(shared)?;
        }
        if self.there == 0 {
            return Err(SendError::Closed);
        }
        if self.tail.wrapping_sub(self.head) < shared.capacity {
            return Ok(true);
        }
        let (most, _) = self.fullest(shared)?;
        self.head = self.tail.wrapping_sub(most);
        Ok(most < shared.capacity)
    }

    /// The most messages that a receiver holds, and a receiver that does.
    fn fullest<T>(&self, shared: &Shared<T>) -> Result<(u32, u32), SendError> {
        let (tail, capacity) = (self.tail, shared.capacity);
        let mut fullest = (0, 0);
        for receiver in self.receivers_there() {
            let head = shared.head(receiver);
            let held = tail.wrapping_sub(head);
            if held > capacity {
                return Err(SendError::Corrupt { receiver, head, tail, capacity });
            }
            fullest = fullest.max((held, receiver));
        }
        Ok(fullest)
    }

    /// Receivers that are there, as far as is known.
    fn receivers_there(&self) -> impl Iterator<Item = u32> + use<> {
        let there = self.there;
        (0..u32::BITS).filter(move |receiver| there >> receiver & 1 != 0)
    }

    /// Takes one receiver that left off the list.
    #[cold]
    fn see_departures<T>(&mut self, shared: &Shared<T>) -> Result<(), SendError> {
        for receiver in self.receivers_there() {
            let state = shared.state(receiver_state_at(receiver));
            if state != STATE_THERE {
                self.there &= !(1 << receiver);
                self.departed = self.departed.wrapping_add(1);
                if state == STATE_DIED {
                    return Err(SendError::Died { receiver });
                }
            }
        }
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if !model_failed() {
            self.shared.leave(SENDER_STATE_AT);
            self.shared.wake_receivers();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("block", self.block()).field("next", &self.next()).finish()
    }
}

/// A slot that is written. Dropped without [`Claim::publish`], nothing was sent.
pub struct Claim<'a, T = ()> {
    sender: &'a mut Sender<T>,
}

impl<T> Claim<'_, T> {
    /// The number that the message will have.
    pub fn number(&self) -> u32 {
        self.sender.side.tail
    }

    /// The message's bytes; what they hold is left from an older one.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let Sender { shared, side, .. } = &mut *self.sender;
        let len = shared.slot_bytes as usize;
        // SAFETY: message `tail` is not published, and every receiver that is there released the message that was in its
        // slot before, or there was none (`has_room`, whose loads order their reads before this). So the slot is the
        // sender's alone until `publish`, and the sender is borrowed for as long as the bytes. They lie in the block, and
        // were zeroed when the mailbox was made.
        shared.with_slot_mut(side.tail, |bytes, _| unsafe { std::slice::from_raw_parts_mut(bytes, len) })
    }

    /// The value beside the slot; an older message's.
    #[inline]
    pub fn value_mut(&mut self) -> &mut T {
        let Sender { shared, side, .. } = &mut *self.sender;
        // SAFETY: as in `bytes_mut`.
        shared.with_slot_mut(side.tail, |_, value| unsafe { &mut *value })
    }

    /// Publishes the message, and gives its number.
    #[inline]
    pub fn publish(self) -> u32 {
        let Sender { shared, side, .. } = self.sender;
        let number = side.tail;
        side.tail = number.wrapping_add(1);
        // Pairs with the load in `Shared::tail`: who sees the number sees the message.
        shared.word(TAIL_AT).store(side.tail, Edge::Publish.order(Ordering::Release));
        shared.wake_receivers();
        number
    }
}

impl<T> fmt::Debug for Claim<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.number()).finish()
    }
}

/// Makes a sender stop: while it is raised, no slot can be claimed, and who waits for one waits no more.
pub struct Interrupt<T = ()>(Arc<Shared<T>>);

impl<T> Interrupt<T> {
    /// Has claims fail with [`SendError::Interrupted`], those that wait foremost.
    pub fn raise(&self) {
        // Relaxed: the fence in `wake_sender` orders it before the look for a sleeper, and nothing is handed over.
        self.0.word(INTERRUPT_AT).store(1, Ordering::Relaxed);
        self.0.wake_sender();
    }

    /// Lets claims succeed again.
    pub fn clear(&self) {
        self.0.word(INTERRUPT_AT).store(0, Ordering::Relaxed);
    }

    /// Whether it is raised.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.0.is_interrupted()
    }
}

impl<T> Clone for Interrupt<T> {
    fn clone(&self) -> Self {
        Interrupt(self.0.clone())
    }
}

impl<T> fmt::Debug for Interrupt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.is_raised()).finish()
    }
}
