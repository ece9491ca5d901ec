//! Powers: a logarithm of some 67 bits, times the exponent, as an exponential of a sum of two.

use crate::{
    exact::{NAN, high_word, ordered_sum_error, product_error, sum_error},
    exp::exp_sum,
    log::{LN2_HIGH, LN2_LOW, Parts, split},
    tables::LOG,
};

/// 2^52: there and above, doubles are integers.
const INTEGERS: f64 = 4503599627370496.0;

/// `x` to the power of `y`, by IEEE 754 and C: 1 if `x` is 1 or `y` is 0, whatever the other is; NaN for a negative finite
/// `x` and a finite `y` that is no integer.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if x.is_nan() || y.is_nan() {
        return NAN;
    }
    let size = x.abs();
    if y.abs() == f64::INFINITY {
        return if size == 1.0 {
            1.0
        } else if (size > 1.0) == (y > 0.0) {
            f64::INFINITY
        } else {
            0.0
        };
    }
    let mut negative = false;
    if high_word(x) >> 31 == 1 {
        let y = y.abs();
        let integer = is_integer(y);
        negative = integer && y < 2.0 * INTEGERS && !is_integer(0.5 * y);
        if !integer && x != 0.0 && x != f64::NEG_INFINITY {
            return NAN;
        }
    }
    let value = if size == 0.0 || size == f64::INFINITY {
        if (size == 0.0) == (y > 0.0) { 0.0 } else { f64::INFINITY }
    } else {
        pow_positive(size, y)
    };
    if negative { -value } else { value }
}

/// Whether `y` is an integer; it is not negative.
#[inline]
fn is_integer(y: f64) -> bool {
    y >= INTEGERS || (y + INTEGERS) - INTEGERS == y
}

/// `x` to the power of `y`, both finite, `x` positive and `y` not 0.
#[inline]
fn pow_positive(x: f64, y: f64) -> f64 {
    // Outside of these exponents the result is 1, or beyond all doubles unless `x` is 1; products would leave the range.
    let exponent = high_word(y) >> 20 & 0x7ff;
    if exponent < 1023 - 70 || x == 1.0 {
        return 1.0;
    }
    if exponent > 1023 + 66 {
        return if (x > 1.0) == (y > 0.0) { f64::INFINITY } else { 0.0 };
    }
    let Parts { exponent, at, r, r_low } = if x < f64::MIN_POSITIVE { split(x * INTEGERS, -52) } else { split(x, 0) };

    let base = exponent * LN2_HIGH + LOG[at + 1];
    let sum = base + r;
    let sum_low = sum_error(base, r, sum) + (exponent * LN2_LOW + LOG[at + 2] + r_low);
    // The square's error counts, that of higher powers does not.
    let half = -0.5 * r;
    let square = half * r;
    let square_low = product_error(half, r, square) - r * r_low;
    let series = 0.14285714285714285 + r * (-0.125 + r * (0.1111111111111111 + r * (-0.1 + r * 0.09090909090909091)));
    let series = 0.3333333333333333 + r * (-0.25 + r * (0.2 + r * (-0.16666666666666666 + r * series)));
    let most = sum + square;
    let rest = sum_error(sum, square, most) + (sum_low + square_low) + r * r * (r * series);
    let log = most + rest;
    let log_low = ordered_sum_error(most, rest, log);

    let product = y * log;
    let low = product_error(y, log, product) + y * log_low;
    if product > 746.0 {
        return f64::INFINITY;
    }
    if product < -746.0 {
        return 0.0;
    }
    exp_sum(product, low)
}
