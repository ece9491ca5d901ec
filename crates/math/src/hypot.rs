//! The hypotenuse, without overflow on the way.

use crate::{
    exact::{NAN, high_word, ordered_sum_error, product_error},
    sqrt::sqrt,
};

/// The square root of `x * x + y * y`. Infinite if either is, even beside NaN.
pub fn hypot(x: f64, y: f64) -> f64 {
    let (x, y) = (x.abs(), y.abs());
    if x == f64::INFINITY || y == f64::INFINITY {
        return f64::INFINITY;
    }
    if x.is_nan() || y.is_nan() {
        return NAN;
    }
    let (large, small) = if x < y { (y, x) } else { (x, y) };
    let (large_word, small_word) = (high_word(large), high_word(small));
    if small == 0.0 || large_word >= small_word + (60 << 20) {
        return large + small;
    }
    // Squares and their errors must be doubles.
    if large_word >= 0x5f30_0000 {
        return 4.149515568880993e+180 * of_scaled(large * 2.409919865102884e-181, small * 2.409919865102884e-181);
    }
    if small_word < 0x2300_0000 {
        return 2.409919865102884e-181 * of_scaled(large * 4.149515568880993e+180, small * 4.149515568880993e+180);
    }
    of_scaled(large, small)
}

/// The sum of squares with its error, its root, and a correction of that by what its square misses.
#[inline]
fn of_scaled(large: f64, small: f64) -> f64 {
    let (a, b) = (large * large, small * small);
    let sum = a + b;
    let low = ordered_sum_error(a, b, sum) + (product_error(large, large, a) + product_error(small, small, b));
    let root = sqrt(sum);
    let square = root * root;
    root + ((sum - square) - product_error(root, root, square) + low) / (2.0 * root)
}
