//! Waiting: spin for a while, then sleep on a word of the memory.
//!
//! A side that finds nothing announces that it will sleep, looks once more, then sleeps. Who changed something publishes
//! that, then looks for announced sleepers. Between the two steps on either side stands a sequentially consistent fence:
//! one fence comes first, and the side of the other sees what was done before it. So either the sleeper sees the change,
//! or the waker sees the sleeper.
//!
//! # Rules
//! - A parked word goes to `PARKED` by its owner only, and back by whoever wins the exchange: a waker, or the owner. The
//!   winner takes the sleeper out of the count, if there is one.
//! - The system compares the word once more when it puts a thread to sleep, so a wake-up before that is not lost.
//! - Spinning is learned: who spun in vain spins half as long the next time, and hardly ever after some such times. Where
//!   threads outnumber cores, spinning would take the core from the one that is waited for.
//! - No core is given away by a yield: with other busy threads about it would come back a time slice later.

use std::time::{Duration, Instant};

use super::{
    Wait,
    layout::{AWAKE, PARKED},
};
use crate::sync::{AtomicU32, Edge, Ordering};

/// How often a waiting side looks between two readings of the clock.
const LOOKS_PER_READING: u32 = 16;
/// A spin shorter than this is not worth two readings of the clock.
const SPIN_NS_MIN: u32 = 500;
/// Once spinning was given up, one wait in so many tries it again.
const PROBE_GAP: u32 = 64;

/// Sleeping on words, natively by futex. Words are of one process, so the system need not look up what is mapped there.
#[cfg(not(loom))]
pub(crate) struct Futex;

#[cfg(not(loom))]
impl Futex {
    pub(crate) fn new() -> Futex {
        Futex
    }

    /// Sleeps while `word` is `value`, at most so long. May return at any time.
    pub(crate) fn wait(&self, word: &AtomicU32, value: u32, at_most: Option<Duration>) {
        use rustix::thread::{Timespec, futex};
        let timespec = at_most.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        // Whatever it says, be it that the word changed, a signal or the end of the time, the caller looks at the word.
        let _ = futex::wait(word, futex::Flags::PRIVATE, value, timespec.as_ref());
    }

    /// Wakes who sleeps on `word`, which was changed before.
    pub(crate) fn wake(&self, word: &AtomicU32) {
        use rustix::thread::futex;
        // It fails for addresses that are none only.
        let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
    }
}

/// The same as a system does it: it compares the word, and queues the sleeper, under the lock that a waker takes.
#[cfg(loom)]
pub(crate) struct Futex {
    lock: loom::sync::Mutex<()>,
    bell: loom::sync::Condvar,
}

#[cfg(loom)]
impl Futex {
    pub(crate) fn new() -> Futex {
        Futex { lock: loom::sync::Mutex::new(()), bell: loom::sync::Condvar::new() }
    }

    pub(crate) fn wait(&self, word: &AtomicU32, value: u32, at_most: Option<Duration>) {
        assert!(at_most.is_none(), "models know no time");
        let guard = self.lock.lock().unwrap();
        if word.load(Ordering::Relaxed) == value {
            drop(self.bell.wait(guard));
        }
    }

    pub(crate) fn wake(&self, _: &AtomicU32) {
        drop(self.lock.lock().unwrap());
        self.bell.notify_all();
    }
}

/// Where one side sleeps.
#[derive(Clone, Copy)]
pub(crate) struct Bed<'a> {
    pub(crate) futex: &'a Futex,
    pub(crate) parked: &'a AtomicU32,
    /// How many sleep in beds like this one, for wakers of several. Raised before the word is set and lowered after it is
    /// taken back, so it is never below the number of sleepers.
    pub(crate) sleepers: Option<&'a AtomicU32>,
}

impl Bed<'_> {
    /// Announces a sleep. The thread must then look once more.
    fn announce(&self) {
        if let Some(sleepers) = self.sleepers {
            // Relaxed: the fence below orders it.
            sleepers.fetch_add(1, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `take`, so that the count is raised before it is lowered.
        self.parked.store(PARKED, Ordering::Release);
        Edge::Sleep.fence();
    }

    /// Takes an announcement back, if there is one, and nobody else did.
    fn take(&self) -> bool {
        // Acquire: see `announce`. Nothing else is handed over.
        let taken = self.parked.compare_exchange(PARKED, AWAKE, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken && let Some(sleepers) = self.sleepers {
            sleepers.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    /// Wakes who sleeps here. The caller published what it wakes for, and passed an [`Edge::Sleep`] fence since.
    #[inline]
    pub(crate) fn wake(&self) {
        // Relaxed: the fences order it; see the module's text.
        if self.parked.load(Ordering::Relaxed) == PARKED {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        if self.take() {
            self.futex.wake(self.parked);
        }
    }

    /// Waits until `look` gives something, as long as `wait` allows. `look` is called once at least, and once after the
    /// end of the time.
    pub(crate) fn wait<R>(&self, spin: &mut Spin, wait: Wait, mut look: impl FnMut() -> Option<R>) -> Option<R> {
        if let Some(found) = look() {
            return Some(found);
        }
        let deadline = match wait {
            Wait::Never => return None,
            // A time beyond what the clock can tell is no limit.
            Wait::AtMost(time) => Instant::now().checked_add(time),
            Wait::Forever => None,
        };
        if let Some(found) = spin.run(deadline, &mut look) {
            return Some(found);
        }
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return look();
            }
            self.announce();
            if let Some(found) = look() {
                self.take();
                return Some(found);
            }
            self.futex.wait(self.parked, PARKED, left);
            // Still announced after a signal or the end of the time.
            self.take();
            if let Some(found) = look() {
                return Some(found);
            }
        }
    }
}

/// How long one side spins.
#[derive(Debug, Clone)]
pub(crate) struct Spin {
    ns_max: u32,
    ns: u32,
    /// Waits without spinning since the last try.
    skipped: u32,
}

impl Spin {
    pub(crate) fn new(at_most: Duration) -> Spin {
        let ns_max = u32::try_from(at_most.as_nanos()).unwrap_or(u32::MAX);
        Spin { ns_max, ns: ns_max, skipped: 0 }
    }

    /// Looks for a while.
    fn run<R>(&mut self, deadline: Option<Instant>, look: &mut impl FnMut() -> Option<R>) -> Option<R> {
        if cfg!(loom) || self.ns_max == 0 {
            return None;
        }
        if self.ns < SPIN_NS_MIN {
            self.skipped += 1;
            if self.skipped < PROBE_GAP {
                return None;
            }
            self.skipped = 0;
        }
        let ns = if self.ns < SPIN_NS_MIN { self.ns_max } else { self.ns };
        let start = Instant::now();
        let end = start + Duration::from_nanos(ns.into());
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        loop {
            for _ in 0..LOOKS_PER_READING {
                if let Some(found) = look() {
                    self.ns = self.ns_max;
                    return Some(found);
                }
                std::hint::spin_loop();
            }
            if Instant::now() >= end {
                self.ns /= 2;
                return None;
            }
        }
    }
}
