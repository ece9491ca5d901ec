//! Exact values in 128 bits, distances from them, and inputs.
#![allow(dead_code, reason = "each test file uses a part")]

use astro_float_num::{BigFloat, Consts, RoundingMode, Sign};

/// Bits of exact values, which the library rounds correctly.
pub const BITS: usize = 128;
const ROUNDING: RoundingMode = RoundingMode::ToEven;

/// The functions in many bits.
pub struct Exact(Consts);

impl Exact {
    pub fn new() -> Exact {
        Exact(Consts::new().expect("memory for constants"))
    }

    pub fn number(x: f64) -> BigFloat {
        if x == 0.0 || x.abs() >= f64::MIN_POSITIVE {
            return BigFloat::from_f64(x, BITS);
        }
        // The library does not know subnormal doubles.
        let mut number = BigFloat::from_f64(x * 2f64.powi(64), BITS);
        number.set_exponent(number.exponent().expect("not zero") - 64);
        number
    }

    pub fn of_one(&mut self, name: &str, x: f64) -> BigFloat {
        let (x, constants) = (Exact::number(x), &mut self.0);
        match name {
            "sin" => x.sin(BITS, ROUNDING, constants),
            "cos" => x.cos(BITS, ROUNDING, constants),
            "tan" => x.tan(BITS, ROUNDING, constants),
            "asin" => x.asin(BITS, ROUNDING, constants),
            "acos" => x.acos(BITS, ROUNDING, constants),
            "atan" => x.atan(BITS, ROUNDING, constants),
            "exp" => x.exp(BITS, ROUNDING, constants),
            "log" => x.ln(BITS, ROUNDING, constants),
            "cbrt" => x.cbrt(BITS, ROUNDING),
            _ => unreachable!("no function {name}"),
        }
    }

    pub fn of_two(&mut self, name: &str, a: f64, b: f64) -> BigFloat {
        let (x, y) = (Exact::number(a), Exact::number(b));
        match name {
            "pow" => x.pow(&y, BITS, ROUNDING, &mut self.0),
            "hypot" => {
                // Exact squares: 106 bits each, and far apart at worst.
                let wide = 2 * BITS;
                x.mul(&x, wide, ROUNDING).add(&y.mul(&y, wide, ROUNDING), wide, ROUNDING).sqrt(BITS, ROUNDING)
            }
            "atan2" => {
                let angle = x.div(&y, BITS, ROUNDING).atan(BITS, ROUNDING, &mut self.0);
                if b > 0.0 {
                    return angle;
                }
                let pi = self.0.pi(BITS, ROUNDING);
                if a.is_sign_negative() { angle.sub(&pi, BITS, ROUNDING) } else { angle.add(&pi, BITS, ROUNDING) }
            }
            _ => unreachable!("no function {name}"),
        }
    }
}

/// How far `got` is from `exact`, in units of the last place of the double nearest to `exact`.
///
/// Beyond the largest double, infinity stands for the next power of two.
pub fn ulps(got: f64, exact: &BigFloat) -> f64 {
    if exact.is_zero() {
        return if got == 0.0 { 0.0 } else { f64::INFINITY };
    }
    if exact.is_inf() {
        return if got.is_infinite() && (got > 0.0) == exact.is_positive() { 0.0 } else { f64::INFINITY };
    }
    let Some((words, _, sign, exponent, _)) = exact.as_raw_parts() else { return f64::INFINITY };
    if got.is_nan() || (got != 0.0 && (got < 0.0) != (sign == Sign::Neg)) {
        return f64::INFINITY;
    }
    if exponent > 1024 {
        return if got.is_infinite() { 0.0 } else { f64::INFINITY };
    }
    // The value is 0.mantissa * 2^exponent; its last place is 2^place.
    let mantissa = u128::from(words[words.len() - 1]) << 64 | u128::from(words[words.len() - 2]);
    let place = (exponent - 53).max(-1074);
    // In last places: an integer, and 64 bits behind the point.
    let shift = 128 + place - exponent;
    let whole = if shift < 128 { (mantissa >> shift) as f64 } else { 0.0 };
    let behind = if shift < 128 { mantissa << (128 - shift) } else { mantissa >> (shift - 128).min(127) };
    let behind = (behind >> 64) as f64 / 18446744073709551616.0;
    let bits = got.to_bits() & !(1 << 63);
    let (fraction, biased) = (bits & 0x000f_ffff_ffff_ffff, (bits >> 52) as i32);
    let (got, got_place) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
    let got = got as f64 * 2f64.powi(got_place - place);
    ((got - whole) - behind).abs()
}

/// Numbers that look random, the same in every run.
pub struct Inputs(u64);

impl Inputs {
    pub fn new(seed: u64) -> Inputs {
        Inputs(seed)
    }

    /// 64 bits: splitmix64 by G. Steele, D. Lea and C. Flood.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / 9007199254740992.0
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn below(&mut self, count: u64) -> u64 {
        self.bits() % count
    }

    /// Any sign and fraction, and an exponent of 2 in a range.
    pub fn power(&mut self, low: i32, high: i32) -> f64 {
        let exponent = (low + self.below((high - low + 1) as u64) as i32 + 1023) as u64;
        f64::from_bits(self.bits() & 0x800f_ffff_ffff_ffff | exponent << 52)
    }

    /// Any finite double but zeros, subnormal ones as often as a twentieth of all.
    pub fn any(&mut self) -> f64 {
        if self.below(20) == 0 {
            return f64::from_bits((self.bits() & 0x000f_ffff_ffff_ffff) >> self.below(52) | 1 | self.below(2) << 63);
        }
        self.power(-1022, 1023)
    }

    /// A few doubles beside `x`, at most `steps` away.
    pub fn beside(&mut self, x: f64, steps: u64) -> f64 {
        f64::from_bits(x.to_bits().wrapping_add(self.below(2 * steps + 1)).wrapping_sub(steps))
    }
}
