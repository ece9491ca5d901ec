//! Sine, cosine and tangent: an angle of at most an eighth of a turn, then one kernel or the other.

use crate::{
    exact::{NAN, high_word, ordered_sum_error, product_error, upper},
    reduce::reduce,
};

/// High words: of 2^-27, below which `sin x` and `tan x` are `x`; of pi / 4; and of infinity.
const TINY: u32 = 0x3e40_0000;
const EIGHTH: u32 = 0x3fe9_21fb;
const INFINITY: u32 = 0x7ff0_0000;

/// Twelve bits of `-1 / 6`.
const SIXTH: f64 = -0.1666259765625;

/// The sine of `x` radians. NaN for infinities.
pub fn sin(x: f64) -> f64 {
    let high = high_word(x) & 0x7fff_ffff;
    if high < EIGHTH {
        return if high < TINY { x } else { sin_kernel(x, 0.0) };
    }
    if high >= INFINITY {
        return NAN;
    }
    let (quarter, x, low) = reduce(x);
    let value = if quarter & 1 == 0 { sin_kernel(x, low) } else { cos_kernel(x, low) };
    if quarter & 2 == 0 { value } else { -value }
}

/// The cosine of `x` radians. NaN for infinities.
pub fn cos(x: f64) -> f64 {
    let high = high_word(x) & 0x7fff_ffff;
    if high < EIGHTH {
        return cos_kernel(x, 0.0);
    }
    if high >= INFINITY {
        return NAN;
    }
    let (quarter, x, low) = reduce(x);
    let value = if quarter & 1 == 0 { cos_kernel(x, low) } else { sin_kernel(x, low) };
    if (quarter + 1) & 2 == 0 { value } else { -value }
}

/// The tangent of `x` radians. NaN for infinities.
pub fn tan(x: f64) -> f64 {
    let high = high_word(x) & 0x7fff_ffff;
    if high < EIGHTH {
        return if high < TINY { x } else { tan_kernel(x, 0.0, false) };
    }
    if high >= INFINITY {
        return NAN;
    }
    let (quarter, x, low) = reduce(x);
    tan_kernel(x, low, quarter & 1 == 1)
}

/// `(sin(x) / x - 1) / x^2`, of `z = x^2`.
#[inline]
fn sin_series(z: f64) -> f64 {
    let upper = 2.755731610068303e-06 + z * (-2.5051131455427946e-08 + z * 1.591810123027412e-10);
    -0.16666666666666666 + z * (0.008333333333330946 + z * (-0.0001984126983675497 + z * upper))
}

/// `(cos(x) - 1 + x^2 / 2) / x^4`, of `z = x^2`.
#[inline]
fn cos_series(z: f64) -> f64 {
    let upper = -2.7557317270560326e-07 + z * (2.0876146024689747e-09 + z * -1.1382614868556325e-11);
    0.041666666666666664 + z * (-0.0013888888888887395 + z * (2.4801587298763433e-05 + z * upper))
}

/// The sine of `x + low`, at most an eighth of a turn.
#[inline]
fn sin_kernel(x: f64, low: f64) -> f64 {
    let z = x * x;
    x + (x * z * sin_series(z) + (low - 0.5 * z * low))
}

/// The cosine of `x + low`, at most an eighth of a turn.
#[inline]
fn cos_kernel(x: f64, low: f64) -> f64 {
    let z = x * x;
    let half = 0.5 * z;
    let most = 1.0 - half;
    most + (((1.0 - most) - half) + (z * z * cos_series(z) - x * low))
}

/// The tangent of `x + low`, at most an eighth of a turn, or of what is a quarter turn on: sine and cosine with their
/// rounding errors, and a quotient that knows its own.
#[inline]
fn tan_kernel(x: f64, low: f64, quarter: bool) -> f64 {
    let z = x * x;
    let z_low = product_error(x, x, z);
    // The cubic term's first bits without an error: its own would be most of the result's.
    let cube = x * z;
    let cube_upper = upper(cube);
    let cube_lower = (cube - cube_upper) + x * z_low;
    let rest = cube_lower * SIXTH + cube * (sin_series(z) - SIXTH) + (low - 0.5 * z * low);
    let rest = cube_upper * SIXTH + rest;
    let sin = x + rest;
    let sin_low = ordered_sum_error(x, rest, sin);

    let half = 0.5 * z;
    let most = 1.0 - half;
    let rest = ((1.0 - most) - half) - 0.5 * z_low + (z * z * cos_series(z) - x * low);
    let cos = most + rest;
    let cos_low = ordered_sum_error(most, rest, cos);

    if quarter { -quotient(cos, cos_low, sin, sin_low) } else { quotient(sin, sin_low, cos, cos_low) }
}

#[inline]
fn quotient(above: f64, above_low: f64, below: f64, below_low: f64) -> f64 {
    let first = above / below;
    let product = first * below;
    let rest = (above - product) - product_error(first, below, product) + (above_low - first * below_low);
    first + rest / below
}
