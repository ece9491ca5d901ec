//! Floats as multiples of a step.

/// Where codes end: integers that 32 bits hold, and 64-bit floats exactly.
const LEAST: f64 = i32::MIN as f64;
const MOST: f64 = i32::MAX as f64;

/// At this size a double's last bit is 1, so that adding it rounds to a whole number, halves to the even one, and leaves
/// that in the low bits. (A conversion would check its range, and is not compiled to vector instructions.)
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// The nearest multiple of the step of which `inverse` is the inverse; held at the borders, NaN at the lower one.
#[inline(always)]
pub(crate) fn quantise(value: f64, inverse: f64) -> u32 {
    let steps = value * inverse;
    // In this form NaN takes the second way.
    let steps = if steps > LEAST { steps } else { LEAST };
    let steps = if steps < MOST { steps } else { MOST };
    (steps + ROUNDING).to_bits() as u32
}

/// The value of a code.
#[inline(always)]
pub(crate) fn dequantise(code: u32, step: f64) -> f64 {
    f64::from(code as i32) * step
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_error_is_at_most_half_a_step(value in -1e6_f64..1e6, exponent in -10_i32..4) {
            let step = 2_f64.powi(exponent);
            prop_assert!((dequantise(quantise(value, 1.0 / step), step) - value).abs() <= step / 2.0);
        }

        #[test]
        fn any_bits_give_a_code(bits: u64) {
            let value = f64::from_bits(bits);
            let code = quantise(value, 1.0) as i32;
            if value.is_nan() || value <= LEAST {
                prop_assert_eq!(code, i32::MIN);
            } else if value >= MOST {
                prop_assert_eq!(code, i32::MAX);
            }
        }
    }

    #[test]
    fn what_is_just_below_a_half_stays_below() {
        assert_eq!(quantise(0.49999999999999994, 1.0), 0);
        assert_eq!([0.5, 1.5, -0.5, -1.5, -2.0].map(|value| quantise(value, 1.0) as i32), [0, 2, 0, -2, -2]);
        assert_eq!(quantise(f64::NAN, 1.0) as i32, i32::MIN);
    }
}
