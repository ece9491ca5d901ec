//! What the two sides of a mailbox share: the block with its words and slots, and a Rust value beside each slot.

use std::thread;

use super::{
    layout::{
        DEPARTED_AT, INTERRUPT_AT, RECEIVERS_MAX, SENDER_PARKED_AT, SLEEPERS_AT, STATE_DIED, STATE_LEFT, TAIL_AT,
        head_at, receiver_parked_at, receiver_state_at,
    },
    park::{Bed, Futex},
};
use crate::{
    Block,
    sync::{AtomicU32, Edge, Ordering, UnsafeCell},
};

/// A mailbox's block, and what only Rust sees.
///
/// The words are atomics. A slot, its bytes and its value, is reached through [`Shared::with_slot`] and
/// [`Shared::with_slot_mut`] only, whose callers answer for it by the numbers of messages: the sender alone has the
/// slots of the messages from `tail` on, until it publishes them; each receiver reads those from its `head` to `tail`,
/// until it releases them.
pub(crate) struct Shared<T> {
    block: Block,
    #[cfg(loom)]
    words: Box<[AtomicU32]>,
    values: Box<[UnsafeCell<T>]>,
    futex: Futex,
    pub(crate) capacity: u32,
    pub(crate) slot_bytes: u32,
    pub(crate) stride: u32,
    pub(crate) receivers: u32,
    pub(crate) first_slot_at: usize,
}

// SAFETY: words are atomics. A slot's value is reached by `&mut` by one thread at a time, which is `Send`'s matter, and by
// `&` from several, which is `Sync`'s; its bytes are plain numbers.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

/// Numbers of a mailbox, checked already.
pub(crate) struct Geometry {
    pub(crate) capacity: u32,
    pub(crate) slots: u32,
    pub(crate) slot_bytes: u32,
    pub(crate) stride: u32,
    pub(crate) receivers: u32,
    pub(crate) first_slot_at: usize,
}

impl<T: Default> Shared<T> {
    /// `block` is zero and large enough for `geometry`, and nobody else knows it.
    pub(crate) fn new(block: Block, geometry: &Geometry) -> Shared<T> {
        let &Geometry { capacity, slots, slot_bytes, stride, receivers, first_slot_at } = geometry;
        assert!(slots.is_power_of_two() && capacity <= slots && slot_bytes <= stride && receivers <= RECEIVERS_MAX);
        assert!(first_slot_at as u64 + u64::from(slots) * u64::from(stride) <= block.bytes());
        Shared {
            block,
            #[cfg(loom)]
            words: (0..first_slot_at / size_of::<u32>()).map(|_| AtomicU32::new(0)).collect(),
            values: (0..slots).map(|_| UnsafeCell::new(T::default())).collect(),
            futex: Futex::new(),
            capacity,
            slot_bytes,
            stride,
            receivers,
            first_slot_at,
        }
    }
}

impl<T> Shared<T> {
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }

    /// The word at an offset.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) fn word(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at + size_of::<u32>() <= self.first_slot_at && at.is_multiple_of(size_of::<u32>()));
        // SAFETY: the words before the first slot lie in the block, which lives as long as `self`, are aligned (the block
        // is to 64 bytes, offsets to 4), hold initialised bytes, and since the mailbox was made are reached as atomics
        // only, by this function in Rust and by `Atomics` elsewhere.
        unsafe { AtomicU32::from_ptr(self.block.ptr().as_ptr().add(at).cast()) }
    }

    /// The word at an offset: in models a word of loom's.
    #[cfg(loom)]
    pub(crate) fn word(&self, at: usize) -> &AtomicU32 {
        &self.words[at / size_of::<u32>()]
    }

    #[inline(always)]
    fn slot(&self, number: u32) -> usize {
        number as usize & (self.values.len() - 1)
    }

    #[inline(always)]
    fn bytes_of(&self, slot: usize) -> *mut u8 {
        self.block.ptr().as_ptr().wrapping_add(self.first_slot_at + slot * self.stride as usize)
    }

    /// Calls `f` with the bytes and the value of a message's slot, to read.
    #[inline(always)]
    pub(crate) fn with_slot<R>(&self, number: u32, f: impl FnOnce(*const u8, *const T) -> R) -> R {
        let slot = self.slot(number);
        self.values[slot].with(|value| f(self.bytes_of(slot), value))
    }

    /// Calls `f` with the bytes and the value of a message's slot, to write.
    #[inline(always)]
    pub(crate) fn with_slot_mut<R>(&self, number: u32, f: impl FnOnce(*mut u8, *mut T) -> R) -> R {
        let slot = self.slot(number);
        self.values[slot].with_mut(|value| f(self.bytes_of(slot), value))
    }

    /// The number of the next message; what was published before it can be read.
    #[inline(always)]
    pub(crate) fn tail(&self) -> u32 {
        // Pairs with the store in `Claim::publish`.
        self.word(TAIL_AT).load(Edge::Consume.order(Ordering::Acquire))
    }

    /// The number of the first message that a receiver holds; the slots before it can be written again.
    #[inline(always)]
    pub(crate) fn head(&self, receiver: u32) -> u32 {
        // Pairs with the store in `Receiver::release`.
        self.word(head_at(receiver)).load(Edge::Reuse.order(Ordering::Acquire))
    }

    /// A side's state; unless it is there, all that it did was before.
    #[inline]
    pub(crate) fn state(&self, at: usize) -> u32 {
        // Pairs with the store in `leave`.
        self.word(at).load(Edge::Left.order(Ordering::Acquire))
    }

    /// Says that a side is gone, be it by a panic.
    pub(crate) fn leave(&self, at: usize) {
        let state = if thread::panicking() { STATE_DIED } else { STATE_LEFT };
        self.word(at).store(state, Edge::Leave.order(Ordering::Release));
    }

    /// Where the sender sleeps.
    #[inline(always)]
    pub(crate) fn sender_bed(&self) -> Bed<'_> {
        Bed { futex: &self.futex, parked: self.word(SENDER_PARKED_AT), sleepers: None }
    }

    /// Where a receiver sleeps.
    #[inline(always)]
    pub(crate) fn receiver_bed(&self, receiver: u32) -> Bed<'_> {
        Bed {
            futex: &self.futex,
            parked: self.word(receiver_parked_at(receiver)),
            sleepers: Some(self.word(SLEEPERS_AT)),
        }
    }

    /// Wakes the sender if it sleeps. What it shall find was stored before.
    #[inline]
    pub(crate) fn wake_sender(&self) {
        Edge::Sleep.fence();
        self.sender_bed().wake();
    }

    /// Wakes the receivers that sleep. What they shall find was stored before.
    #[inline]
    pub(crate) fn wake_receivers(&self) {
        Edge::Sleep.fence();
        // Relaxed: the fences order it.
        if self.word(SLEEPERS_AT).load(Ordering::Relaxed) != 0 {
            self.wake_each();
        }
    }

    #[cold]
    fn wake_each(&self) {
        (0..self.receivers).for_each(|receiver| self.receiver_bed(receiver).wake());
    }

    /// Whether the sender is told to stop.
    #[inline(always)]
    pub(crate) fn is_interrupted(&self) -> bool {
        // Relaxed: it hands nothing over.
        self.word(INTERRUPT_AT).load(Ordering::Relaxed) != 0
    }

    /// How many receivers left; the state of each of them says so, and all that they did was before.
    #[inline(always)]
    pub(crate) fn departed(&self) -> u32 {
        // Pairs with the addition in `depart`.
        self.word(DEPARTED_AT).load(Edge::Left.order(Ordering::Acquire))
    }

    /// Says that a receiver is gone, and tells the sender.
    pub(crate) fn depart(&self, receiver: u32) {
        self.leave(receiver_state_at(receiver));
        self.word(DEPARTED_AT).fetch_add(1, Edge::Leave.order(Ordering::Release));
        self.wake_sender();
    }
}
