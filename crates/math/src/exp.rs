//! The exponential, by a table of `2^(i/32)`.

use crate::{
    exact::{NAN, ROUND, power_of_two},
    tables::EXP2,
};

const THIRTY_SECONDS: f64 = 46.16624130844683; // 32 / ln 2
/// `ln 2 / 32`: 36 bits, so that their products with integers are exact, and what is missing to them.
const LN2_32_HIGH: f64 = 0.021660849392446835;
const LN2_32_LOW: f64 = 5.145609244655338e-14;

/// `e` to the power of `x`.
pub fn exp(x: f64) -> f64 {
    if x.abs() >= 746.0 || x.is_nan() {
        return if x > 0.0 {
            f64::INFINITY
        } else if x < 0.0 {
            0.0
        } else {
            NAN
        };
    }
    exp_sum(x, 0.0)
}

/// `e` to the power of `x + low`, where `|x|` is below 746 and `low` tiny beside it or beside 1.
#[inline]
pub(crate) fn exp_sum(x: f64, low: f64) -> f64 {
    let steps = (x * THIRTY_SECONDS + ROUND) - ROUND;
    let r = (x - steps * LN2_32_HIGH) - steps * LN2_32_LOW + low;
    let series =
        0.16666666666666666 + r * (0.041666666666666664 + r * (0.008333333333333333 + r * 0.001388888888888889));
    let rest = r + r * r * (0.5 + r * series);
    let steps = steps as i32;
    let at = 2 * (steps & 31) as usize;
    scale(EXP2[at] + (EXP2[at + 1] + EXP2[at] * rest), steps >> 5)
}

/// `x * 2^exponent`, for `x` near 1 and exponents from -1100 to 1100: infinity or a subnormal number, rounded once, where
/// it must be.
#[inline]
fn scale(x: f64, exponent: i32) -> f64 {
    if exponent > 1023 {
        return x * power_of_two(1023) * power_of_two(exponent - 1023);
    }
    if exponent < -1021 {
        return x * power_of_two(exponent + 1000) * 9.332636185032189e-302; // 2^-1000
    }
    x * power_of_two(exponent)
}
