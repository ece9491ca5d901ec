//! A monotonic clock that costs a few nanoseconds to read.
//!
//! On x86-64 with an invariant time stamp counter this is that counter: it runs at one rate, in every
//! power state, and the operating system keeps it equal on all cores. Elsewhere it is
//! [`std::time::Instant`] in nanoseconds. Ticks become nanoseconds by [`ns_per_tick`], which compares
//! the counter with `Instant` over the time since the first use of this module.
//!
//! # Not here
//! The time of day. Ticks mean nothing in another process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The shortest time over which the counter's rate is measured: reading both clocks is uncertain by
/// some 50 ns, so that the rate is right to 1 in 20 000 after this time and better later.
const CALIBRATION_MIN: Duration = Duration::from_millis(1);

struct Origin {
    ticks: u64,
    instant: Instant,
    has_counter: bool,
}

/// How often both clocks are read together; the closest reading counts. A thread may lose its core between
/// the two clocks, but not each time.
const READINGS: u32 = 5;

/// Reads both clocks at one time, as nearly as can be.
fn both() -> (u64, Instant) {
    let reading = || {
        let before = counter();
        let instant = Instant::now();
        let width = counter().saturating_sub(before);
        (width, (before + width / 2, instant))
    };
    let mut closest = reading();
    for _ in 1..READINGS {
        let next = reading();
        if next.0 < closest.0 {
            closest = next;
        }
    }
    closest.1
}

static ORIGIN: OnceLock<Origin> = OnceLock::new();

#[inline]
fn origin() -> &'static Origin {
    ORIGIN.get_or_init(|| {
        let has_counter = has_invariant_counter();
        let (ticks, instant) = both();
        Origin { ticks, instant, has_counter }
    })
}

/// Returns the current tick, never 0.
///
/// Ticks never go back on one thread. The processor may read the counter some instructions early or
/// late, so a span of few nanoseconds is only roughly right.
#[inline]
pub fn now() -> u64 {
    let origin = origin();
    if origin.has_counter { counter() } else { origin.instant.elapsed().as_nanos() as u64 + 1 }
}

/// Returns how many nanoseconds one tick lasts.
///
/// Each call measures anew, over all the time since the clock was first used; the result is worth
/// keeping where it is needed often. Costs some readings of both clocks, except in the first millisecond,
/// where it waits for the rest of it.
pub fn ns_per_tick() -> f64 {
    let origin = origin();
    if !origin.has_counter {
        return 1.0;
    }
    loop {
        let (ticks, instant) = both();
        let (ticks, elapsed) = (ticks.saturating_sub(origin.ticks), instant.duration_since(origin.instant));
        if elapsed >= CALIBRATION_MIN && ticks > 0 {
            return elapsed.as_nanos() as f64 / ticks as f64;
        }
        std::hint::spin_loop();
    }
}

#[cfg(target_arch = "x86_64")]
fn has_invariant_counter() -> bool {
    use std::arch::x86_64::__cpuid;
    const LEAF_MAX: u32 = 0x8000_0000;
    const LEAF_POWER: u32 = 0x8000_0007;
    const INVARIANT_COUNTER: u32 = 1 << 8;
    __cpuid(LEAF_MAX).eax >= LEAF_POWER && __cpuid(LEAF_POWER).edx & INVARIANT_COUNTER != 0
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it reads a register and touches no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_invariant_counter() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_run_at_the_rate_of_instant() {
        // Each clock is read inside of the other's readings, so the test holds wherever it loses its core.
        let outer_ticks = now();
        let outer = Instant::now();
        let inner_ticks = now();
        while outer.elapsed() < Duration::from_millis(5) {}
        let inner_ticks = now() - inner_ticks;
        let outer = outer.elapsed().as_nanos() as f64;
        let outer_ticks = now() - outer_ticks;
        let rate = ns_per_tick();
        assert!(inner_ticks as f64 * rate <= outer * 1.01, "{inner_ticks} ticks of {rate} ns inside of {outer} ns");
        assert!(outer_ticks as f64 * rate >= outer * 0.99, "{outer_ticks} ticks of {rate} ns around {outer} ns");
    }

    #[test]
    fn the_first_rate_is_that_of_later() {
        let first = ns_per_tick();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {}
        let later = ns_per_tick();
        assert!((first / later - 1.0).abs() < 0.01, "{first} ns, later {later} ns");
    }

    #[test]
    fn never_zero_and_never_back() {
        let mut last = 1;
        for _ in 0..1000 {
            let tick = now();
            assert!(tick >= last);
            last = tick;
        }
    }
}
