//! The natural logarithm, by a table of logarithms of 64 numbers with few bits.

use crate::{
    exact::{NAN, high_word, power_of_two, sum_error, upper21},
    tables::LOG,
};

/// `ln 2`: 42 bits, so that sums of its multiples and of the table's values are exact, and what is missing to them.
pub(crate) const LN2_HIGH: f64 = 0.6931471805598903;
pub(crate) const LN2_LOW: f64 = 5.497923018708371e-14;

/// A positive normal number as `2^exponent / inverse * (1 + r + r_low)`, with `|r|` below 0.0086, nothing lost, and the
/// place of `inverse` in the table.
pub(crate) struct Parts {
    pub(crate) exponent: f64,
    pub(crate) at: usize,
    pub(crate) r: f64,
    pub(crate) r_low: f64,
}

/// Splits `x * 2^shift`, which is positive and normal.
#[inline]
pub(crate) fn split(x: f64, shift: i32) -> Parts {
    let high = high_word(x);
    // In units of the high word from 0.706: exponent, then one of 64 parts. That of 1 has an inverse of exactly 1.
    let from = high.wrapping_sub(0x3fe6_9555) as i32;
    let at = 3 * (from >> 14 & 63) as usize;
    let inverse = LOG[at];
    let z = x * power_of_two(-(from >> 20));
    let upper = upper21(z);
    let lower = z - upper;
    let (a, b) = (upper * inverse - 1.0, lower * inverse);
    let r = a + b;
    Parts { exponent: f64::from((from >> 20) + shift), at, r, r_low: (a - r) + b }
}

/// The natural logarithm of `x`: minus infinity for zeros, NaN for what is below.
pub fn log(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 || x.is_nan() {
        return NAN;
    }
    if x == f64::INFINITY {
        return x;
    }
    let Parts { exponent, at, r, r_low } =
        if x < f64::MIN_POSITIVE { split(x * 4503599627370496.0, -52) } else { split(x, 0) };
    let base = exponent * LN2_HIGH + LOG[at + 1];
    let sum = base + r;
    let low = sum_error(base, r, sum) + (exponent * LN2_LOW + LOG[at + 2] + r_low);
    let series = 0.2 + r * (-0.16666666666666666 + r * (0.14285714285714285 + r * (-0.125 + r * 0.1111111111111111)));
    let series = -0.5 + r * (0.3333333333333333 + r * (-0.25 + r * series));
    sum + (low + r * r * series)
}
