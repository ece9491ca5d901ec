//! The tables, computed again in many digits, and as TypeScript has them.

use astro_float_num::{BigFloat, Consts, RoundingMode};

const BITS: usize = 1600;
const ROUNDING: RoundingMode = RoundingMode::ToEven;

/// The numbers of a table in a source text, Rust's or TypeScript's.
fn table(source: &str, name: &str) -> Vec<f64> {
    let (_, rest) = source.split_once(&format!("{name}:")).or_else(|| source.split_once(&format!("{name} ="))).unwrap();
    let (_, rest) = rest.split_once("= [").or_else(|| rest.split_once("Array([")).unwrap();
    let (items, _) = rest.split_once(']').unwrap();
    items.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| item.parse().unwrap()).collect()
}

fn rust(name: &str) -> Vec<f64> {
    table(include_str!("../src/tables.rs"), name)
}

/// `exact - value`, relative to one.
fn beyond(exact: &BigFloat, value: f64) -> BigFloat {
    exact.sub(&BigFloat::from_f64(value, BITS), BITS, ROUNDING)
}

/// Whether two doubles are `exact`, but for `2^-below`.
fn is_sum(exact: &BigFloat, high: f64, low: f64, below: i32) -> bool {
    let rest = beyond(exact, high).sub(&BigFloat::from_f64(low, BITS), BITS, ROUNDING);
    rest.is_zero() || rest.exponent().unwrap() < -below
}

fn ratio(above: u32, below: u32) -> BigFloat {
    BigFloat::from_u32(above, BITS).div(&BigFloat::from_u32(below, BITS), BITS, ROUNDING)
}

#[test]
fn typescript_has_the_same() {
    let typescript = include_str!("../../../packages/peristyle/src/math/tables.ts");
    for (name, length) in [("EXP2", 64), ("LOG", 192), ("ATAN", 34), ("TWO_OVER_PI", 54)] {
        assert_eq!(rust(name).len(), length);
        assert_eq!(rust(name), table(typescript, name), "{name}");
    }
}

#[test]
fn powers_of_two() {
    let mut constants = Consts::new().unwrap();
    let two = BigFloat::from_u32(2, BITS);
    for (i, pair) in rust("EXP2").chunks(2).enumerate() {
        let exact = two.pow(&ratio(i as u32, 32), BITS, ROUNDING, &mut constants);
        assert!(is_sum(&exact, pair[0], pair[1], 104) && pair[1].abs() <= f64::EPSILON, "2^({i}/32)");
    }
}

#[test]
fn logarithms() {
    let mut constants = Consts::new().unwrap();
    let rows = rust("LOG");
    for row in rows.chunks(3) {
        let exact = BigFloat::from_f64(row[0], BITS).ln(BITS, ROUNDING, &mut constants).neg();
        assert!(is_sum(&exact, row[1], row[2], 90), "-ln {}", row[0]);
        // What makes products and sums with it exact.
        assert_eq!((row[0] * 512.0).fract(), 0.0);
        assert_eq!((row[1] * 2f64.powi(42)).fract(), 0.0);
    }
    // The part of 1 keeps the relative precision of small logarithms.
    assert_eq!(rows[3 * 37..3 * 38], [1.0, 0.0, 0.0]);
}

#[test]
fn arc_tangents() {
    let mut constants = Consts::new().unwrap();
    for (i, pair) in rust("ATAN").chunks(2).enumerate() {
        let exact = ratio(i as u32, 16).atan(BITS, ROUNDING, &mut constants);
        assert!(is_sum(&exact, pair[0], pair[1], 104), "atan({i}/16)");
    }
}

#[test]
fn digits_of_two_over_pi() {
    let mut constants = Consts::new().unwrap();
    let mut rest = BigFloat::from_u32(2, BITS).div(&constants.pi(BITS, ROUNDING), BITS, ROUNDING);
    for (place, digit) in rust("TWO_OVER_PI").into_iter().enumerate() {
        rest = rest.mul(&BigFloat::from_u32(1 << 24, BITS), BITS, ROUNDING);
        let whole = rest.floor();
        assert_eq!(whole, BigFloat::from_f64(digit, BITS), "digit {place}");
        rest = rest.sub(&whole, BITS, ROUNDING);
    }
}
