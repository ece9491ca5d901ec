//! The folded day: 86 400 seconds that every flight of every date shares.
//!
//! Simulated time runs on without bound; the time of day is that time modulo one day. Times of day are `f32` columns:
//! one day has a resolution of 1/128 s at its end, and whole seconds are exact.
//!
//! # Rules
//! - Fold in `f64`, then round to `f32`, and compare with nothing but the rounded time: the clock that lets a flight
//!   depart is the one that moves it. Rounding is monotonic, so no time goes back.
//! - A tick moves the day by at most [`TICK_SECONDS_MAX`], and no flight flies longer than what is left of a day after
//!   that: so time since departure, modulo one day, tells a flight that has just arrived from one that is in the air.

/// Seconds of one day.
pub const DAY_SECONDS: f64 = 86_400.0;

/// Ticks of one second of wall time in a run that is shown.
pub const TICKS_PER_SECOND: f64 = 60.0;

/// The most simulated seconds that one tick may move the day.
pub const TICK_SECONDS_MAX: f64 = 3_600.0;

/// Seconds of one day, as the columns hold them.
pub(crate) const DAY_SECONDS_F32: f32 = 86_400.0;

/// The time of day, in seconds from 0 to below 86 400, of a simulated time in seconds.
pub fn fold(seconds: f64) -> f64 {
    let folded = seconds.rem_euclid(DAY_SECONDS);
    // `rem_euclid` rounds a tiny negative time up to a whole day.
    if folded >= DAY_SECONDS { 0.0 } else { folded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_stays_within_the_day() {
        assert_eq!(fold(0.0), 0.0);
        assert_eq!(fold(86_400.0), 0.0);
        assert_eq!(fold(86_401.5), 1.5);
        assert_eq!(fold(-1.0), 86_399.0);
        assert_eq!(fold(-1e-20), 0.0);
        assert_eq!(fold(10.0 * 86_400.0 + 7.0), 7.0);
    }
}
