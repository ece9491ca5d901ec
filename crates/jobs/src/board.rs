//! The board: where the frame's thread puts work and all lanes take ranges of it.
//!
//! A board has a fixed number of slots. The frame's thread opens a slot with a piece of [`Work`] and a
//! number of ranges; any lane claims ranges, one by one; when all have run, the frame's thread closes
//! the slot and may open it again with something else.
//!
//! ```text
//! claim  ranges (32) | next (32)     one word: a claim is fetch_add(1), and the word it returns holds
//!                                    the range and how many there are, always of the same opening
//! done   ranges that have run
//! open   one bit per slot that was opened in this scope; a slot may lie closed and keep its bit, for
//!        that costs idle lanes a look in their own cache, and clearing it would cost a shared line
//! ```
//!
//! # Rules
//! - Only the frame's thread opens and closes slots and writes `open`. Workers write `claim` by
//!   `fetch_add(1)` and `done` by `fetch_add(1)`, nothing else.
//! - Claim: load `claim`, and go on only if `next < ranges`; then `fetch_add(1)`; the claim is won if
//!   `next < ranges` holds in the word returned. Each lane overshoots at most once per opening, so
//!   `next` never spills into `ranges` ([`RANGES_MAX`]).
//! - The work's pointer is read after a won claim only. It stays valid until the range counts as done,
//!   because the opener waits for `done == ranges` before it lets go of the work.
//! - A worker may sleep between its look and its `fetch_add` while the slot is closed and opened with
//!   other work. Then its `fetch_add` claims a range of the new opening, as good as any other: the
//!   word it gets tells the range and count of the new opening, and reading that word makes the new
//!   work visible. So there is nothing to enter or leave, and no ABA.
//! - A panic in a range is caught, counts as done, and is kept for the opener; the first one wins. Its lane
//!   [retires](Lane::retire).
//!
//! # Not here
//! Sleeping and waking (`sleep`), and who may call what when (`scope`).

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::PoisonError;

use crossbeam_utils::CachePadded;

use crate::lane::Lane;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Edge, Mutex, Ordering, UnsafeCell};

/// How many tasks may be open at once: the bits of a word. loom gets a board that it can explore.
pub(crate) const SLOTS: usize = if cfg!(loom) { 2 } else { 64 };

/// The most ranges of one task. What is left up to 2^32 is room for overshooting claims, one per lane
/// and opening.
pub const RANGES_MAX: u32 = 1 << 31;

/// Something that lanes do range by range.
pub trait Work: Sync {
    /// Does range `range`, on lane `lane`. Each range of a task runs exactly once.
    fn run(&self, range: u32, lane: &mut Lane);
}

impl<F: Fn(u32, &mut Lane) + Sync> Work for F {
    #[inline]
    fn run(&self, range: u32, lane: &mut Lane) {
        self(range, lane);
    }
}

/// A range of a task panicked.
pub struct JobPanic {
    range: u32,
    payload: Box<dyn Any + Send>,
}

impl JobPanic {
    pub(crate) fn new(range: u32, payload: Box<dyn Any + Send>) -> JobPanic {
        JobPanic { range, payload }
    }

    /// Returns the range that panicked first.
    pub fn range(&self) -> u32 {
        self.range
    }

    /// Returns the text of the panic, if it had one.
    pub fn message(&self) -> &str {
        let payload = &*self.payload;
        payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without text")
    }

    /// Returns what was thrown.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
    }

    /// Drops the payload without letting its destructor unwind into a worker or a wait.
    pub(crate) fn discard(self) {
        // What the destructor throws is leaked, for dropping it may throw again.
        catch_unwind(AssertUnwindSafe(|| drop(self))).unwrap_or_else(std::mem::forget);
    }

    /// Goes on panicking on this thread.
    pub fn resume(self) -> ! {
        resume_unwind(self.payload)
    }
}

impl fmt::Debug for JobPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobPanic").field("range", &self.range).field("message", &self.message()).finish()
    }
}

impl fmt::Display for JobPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range {} panicked: {}", self.range, self.message())
    }
}

impl std::error::Error for JobPanic {}

/// What came of a try to run a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Nothing was left to claim.
    Nothing,
    /// A range ran.
    One,
    /// A range ran, and with it the task was done.
    Last,
}

pub(crate) struct Board {
    /// Bit `i`: slot `i` may have ranges to claim. It only saves looks at slots; the claim itself carries
    /// what a claim needs.
    open: CachePadded<AtomicU64>,
    slots: [CachePadded<Slot>; SLOTS],
    /// How many ranges each lane ran. Only the lane writes its own, hence Relaxed; the count of `done`
    /// makes it visible to the opener.
    ran: Box<[CachePadded<AtomicU64>]>,
}

/// All of it but a panic fits one cache line: a claim brings the pointer along.
struct Slot {
    claim: AtomicU64,
    work: UnsafeCell<Option<NonNull<dyn Work>>>,
    done: AtomicU32,
    /// Relaxed: the count of `done` orders it, as it orders `panic`.
    panicked: AtomicBool,
    panic: Mutex<Option<JobPanic>>,
}

// SAFETY: the one thing in a board that is not `Send` and `Sync` by itself is the pointer in `work`.
// It points to a `Work`, which is `Sync`, so that any thread may run it; `Board::open` states who
// writes the cell and `Board::run_one` who reads it.
unsafe impl Send for Board {}
// SAFETY: as for `Send`.
unsafe impl Sync for Board {}

const fn ranges_of(claim: u64) -> u32 {
    (claim >> 32) as u32
}

const fn next_of(claim: u64) -> u32 {
    claim as u32
}

impl Board {
    pub(crate) fn new(lanes: usize) -> Board {
        Board {
            ran: (0..lanes).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            open: CachePadded::new(AtomicU64::new(0)),
            slots: std::array::from_fn(|_| {
                CachePadded::new(Slot {
                    claim: AtomicU64::new(0),
                    work: UnsafeCell::new(None),
                    done: AtomicU32::new(0),
                    panicked: AtomicBool::new(false),
                    panic: Mutex::new(None),
                })
            }),
        }
    }

    /// Returns the slots that may have ranges to claim, one bit each.
    #[inline]
    pub(crate) fn open_slots(&self) -> u64 {
        // Acquire: pairs with the Release in `show`, so that the claim word looked at next is not older
        // than the bit.
        self.open.load(Ordering::Acquire)
    }

    /// Returns whether any slot has a range to claim.
    pub(crate) fn has_work(&self) -> bool {
        bits(self.open_slots()).any(|slot| self.has_range(slot))
    }

    /// Opens `slot` with `work`: from now on any lane may run its ranges.
    ///
    /// # Safety
    /// - Only one thread at a time calls `open`, `show`, `hide_all` and `take_panic` of a board.
    /// - `slot` was never opened, or [`is_done`](Board::is_done) returned true on this thread since.
    /// - `work` stays valid until `is_done` returned true.
    pub(crate) unsafe fn open(&self, slot: usize, work: NonNull<dyn Work>, ranges: u32) {
        debug_assert!(ranges <= RANGES_MAX);
        debug_assert!(self.is_done(slot));
        let slot = &self.slots[slot];
        // SAFETY: the cell is read after a won claim only. All claims of earlier openings were won by
        // lanes that counted their range as done after reading the cell, and the caller saw them all
        // (second duty); no claim of this opening can be won before the store below.
        slot.work.with_mut(|cell| unsafe { *cell = Some(work) });
        // Relaxed: the Release below orders it before any claim of this opening.
        slot.done.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire of a claim; whoever claims sees the work. A store would do: a
        // late claim of the last opening comes before it or takes a range of this one. As a swap it
        // costs 4 ns more, and the model checker sees its place among such claims.
        slot.claim.swap(u64::from(ranges) << 32, Edge::Publish.order(Ordering::Release));
    }

    /// Sets the bit of `slot` in the mask that idle lanes look at.
    #[inline]
    pub(crate) fn show(&self, slot: usize) {
        // Relaxed: only the frame's thread writes the mask.
        let open = self.open.load(Ordering::Relaxed);
        if open & 1 << slot == 0 {
            self.open.store(open | 1 << slot, Ordering::Release);
        }
    }

    /// Clears the mask, when all slots are closed.
    #[inline]
    pub(crate) fn hide_all(&self) {
        // Relaxed: a stale bit costs a look.
        self.open.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn has_range(&self, slot: usize) -> bool {
        // Relaxed: a hint; the claim decides.
        let claim = self.slots[slot].claim.load(Ordering::Relaxed);
        next_of(claim) < ranges_of(claim)
    }

    /// Claims a range of `slot` and returns it with the number of ranges.
    #[inline]
    fn claim(&self, slot: usize) -> Option<(u32, u32)> {
        if !self.has_range(slot) {
            return None;
        }
        // Acquire: pairs with the Release in `open`, directly or through the claims of other lanes,
        // which continue its release sequence.
        let claim = self.slots[slot].claim.fetch_add(1, Edge::Claim.order(Ordering::Acquire));
        let (range, ranges) = (next_of(claim), ranges_of(claim));
        (range < ranges).then_some((range, ranges))
    }

    /// Claims a range of `slot` and runs it on `lane`. A panic is kept for the opener.
    #[inline]
    pub(crate) fn run_one(&self, slot: usize, lane: &mut Lane) -> Ran {
        let Some((range, ranges)) = self.claim(slot) else { return Ran::Nothing };
        let at = &self.slots[slot];
        // SAFETY: the claim was won, so it synchronised with `open`, which wrote the cell before, and
        // `open` writes it again only after this range counted as done.
        let work = at.work.with(|cell| unsafe { *cell }).expect("an open slot has work");
        // SAFETY: `open` promises that the pointer is valid until the opener saw all ranges done; this
        // one counts as done below, and `work` is not used after. `Work` is `Sync`.
        // A job that panics leaves its own data as they are; the opener is told and decides.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { work.as_ref().run(range, lane) }));
        if let Err(payload) = result {
            lane.retire();
            self.keep_panic(slot, JobPanic { range, payload });
        }
        let ran = &self.ran[lane.index() as usize];
        ran.store(ran.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.count_done(slot, ranges)
    }

    /// Returns how many ranges `lane` ran since the board was made.
    pub(crate) fn ranges_run(&self, lane: usize) -> u64 {
        self.ran[lane].load(Ordering::Relaxed)
    }

    /// Claims all ranges of `slot` that nobody claimed, and counts them as done without running them.
    pub(crate) fn cancel(&self, slot: usize) {
        while let Some((_, ranges)) = self.claim(slot) {
            self.count_done(slot, ranges);
        }
    }

    #[inline]
    fn count_done(&self, slot: usize, ranges: u32) -> Ran {
        // Release: pairs with the Acquire in `is_done`; all that the range wrote is visible to who
        // sees it counted. Later counts continue the release sequence.
        let done = self.slots[slot].done.fetch_add(1, Edge::Finish.order(Ordering::Release)) + 1;
        if done == ranges { Ran::Last } else { Ran::One }
    }

    /// Returns whether all ranges of `slot` have run. Only the frame's thread asks.
    #[inline]
    pub(crate) fn is_done(&self, slot: usize) -> bool {
        let slot = &self.slots[slot];
        // Relaxed: this thread wrote the upper half itself, and nobody else changes it.
        let ranges = ranges_of(slot.claim.load(Ordering::Relaxed));
        // Acquire: pairs with the Release in `count_done`.
        slot.done.load(Edge::Done.order(Ordering::Acquire)) == ranges
    }

    #[cold]
    fn keep_panic(&self, slot: usize, panic: JobPanic) {
        let slot = &self.slots[slot];
        slot.panicked.store(true, Ordering::Relaxed);
        let mut first = slot.panic.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(panic);
            return;
        }
        drop(first);
        panic.discard();
    }

    /// Takes the first panic of `slot`, which is done.
    #[inline]
    pub(crate) fn take_panic(&self, slot: usize) -> Option<JobPanic> {
        let slot = &self.slots[slot];
        // Relaxed: `is_done` ordered it.
        if !slot.panicked.load(Ordering::Relaxed) {
            return None;
        }
        slot.panicked.store(false, Ordering::Relaxed);
        slot.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The indices of the bits set in `mask`, from low to high.
#[inline]
pub(crate) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            bit
        })
    })
}
