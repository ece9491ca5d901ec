//! The time of agents: the one seam through which a loop reads a clock and waits.
//!
//! Times are nanoseconds since the clock was made. Whoever replaces this by virtual time replaces both functions together:
//! a loop that waits for a time must see that time when it wakes.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A monotonic clock.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Nanoseconds since the clock was made.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits until `wake` is notified, or until a time; may return earlier.
    pub(crate) fn wait<'a, T>(
        &self,
        wake: &Condvar,
        guard: MutexGuard<'a, T>,
        until_ns: Option<u64>,
    ) -> MutexGuard<'a, T> {
        match until_ns {
            None => wake.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = Duration::from_nanos(until.saturating_sub(self.now_ns()));
                wake.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}
