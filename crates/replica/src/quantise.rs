//! Floats as multiples of a step.

/// Where codes end: integers that 32 bits hold, and 64-bit floats exactly.
const LEAST: f64 = i32::MIN as f64;
const MOST: f64 = i32::MAX as f64;

/// The nearest multiple of the step of which `inverse` is the inverse, halves away from zero; held at the borders, NaN
/// at the lower one.
#[inline(always)]
pub(crate) fn quantise(value: f64, inverse: f64) -> u32 {
    // `max` first: it takes the number if the other is NaN.
    let steps = (value * inverse).max(LEAST).min(MOST);
    // SAFETY: `steps` is no NaN and lies within the integers of 32 bits, as just made sure. (A checked conversion is not
    // compiled to vector instructions.)
    let whole = unsafe { steps.to_int_unchecked::<i32>() };
    let rest = steps - f64::from(whole);
    // At the borders the rest is 0, so neither sum overflows.
    (whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)) as u32
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
        assert_eq!(quantise(0.5, 1.0), 1);
        assert_eq!(quantise(-0.5, 1.0) as i32, -1);
        assert_eq!(quantise(f64::NAN, 1.0) as i32, i32::MIN);
    }
}
