//! Waking an agent's thread: it looks for a moment before it parks, and a bell that nobody waits for costs no system call.
//!
//! # Rules
//! - Looking pays only if what comes, comes within microseconds, and if another core can bring it. So an agent looks the less,
//!   the less often that helped, and no more than half of the cores' agents look at the same time.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock};
use std::time::{Duration, Instant};

/// How long a thread looks before it parks. Parking and waking take some 15 us.
pub(crate) const LOOK: Duration = Duration::from_micros(25);
/// A thread whose looking did not help for long tries it once in so many times.
const TRY_EVERY: u32 = 64;
/// What one look that helped is worth, in looks that do not help.
const CREDIT: u32 = 4;
const CREDIT_MAX: u32 = 32;

static LOOKING: AtomicUsize = AtomicUsize::new(0);
static LOOKING_MAX: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(0, |cores| cores.get() / 2));

#[derive(Default)]
pub(crate) struct Bell {
    /// Whether the thread is parked, or about to; changed with the lock of what it waits for.
    parked: AtomicBool,
    /// How often the bell was rung.
    rung: AtomicU32,
    /// Looks that may fail before the thread looks seldom; its own.
    credit: AtomicU32,
    waits: AtomicU32,
    condvar: Condvar,
}

impl Bell {
    /// Wakes the thread. What it is to see has been changed with the lock, which was released since.
    pub(crate) fn notify_one(&self) {
        // Release, paired with the acquire in `look`.
        self.rung.fetch_add(1, Ordering::Release);
        // Set with the lock: a thread that parked before the change is seen here, a later one sees the change.
        if self.parked.load(Ordering::Relaxed) {
            self.condvar.notify_one();
        }
    }

    /// How often the bell was rung: asked with the lock, and given to [`look`](Bell::look).
    pub(crate) fn rung(&self) -> u32 {
        self.rung.load(Ordering::Relaxed)
    }

    /// Looks for a moment whether the bell is rung more often than `rung` times, if that is worth it. The caller holds no lock.
    pub(crate) fn look(&self, rung: u32) -> bool {
        let credit = self.credit.load(Ordering::Relaxed);
        let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
        self.waits.store(waits, Ordering::Relaxed);
        if credit == 0 && !waits.is_multiple_of(TRY_EVERY) {
            return false;
        }
        if LOOKING.fetch_add(1, Ordering::Relaxed) >= *LOOKING_MAX {
            LOOKING.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let start = Instant::now();
        let mut heard = false;
        while !heard && start.elapsed() < LOOK {
            for _ in 0..32 {
                hint::spin_loop();
            }
            heard = self.rung.load(Ordering::Acquire) != rung;
        }
        LOOKING.fetch_sub(1, Ordering::Relaxed);
        let credit = if heard { (credit + CREDIT).min(CREDIT_MAX) } else { credit.saturating_sub(1) };
        self.credit.store(credit, Ordering::Relaxed);
        heard
    }

    /// Parks by `wait`, which waits on the condition variable with the lock.
    pub(crate) fn park<G>(&self, guard: G, wait: impl FnOnce(&Condvar, G) -> G) -> G {
        self.parked.store(true, Ordering::Relaxed);
        let guard = wait(&self.condvar, guard);
        self.parked.store(false, Ordering::Relaxed);
        guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    #[test]
    fn a_parked_thread_hears_every_change() {
        let shared = Arc::new((Bell::default(), Mutex::new(0)));
        let other = shared.clone();
        let waiter = std::thread::spawn(move || {
            let (bell, count) = &*other;
            let mut count = count.lock().unwrap();
            while *count < 10_000 {
                count = bell.park(count, |wake, count| wake.wait(count).unwrap_or_else(PoisonError::into_inner));
            }
        });
        let (bell, count) = &*shared;
        for _ in 0..10_000 {
            *count.lock().unwrap() += 1;
            bell.notify_one();
        }
        waiter.join().unwrap();
    }

    #[test]
    fn looking_hears_what_came_since_and_is_tried_seldom_without_success() {
        let bell = Bell::default();
        let rung = bell.rung();
        assert!((0..10).all(|_| !bell.look(rung)), "nothing rang");
        bell.notify_one();
        let heard = (0..2 * TRY_EVERY).filter(|_| bell.look(rung)).count();
        assert!(*LOOKING_MAX == 0 || heard > 0, "a look among {} was tried", 2 * TRY_EVERY);
    }
}
