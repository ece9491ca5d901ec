//! Mailboxes: messages of fixed size from one sender to one or many receivers, through the linear memory.
//!
//! A mailbox is a block: words that say how far each side is, and a ring of slots. The sender claims a slot, writes the
//! message where it lies, and publishes it; each receiver sees every message, in order, may look at any that it holds,
//! and releases the oldest. So a worker runs ahead of who watches it without a round trip, up to the mailbox's capacity.
//! [`layout`] says where each word is, and how each side uses it: the other side may be a script or a kernel.
//!
//! ```text
//!     released                held by the receiver              free
//!  ...............|====|====|====|====|====|====|====|.....................
//!                  head                               tail
//! ```
//!
//! Beside each slot stands a Rust value of type `T`, which the memory does not show: whoever may write the slot has it by
//! `&mut`, whoever may read it by `&`.
//!
//! # Rules
//! - A slot is the sender's alone from claim to publication, and is not written again until every receiver that is there
//!   released it. References to it are made in these phases only; all other words of the block are atomics.
//! - Nothing is lost: a full mailbox makes the sender wait, or refuses, as the sender asks ([`Wait`]). The slowest receiver
//!   decides. A receiver that leaves is waited for no more.
//! - Who leaves, or dies of a panic, wakes the other side, which gets a typed error; messages published before are still
//!   received.
//! - Message numbers are 32 bits wide and wrap around; only distances count.
//! - Waiting is spinning for a while, then sleeping on a word; nothing is allocated.
//!
//! # Not here
//! Who is on the other side, and how it was started. Waking scripts: an engine has its own list of who waits on which
//! word, so who shares a mailbox with one has it notify them.

pub mod layout;
#[cfg(all(loom, test))]
mod models;
mod park;
mod receiver;
mod sender;
mod shared;

use std::time::Duration;

use peristyle_layout::chunk::ALIGN;

use self::{
    layout::{
        CAPACITY_AT, CAPACITY_MAX, FIRST_SLOT_AT, MAGIC, MAGIC_AT, RECEIVERS_AT, RECEIVERS_MAX, SLOT_BYTES_AT,
        SLOTS_AT, STRIDE_AT, TAIL_AT, VERSION, VERSION_AT, first_slot_at, head_at,
    },
    shared::{Geometry, Shared},
};
pub use self::{
    receiver::{Message, Received, Receiver},
    sender::{Claim, Interrupt, Sender},
};
use crate::{
    Memory, OutOfMemory,
    sync::{Arc, Ordering},
};

/// How long a side waits for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: what cannot be had now is refused.
    Never,
    /// So long.
    AtMost(Duration),
    /// Until it comes, or the other side is gone.
    Forever,
}

/// How a mailbox is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxOptions {
    /// Messages that fit, from 1 to 2^30.
    pub capacity: u32,
    /// Bytes of a message; 0 is fine.
    pub slot_bytes: u32,
    /// How long a side spins before it sleeps, at most; it learns to spin less. Zero: it sleeps at once.
    pub spin: Duration,
    /// The number of the first message.
    pub first: u32,
}

/// About what it costs to wake a sleeper: who spins in vain then pays little more than who sleeps at once.
const SPIN_DEFAULT: Duration = Duration::from_micros(20);

impl MailboxOptions {
    /// A mailbox for `capacity` messages of `slot_bytes` bytes, numbered from 0. Its sides spin for 20 microseconds at most,
    /// and not at all on a machine with one core.
    pub fn new(capacity: u32, slot_bytes: u32) -> MailboxOptions {
        let has_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let spin = if has_cores { SPIN_DEFAULT } else { Duration::ZERO };
        MailboxOptions { capacity, slot_bytes, spin, first: 0 }
    }

    /// Checks the numbers for so many receivers.
    fn geometry(&self, receivers: u32) -> Result<Geometry, MailboxError> {
        let &MailboxOptions { capacity, slot_bytes, .. } = self;
        if !(1..=CAPACITY_MAX).contains(&capacity) {
            return Err(MailboxError::Capacity { capacity });
        }
        if !(1..=RECEIVERS_MAX).contains(&receivers) {
            return Err(MailboxError::Receivers { receivers });
        }
        let slots = capacity.next_power_of_two();
        let stride = slot_bytes
            .checked_next_multiple_of(ALIGN as u32)
            .filter(|_| slot_bytes <= i32::MAX as u32)
            .ok_or(MailboxError::SlotBytes { slot_bytes })?;
        Ok(Geometry { capacity, slots, slot_bytes, stride, receivers, first_slot_at: first_slot_at(receivers) })
    }
}

/// Why a mailbox could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxError {
    /// No message fits, or more than numbers can tell apart.
    #[error("a mailbox holds 1 to {CAPACITY_MAX} messages, not {capacity}")]
    Capacity {
        /// What was asked for.
        capacity: u32,
    },
    /// A message is too large.
    #[error("a message has at most {} bytes, not {slot_bytes}", i32::MAX)]
    SlotBytes {
        /// What was asked for.
        slot_bytes: u32,
    },
    /// Nobody receives, or too many do.
    #[error("a mailbox has 1 to {RECEIVERS_MAX} receivers, not {receivers}")]
    Receivers {
        /// What was asked for.
        receivers: u32,
    },
    /// The memory has no room for it.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

/// Why no message could be sent. Those published before are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The mailbox is full, and the sender did not want to wait, or not so long.
    #[error("the mailbox is full: receiver {receiver} holds {capacity} messages, all that fit")]
    Full {
        /// A receiver that holds the most messages.
        receiver: u32,
        /// How many it holds.
        capacity: u32,
    },
    /// A receiver died of a panic, or was killed. Told once for each; the others go on.
    #[error("receiver {receiver} died")]
    Died {
        /// The receiver.
        receiver: u32,
    },
    /// Every receiver is gone.
    #[error("every receiver is gone")]
    Closed,
    /// An [`Interrupt`] is raised.
    #[error("the sender was told to stop")]
    Interrupted,
    /// The message is longer than a slot.
    #[error("a message of {bytes} bytes does not fit into a slot of {slot_bytes}")]
    TooLong {
        /// Bytes of the message.
        bytes: usize,
        /// Bytes of a slot.
        slot_bytes: u32,
    },
    /// Somebody wrote what is not theirs to write.
    #[error("the mailbox is corrupt: receiver {receiver} says {head}, which is not among the {capacity} before {tail}")]
    Corrupt {
        /// The receiver.
        receiver: u32,
        /// Its head.
        head: u32,
        /// The sender's tail.
        tail: u32,
        /// Messages that fit.
        capacity: u32,
    },
}

/// Why no message could be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// There are not so many messages, and the receiver did not want to wait, or not so long.
    #[error("{held} messages are there, {asked} were asked for")]
    Empty {
        /// Messages that are there.
        held: u32,
        /// Messages that were asked for.
        asked: u32,
    },
    /// More messages were asked for than the mailbox holds.
    #[error("{asked} messages were asked for, but no more than {capacity} fit")]
    Beyond {
        /// Messages that were asked for.
        asked: u32,
        /// Messages that fit.
        capacity: u32,
    },
    /// The sender left, and all that it sent was received.
    #[error("the sender is gone")]
    Closed,
    /// The sender died of a panic, or was killed, and all that it sent was received.
    #[error("the sender died")]
    Died,
    /// Somebody wrote what is not theirs to write.
    #[error("the mailbox is corrupt: the sender says {tail}, which is not among the {capacity} after {head}")]
    Corrupt {
        /// The sender's tail.
        tail: u32,
        /// The receiver's head.
        head: u32,
        /// Messages that fit.
        capacity: u32,
    },
}

/// Makes a mailbox from one sender to one receiver.
///
/// ```
/// use peristyle_memory::{Memory, mailbox::{MailboxOptions, Wait, mailbox}};
///
/// let memory = Memory::reserve(1 << 20)?;
/// let (mut sender, mut receiver) = mailbox::<()>(&memory, MailboxOptions::new(4, 8))?;
/// let worker = std::thread::spawn(move || {
///     for number in 0..100_u64 {
///         sender.send(&number.to_le_bytes(), Wait::Forever).unwrap();
///     }
/// });
/// for number in 0..100_u64 {
///     assert_eq!(receiver.recv(Wait::Forever)?.bytes(), number.to_le_bytes());
/// }
/// worker.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`MailboxError`]; nothing was made.
pub fn mailbox<T: Default + Send + Sync>(
    memory: &Memory,
    options: MailboxOptions,
) -> Result<(Sender<T>, Receiver<T>), MailboxError> {
    let (sender, mut receivers) = mailbox_to_many(memory, options, 1)?;
    Ok((sender, receivers.remove(0)))
}

/// Makes a mailbox from one sender to many receivers, 32 at most, each of which sees every message.
///
/// # Errors
/// [`MailboxError`]; nothing was made.
pub fn mailbox_to_many<T: Default + Send + Sync>(
    memory: &Memory,
    options: MailboxOptions,
    receivers: u32,
) -> Result<(Sender<T>, Vec<Receiver<T>>), MailboxError> {
    let geometry = options.geometry(receivers)?;
    let bytes = u64::from(geometry.slots) * u64::from(geometry.stride) + geometry.first_slot_at as u64;
    let block = memory.allocate(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    // SAFETY: the block is fresh, as large as it says, and nobody else knows it.
    unsafe { block.ptr().write_bytes(0, block.bytes() as usize) };
    let shared = Arc::new(Shared::<T>::new(block, &geometry));
    // Relaxed: whoever gets a side, or is told the block's offset, gets it by a way of its own that orders these.
    let write = |at, value| shared.word(at).store(value, Ordering::Relaxed);
    write(MAGIC_AT, MAGIC);
    write(VERSION_AT, VERSION);
    write(CAPACITY_AT, geometry.capacity);
    write(SLOTS_AT, geometry.slots);
    write(SLOT_BYTES_AT, geometry.slot_bytes);
    write(STRIDE_AT, geometry.stride);
    write(RECEIVERS_AT, receivers);
    write(FIRST_SLOT_AT, geometry.first_slot_at as u32);
    write(TAIL_AT, options.first);
    (0..receivers).for_each(|receiver| write(head_at(receiver), options.first));
    let sides =
        (0..receivers).map(|receiver| Receiver::new(shared.clone(), receiver, options.first, options.spin)).collect();
    Ok((Sender::new(shared, options.first, options.spin), sides))
}
