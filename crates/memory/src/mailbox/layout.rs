//! Where the words of a mailbox are: byte offsets from the start of its block, which is 64-byte aligned.
//!
//! All words are 32 bits wide, little-endian, and atomic for everybody once the mailbox is made: `Atomics` on an
//! `Int32Array` over the memory reaches word `(block + offset) >> 2`. A group of words that one side writes often has a
//! cache line of its own.
//!
//! ```text
//!    0  magic           "pmbx"
//!    4  version         1
//!    8  capacity        messages that fit: at most 2^30
//!   12  slots           the power of two from `capacity` on; message n lies in slot n & (slots - 1)
//!   16  slot_bytes      bytes of a message
//!   20  stride          bytes from one slot to the next, a multiple of 64
//!   24  receivers       1 to 32
//!   28  slots_at        offset of slot 0
//!
//!   64  tail            number of the next message that will be published; the sender's
//!   68  sender_state    0 there, 1 left, 2 died; the sender's
//!
//!  128  sender_parked   1 while the sender sleeps for room: it waits on this word, who sets it to 0 notifies
//!  132  interrupt       not 0: the sender gets no more slots
//!  136  sleepers        receivers that sleep, or are about to
//!  140  departed        receivers that left
//!
//!  192 + 64 r  head     number of the first message that receiver r still holds; the receiver's
//!      +  4    state    0 there, 1 left, 2 died; the receiver's
//!      +  8    parked   1 while it sleeps for a message: it waits on this word, who sets it to 0 notifies
//!
//! slots_at + stride i   slot i
//! ```
//!
//! Numbers of messages wrap around from 2^32 - 1 to 0; what counts is their distance, which is at most `capacity`.
//!
//! # Steps of each side
//! - *Send*: when `tail - head < capacity` for each receiver that is there, write slot `tail`, store `tail + 1`. If
//!   `sleepers` is not 0, exchange each `parked` from 1 to 0; who wins lowers `sleepers` and notifies it.
//! - *Receive*: when `tail != head`, read slot `head`; to give it back store `head + 1`, then exchange `sender_parked`
//!   from 1 to 0; who wins notifies it.
//! - *Sleep*: (a receiver raises `sleepers`,) set the own parked word to 1, look once more, wait on it while it is 1.
//! - *Leave*: store the state, raise `departed` if a receiver, wake the other side. Who buries an agent that died stores
//!   the state 2 in its place, and does the same.

use peristyle_layout::chunk::ALIGN;

/// The letters "pmbx".
pub const MAGIC: u32 = u32::from_le_bytes(*b"pmbx");
/// The version of this layout.
pub const VERSION: u32 = 1;

/// Offset of [`MAGIC`].
pub const MAGIC_AT: usize = 0;
/// Offset of [`VERSION`].
pub const VERSION_AT: usize = 4;
/// Offset of the number of messages that fit.
pub const CAPACITY_AT: usize = 8;
/// Offset of the number of slots.
pub const SLOTS_AT: usize = 12;
/// Offset of the bytes of a message.
pub const SLOT_BYTES_AT: usize = 16;
/// Offset of the bytes from slot to slot.
pub const STRIDE_AT: usize = 20;
/// Offset of the number of receivers.
pub const RECEIVERS_AT: usize = 24;
/// Offset of the offset of slot 0.
pub const FIRST_SLOT_AT: usize = 28;

/// Offset of the number of the next message.
pub const TAIL_AT: usize = 64;
/// Offset of the sender's state.
pub const SENDER_STATE_AT: usize = 68;

/// Offset of the word on which the sender sleeps.
pub const SENDER_PARKED_AT: usize = 128;
/// Offset of the word that stops the sender.
pub const INTERRUPT_AT: usize = 132;
/// Offset of the number of sleeping receivers.
pub const SLEEPERS_AT: usize = 136;
/// Offset of the number of receivers that left.
pub const DEPARTED_AT: usize = 140;

/// Offset of receiver 0's words.
pub const RECEIVER_0_AT: usize = 192;
/// Bytes of a receiver's words.
pub const RECEIVER_BYTES: usize = 64;

/// Most receivers.
pub const RECEIVERS_MAX: u32 = 32;
/// Most messages: half of what distances of 32 bits could tell apart.
pub const CAPACITY_MAX: u32 = 1 << 30;

/// A side is there.
pub const STATE_THERE: u32 = 0;
/// A side was closed.
pub const STATE_LEFT: u32 = 1;
/// A side went by a panic, or was killed.
pub const STATE_DIED: u32 = 2;

/// A thread does not sleep.
pub const AWAKE: u32 = 0;
/// A thread sleeps, or is about to.
pub const PARKED: u32 = 1;

/// Offset of the number of the first message that a receiver holds.
pub const fn head_at(receiver: u32) -> usize {
    RECEIVER_0_AT + RECEIVER_BYTES * receiver as usize
}

/// Offset of a receiver's state.
pub const fn receiver_state_at(receiver: u32) -> usize {
    head_at(receiver) + 4
}

/// Offset of the word on which a receiver sleeps.
pub const fn receiver_parked_at(receiver: u32) -> usize {
    head_at(receiver) + 8
}

/// Offset of slot 0 of a mailbox of so many receivers.
pub const fn first_slot_at(receivers: u32) -> usize {
    head_at(receivers)
}

const _: () = {
    assert!(RECEIVERS_MAX == u32::BITS);
    assert!(
        TAIL_AT.is_multiple_of(ALIGN) && SENDER_PARKED_AT.is_multiple_of(ALIGN) && RECEIVER_0_AT.is_multiple_of(ALIGN)
    );
    assert!(RECEIVER_BYTES.is_multiple_of(ALIGN) && DEPARTED_AT < RECEIVER_0_AT && SENDER_STATE_AT < SENDER_PARKED_AT);
};
