//! Square roots. IEEE 754 defines every bit of them, so that it does not matter how they are computed.

/// The square root of `x`, which is not negative, correctly rounded.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

/// The square root of `x`, which is not negative, correctly rounded.
#[cfg(not(feature = "std"))]
pub(crate) fn sqrt(x: f64) -> f64 {
    with_integers(x)
}

/// The square root of a finite `x` that is not negative, by a square root of an integer of 110 bits.
#[cfg(any(test, not(feature = "std")))]
pub(crate) fn with_integers(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let bits = x.to_bits();
    let (fraction, exponent) = (bits & 0x000f_ffff_ffff_ffff, (bits >> 52) as i32);
    // x = mantissa * 2^exponent.
    let (mut mantissa, mut exponent) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let shift = mantissa.leading_zeros() as i32 - 11;
    mantissa <<= shift;
    exponent -= shift;
    // An even exponent, and 109 or 110 bits, so that the root has 55: one for rounding, and one more.
    let radicand = u128::from(mantissa) << (56 + (exponent & 1));
    let half = (exponent - (exponent & 1) - 56) / 2;
    let root = radicand.isqrt();
    // What is below the root's last bit counts as a last bit that is set.
    let root = root as u64 | u64::from(root * root != radicand);
    let (kept, rest) = (root >> 2, root & 3);
    let rounded = kept + u64::from(rest == 3 || (rest == 2 && kept & 1 == 1));
    // Rounded up to 2^53 it carries into the exponent, as it should.
    f64::from_bits((((half + 2 + 1075) as u64 - 1) << 52) + rounded)
}

#[cfg(test)]
mod tests {
    use super::with_integers;

    #[test]
    fn integers_give_the_bits_of_the_instruction() {
        let mut state = 1u64;
        for round in 0..2_000_000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let bits = (state ^ state >> 29) & 0x7fff_ffff_ffff_ffff;
            // Every fourth a subnormal number, every fourth near a square.
            let x = match round % 4 {
                0 => f64::from_bits(bits >> (12 + round % 50)),
                1 => {
                    let root = (bits >> 38) as f64;
                    f64::from_bits((root * root).to_bits() + bits % 3 - 1)
                }
                _ => f64::from_bits(bits),
            };
            if x.is_finite() {
                assert_eq!(with_integers(x).to_bits(), x.sqrt().to_bits(), "of {x:e}");
            }
        }
        for x in [0.0, f64::MIN_POSITIVE, f64::from_bits(1), f64::MAX, 1.0 - f64::EPSILON / 2.0, 4.0] {
            assert_eq!(with_integers(x).to_bits(), x.sqrt().to_bits(), "of {x:e}");
        }
    }
}
