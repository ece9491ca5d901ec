//! The cube root: a polynomial for numbers from 1 to 8, and two steps of Halley's.

use crate::exact::{NAN, high_word, power_of_two, upper21, with_sign};

/// The cube root of `x`.
pub fn cbrt(x: f64) -> f64 {
    let size = x.abs();
    if size == 0.0 || size == f64::INFINITY {
        return x;
    }
    if size.is_nan() {
        return NAN;
    }
    // Subnormal numbers come as 2^54 times themselves.
    let (size, less) = if size < f64::MIN_POSITIVE { (size * 18014398509481984.0, 18) } else { (size, 0) };
    // A third of the exponent with its bias, of which 341 are a third.
    let exponent = (((high_word(size) >> 20) * 21846) >> 16) as i32 - 341;
    let z = size * power_of_two(-3 * exponent);
    // Within 1/400 of the cube root of `z`, from 1 to 8.
    let guess = 0.63154 + z * (0.443935 + z * (-0.0819062 + z * (0.00933941 + z * -0.000421688)));
    let cube = guess * guess * guess;
    // With 21 bits its square is exact; Halley's step triples them.
    let t = upper21(guess + guess * ((z - cube) / (cube + cube + z)));
    let quotient = z / (t * t);
    with_sign((t + t * ((quotient - t) / (t + t + quotient))) * power_of_two(exponent - less), x)
}
