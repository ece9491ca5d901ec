//! Parking idle lanes and waking them, without lost wake-ups.
//!
//! A lane that finds nothing to do announces that it will sleep, then looks for work once more, then
//! sleeps. Who made work publishes it, then looks for announced sleepers. Between the two steps on
//! either side stands a sequentially consistent fence; one fence comes first, and the side of the other
//! sees what was done before it:
//!
//! ```text
//! sleeper                            waker
//!   announce                           publish
//!   fence                              fence
//!   look for work: none -> sleep       look for sleepers: one -> wake
//! ```
//!
//! Either the sleeper sees the work, or the waker sees the sleeper. This is Dekker's pattern, the same
//! that event counts use. With nobody asleep a waker pays the fence and one load.
//!
//! # Rules
//! - A parker's state goes to `PARKED` by its owner only, and back by whoever wins the exchange: a waker
//!   or the owner that found work. The winner takes the sleeper out of the count.
//! - The owner blocks on a condition variable until the state is back; the waker takes the lock after
//!   the exchange, so that it rings either before the owner looked at the state or while it waits.

use std::sync::PoisonError;

use crossbeam_utils::CachePadded;
use peristyle_timeline::clock;

use crate::sync::{AtomicU32, Condvar, Edge, Mutex, Ordering, yield_now};

/// How often a lane gives its core away before it sleeps: another thread may be about to finish what
/// it waits for, and a yield is cheaper than a sleep for both.
const YIELDS: usize = 3;

/// How often a spinning lane looks between two readings of the clock.
const LOOKS_PER_READING: usize = 16;

const AWAKE: u32 = 0;
const PARKED: u32 = 1;

/// Looks for `found` for `spin_ticks`, then around some yields of the core; returns whether it came.
pub(crate) fn spin(spin_ticks: u64, mut found: impl FnMut() -> bool) -> bool {
    if cfg!(loom) {
        return found();
    }
    if spin_ticks > 0 {
        let start = clock::now();
        while clock::now().wrapping_sub(start) < spin_ticks {
            for _ in 0..LOOKS_PER_READING {
                if found() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
    }
    (0..YIELDS).any(|_| {
        yield_now();
        found()
    })
}

/// Where one thread sleeps.
pub(crate) struct Parker {
    state: AtomicU32,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker { state: AtomicU32::new(AWAKE), lock: Mutex::new(()), bell: Condvar::new() }
    }

    /// Announces that this thread will sleep. It must then look for work once more, and either
    /// [`cancel`](Parker::cancel) or [`sleep`](Parker::sleep).
    pub(crate) fn announce(&self) {
        // Release: pairs with the Acquire in `ring`, so that the count of sleepers is raised before it
        // is lowered. The fence orders it before the look for work.
        self.state.store(PARKED, Ordering::Release);
        Edge::Sleep.fence();
    }

    /// Takes the announcement back; false if a waker did so first.
    pub(crate) fn cancel(&self) -> bool {
        // Relaxed: nothing was handed over.
        self.state.compare_exchange(PARKED, AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Sleeps until woken since the announcement.
    pub(crate) fn sleep(&self) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Acquire: pairs with the Release in `wake`.
        while self.state.load(Ordering::Acquire) == PARKED {
            guard = self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes the thread if it announced a sleep; true if this call did. The caller published what it
    /// wakes for, and passed a [`Edge::Sleep`] fence since.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        // Relaxed: the fences order it; see the module's text.
        self.state.load(Ordering::Relaxed) == PARKED && self.ring()
    }

    #[cold]
    fn ring(&self) -> bool {
        // Acquire and Release: pairs with the store in `announce` and the load in `sleep`.
        if self.state.compare_exchange(PARKED, AWAKE, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
        true
    }
}

/// Where the workers of a pool sleep.
pub(crate) struct Dormitory {
    /// How many announced a sleep. Raised before the state is set and lowered after it is taken back,
    /// so it is never below the number of parked workers.
    sleepers: CachePadded<AtomicU32>,
    parkers: Box<[CachePadded<Parker>]>,
}

impl Dormitory {
    pub(crate) fn new(workers: usize) -> Dormitory {
        Dormitory {
            sleepers: CachePadded::new(AtomicU32::new(0)),
            parkers: (0..workers).map(|_| CachePadded::new(Parker::new())).collect(),
        }
    }

    /// Returns how many workers are asleep or about to be.
    #[inline]
    pub(crate) fn sleepers(&self) -> usize {
        // Relaxed: a hint.
        self.sleepers.load(Ordering::Relaxed) as usize
    }

    /// Puts worker `worker` to sleep, unless `has_work` after the announcement.
    pub(crate) fn sleep(&self, worker: usize, has_work: impl FnOnce() -> bool) {
        let parker = &self.parkers[worker];
        // Relaxed: the fence in `announce` orders it.
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        parker.announce();
        if !has_work() {
            parker.sleep();
        } else if parker.cancel() {
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Wakes up to `count` workers. What they shall find was published before.
    #[inline]
    pub(crate) fn wake(&self, count: usize) {
        Edge::Sleep.fence();
        if self.sleepers() > 0 {
            self.wake_some(count);
        }
    }

    /// Wakes worker `worker` if it sleeps. What it shall find was published before.
    pub(crate) fn wake_one(&self, worker: usize) {
        Edge::Sleep.fence();
        if self.parkers[worker].wake() {
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[cold]
    fn wake_some(&self, count: usize) {
        let mut left = count;
        for parker in &self.parkers {
            if left == 0 {
                return;
            }
            if parker.wake() {
                self.sleepers.fetch_sub(1, Ordering::Relaxed);
                left -= 1;
            }
        }
    }
}
