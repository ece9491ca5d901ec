//! The time of agents: the one seam through which a loop reads a clock and waits.
//!
//! Times are nanoseconds since the clock was made: of the machine, or of a cluster that is deterministic.

use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::turns::Turns;

/// A monotonic clock.
pub(crate) enum Clock {
    Real { origin: Instant },
    Virtual { turns: Arc<Turns>, origin_ns: u64 },
}

impl Clock {
    pub(crate) fn new(turns: Option<&Arc<Turns>>) -> Clock {
        match turns {
            Some(turns) => Clock::Virtual { turns: turns.clone(), origin_ns: turns.now_ns() },
            None => Clock::Real { origin: Instant::now() },
        }
    }

    /// Nanoseconds since the clock was made.
    pub(crate) fn now_ns(&self) -> u64 {
        match self {
            Clock::Real { origin } => u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Clock::Virtual { turns, origin_ns } => turns.now_ns() - origin_ns,
        }
    }

    /// A time of this clock, by the clock of turns.
    pub(crate) fn of_turns(&self, time_ns: u64) -> u64 {
        match self {
            Clock::Real { .. } => time_ns,
            Clock::Virtual { origin_ns, .. } => time_ns.saturating_add(*origin_ns),
        }
    }

    /// Waits, in real time, until `wake` is notified, or until a time; may return earlier.
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
