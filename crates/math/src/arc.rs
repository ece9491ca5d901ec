//! Arc functions.

use core::f64::consts::{FRAC_PI_2, PI};

use crate::{
    exact::{NAN, ROUND, high_word, ordered_sum_error, product_error, sum_error, upper, upper21, with_sign},
    sqrt::sqrt,
    tables::ATAN,
};

/// What is missing to `FRAC_PI_2` and to `PI`.
const HALF_PI_LOW: f64 = 6.123233995736766e-17;
const PI_LOW: f64 = 1.2246467991473532e-16;

/// A high word: of 2^-27, below which `asin x` and `atan x` are `x`.
const TINY: u32 = 0x3e40_0000;
/// What sixty powers of two are in a high word.
const SIXTY: u32 = 60 << 20;

/// `(asin(x) / x - 1) / x^2`, of `z = x^2` up to 1/4.
#[inline]
fn asin_series(z: f64) -> f64 {
    let y = z * z;
    let even = 0.010324318288744113 + y * (0.017419357964884856 + y * 0.02877844261259304);
    let even = 0.16666666666666669
        + y * (0.04464285714637338 + y * (0.022372173002005596 + y * (0.013971235301124539 + y * even)));
    let odd = 0.011478952690257387 + y * (0.00545087818772055 + y * -0.014881409392818066);
    let odd = 0.07499999999998425 + y * (0.030381944137085216 + y * (0.017352391265909227 + y * odd));
    even + z * odd
}

/// The square root of `z` as 21 bits and what is missing to them.
#[inline]
fn split_root(z: f64) -> (f64, f64, f64) {
    let root = sqrt(z);
    let high = upper21(root);
    (root, high, (z - high * high) / (root + high))
}

/// The angle in `-pi/2..=pi/2` whose sine is `x`. NaN outside of `-1..=1`.
pub fn asin(x: f64) -> f64 {
    let size = x.abs();
    if size < 0.5 {
        if high_word(size) < TINY {
            return x;
        }
        let z = x * x;
        return x + x * (z * asin_series(z));
    }
    if size >= 1.0 || size.is_nan() {
        return if size == 1.0 { with_sign(FRAC_PI_2, x) } else { NAN };
    }
    // asin(x) = pi / 2 - 2 asin(sqrt((1 - x) / 2)), where pi / 2 less 21 bits of the root's double is exact.
    let z = (1.0 - size) * 0.5;
    let (root, high, low) = split_root(z);
    let rest = 2.0 * (root * (z * asin_series(z)) + low) - HALF_PI_LOW;
    with_sign((FRAC_PI_2 - 2.0 * high) - rest, x)
}

/// The angle in `0..=pi` whose cosine is `x`. NaN outside of `-1..=1`.
pub fn acos(x: f64) -> f64 {
    let size = x.abs();
    if size < 0.5 {
        let z = x * x;
        return FRAC_PI_2 - (x - (HALF_PI_LOW - x * (z * asin_series(z))));
    }
    if size >= 1.0 || size.is_nan() {
        return if x == 1.0 {
            0.0
        } else if x == -1.0 {
            PI
        } else {
            NAN
        };
    }
    let z = (1.0 - size) * 0.5;
    let (root, high, low) = split_root(z);
    let rest = root * (z * asin_series(z)) + low;
    if x > 0.0 { 2.0 * (high + rest) } else { (PI - 2.0 * high) - (2.0 * rest - PI_LOW) }
}

/// The angle in `-pi/2..=pi/2` whose tangent is `x`.
pub fn atan(x: f64) -> f64 {
    let size = x.abs();
    if high_word(size) < TINY {
        return x;
    }
    if size <= 1.0 {
        let (angle, low) = angle(size, 1.0);
        return with_sign(angle + low, x);
    }
    if size < 18014398509481984.0 {
        let (angle, low) = angle(1.0, size);
        return with_sign(from_base(FRAC_PI_2, HALF_PI_LOW, -angle, -low), x);
    }
    if size.is_nan() { NAN } else { with_sign(FRAC_PI_2, x) }
}

/// The angle in `-pi..=pi` from the positive `x` axis to the point `(x, y)`, by IEEE 754 and C: zeros have signs, and the
/// angle to a corner at infinity is a multiple of `pi / 4`.
pub fn atan2(y: f64, x: f64) -> f64 {
    if y.is_nan() || x.is_nan() {
        return NAN;
    }
    let (mut rise, mut run) = (y.abs(), x.abs());
    let left = high_word(x) >> 31 == 1;
    if rise == 0.0 {
        return if left { with_sign(PI, y) } else { y };
    }
    if rise == f64::INFINITY && run == f64::INFINITY {
        return with_sign(if left { 2.356194490192345 } else { core::f64::consts::FRAC_PI_4 }, y);
    }
    let (rise_word, run_word) = (high_word(rise), high_word(run));
    if run == 0.0 || rise == f64::INFINITY || rise_word >= run_word + SIXTY {
        return with_sign(FRAC_PI_2, y);
    }
    if run == f64::INFINITY || run_word >= rise_word + SIXTY {
        return with_sign(if left { PI } else { rise / run }, y);
    }
    // Away from the ends of what a double can be, so that products have errors that are doubles.
    let scale = match rise_word.max(run_word) {
        0x5ff0_0000.. => 2.409919865102884e-181,
        0..0x2000_0000 => 4.149515568880993e+180,
        _ => 1.0,
    };
    rise *= scale;
    run *= scale;
    let steep = rise > run;
    let (angle, low) = if steep { angle(run, rise) } else { angle(rise, run) };
    let size = match (steep, left) {
        (false, false) => angle + low,
        (false, true) => from_base(PI, PI_LOW, -angle, -low),
        (true, false) => from_base(FRAC_PI_2, HALF_PI_LOW, -angle, -low),
        (true, true) => from_base(FRAC_PI_2, HALF_PI_LOW, angle, low),
    };
    with_sign(size, y)
}

#[inline]
fn from_base(base: f64, base_low: f64, angle: f64, low: f64) -> f64 {
    let sum = base + angle;
    sum + (ordered_sum_error(base, angle, sum) + (base_low + low))
}

/// The angle whose tangent is `above / below`, at most 1, as a sum of two: that of the nearest sixteenth from a table, and
/// a series for the rest `(above - c * below) / (below + c * above)`.
#[inline]
fn angle(above: f64, below: f64) -> (f64, f64) {
    let sixteenths = (16.0 * (above / below) + ROUND) - ROUND;
    let c = sixteenths * 0.0625;
    let at = 2 * sixteenths as usize;

    // Both products are exact, as `c` has few bits.
    let below_upper = upper(below);
    let less = above - c * below_upper;
    let part = c * (below - below_upper);
    let num = less - part;
    let num_low = sum_error(less, -part, num);

    let part = c * above;
    let den = below + part;
    let above_upper = upper(above);
    let part_low = (c * above_upper - part) + c * (above - above_upper);
    let den_low = ordered_sum_error(below, part, den) + part_low;

    let u = num / den;
    let product = u * den;
    let u_low = ((num - product) - product_error(u, den, product) + (num_low - u * den_low)) / den;

    let z = u * u;
    let series = -0.3333333333333333
        + z * (0.2 + z * (-0.14285714285714285 + z * (0.1111111111111111 + z * -0.09090909090909091)));
    let angle = ATAN[at] + u;
    (angle, ordered_sum_error(ATAN[at], u, angle) + (ATAN[at + 1] + u_low + u * (z * series)))
}
