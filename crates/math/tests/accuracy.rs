//! How far results are from exact values, over millions of arguments.
//!
//! `PERISTYLE_MATH_POINTS=1000000 cargo test -p peristyle-math --test accuracy -- --nocapture` looks at more points and
//! prints the greatest distances.

mod support;

use std::f64::consts::PI;

use support::{Exact, Inputs, ulps};

/// Points of a function, unless the environment says otherwise.
const POINTS: usize = 100_000;

fn points() -> usize {
    std::env::var("PERISTYLE_MATH_POINTS").ok().and_then(|text| text.parse().ok()).unwrap_or(POINTS)
}

/// Asserts that all results are within `bound` ulps, below 1.
fn one(name: &str, bound: f64, f: fn(f64) -> f64, mut input: impl FnMut(&mut Inputs) -> f64) {
    let (mut exact, mut inputs) = (Exact::new(), Inputs::new(7));
    let mut worst = (0.0, 0.0);
    for _ in 0..points() {
        let x = input(&mut inputs);
        let error = ulps(f(x), &exact.of_one(name, x));
        if error > worst.0 {
            worst = (error, x);
        }
    }
    println!("{name}: {:.4} ulp at {:e} ({:#x})", worst.0, worst.1, worst.1.to_bits());
    assert!(worst.0 <= bound && bound < 1.0, "{name}({:e}) is {} ulps off", worst.1, worst.0);
}

fn two(name: &str, bound: f64, f: fn(f64, f64) -> f64, mut input: impl FnMut(&mut Inputs) -> (f64, f64)) {
    let (mut exact, mut inputs) = (Exact::new(), Inputs::new(7));
    let mut worst = (0.0, (0.0, 0.0));
    for _ in 0..points() {
        let (a, b) = input(&mut inputs);
        let error = ulps(f(a, b), &exact.of_two(name, a, b));
        if error > worst.0 {
            worst = (error, (a, b));
        }
    }
    println!("{name}: {:.4} ulp at {:e}, {:e}", worst.0, worst.1.0, worst.1.1);
    assert!(worst.0 <= bound && bound < 1.0, "{name}({:e}, {:e}) is {} ulps off", worst.1.0, worst.1.1, worst.0);
}

/// Angles: small ones, usual ones, near multiples of a quarter turn, near the change of reduction, and huge ones.
fn angle(inputs: &mut Inputs) -> f64 {
    match inputs.below(8) {
        0 => inputs.power(-40, 0),
        1 | 2 => inputs.between(-PI, PI),
        3 => inputs.between(-100.0, 100.0),
        4 => {
            let turns = inputs.below(1 << 20) as f64;
            inputs.beside(turns * PI / 2.0, 3)
        }
        5 => inputs.between(1_640_000.0, 1_650_000.0),
        6 => inputs.power(0, 30),
        _ => inputs.power(20, 1023),
    }
}

/// From -1 to 1: also small ones, near 1/2 and near 1.
fn ratio(inputs: &mut Inputs) -> f64 {
    match inputs.below(6) {
        0 => inputs.power(-40, -1),
        1 => inputs.beside(0.5, 1000),
        2 => 1.0 - inputs.power(-54, -1).abs(),
        3 => inputs.power(-40, -1).abs() - 1.0,
        _ => inputs.between(-1.0, 1.0),
    }
}

#[test]
fn sin() {
    one("sin", 0.85, peristyle_math::sin, angle);
}

#[test]
fn cos() {
    one("cos", 0.85, peristyle_math::cos, angle);
}

#[test]
fn tan() {
    one("tan", 0.9, peristyle_math::tan, angle);
}

#[test]
fn asin() {
    one("asin", 0.7, peristyle_math::asin, ratio);
}

#[test]
fn acos() {
    one("acos", 0.8, peristyle_math::acos, ratio);
}

#[test]
fn atan() {
    one("atan", 0.6, peristyle_math::atan, |inputs| match inputs.below(5) {
        0 => inputs.power(-60, 60),
        1 => inputs.any(),
        // Where the table's entries meet.
        2 => {
            let odd = 2 * inputs.below(16) + 1;
            inputs.beside(odd as f64 / 32.0, 1000)
        }
        _ => inputs.power(-6, 6),
    });
}

#[test]
fn atan2() {
    two("atan2", 0.8, peristyle_math::atan2, |inputs| match inputs.below(6) {
        0 => (inputs.any(), inputs.any()),
        1 => {
            let y = inputs.power(-1000, 1000);
            (y, y * inputs.power(-4, 4))
        }
        2 => {
            let x = inputs.power(-900, 1023);
            (x * inputs.power(-80, -40), x)
        }
        3 => (f64::from_bits(inputs.bits() >> 13 | 1), inputs.power(-1022, -960)),
        _ => (inputs.power(-5, 5), inputs.power(-5, 5)),
    });
}

#[test]
fn exp() {
    one("exp", 0.8, peristyle_math::exp, |inputs| match inputs.below(6) {
        0 => inputs.power(-60, 9),
        1 => inputs.between(700.0, 712.0),
        2 => inputs.between(-750.0, -700.0),
        3 => {
            let steps = inputs.below(2000) as f64 - 1000.0;
            inputs.beside((steps + 0.5) * std::f64::consts::LN_2 / 32.0, 100)
        }
        _ => inputs.between(-745.0, 709.0),
    });
}

#[test]
fn log() {
    one("log", 0.6, peristyle_math::log, |inputs| match inputs.below(5) {
        0 => inputs.any().abs(),
        1 => 1.0 + inputs.power(-53, -3),
        2 => 1.0 + inputs.between(-0.05, 0.05),
        _ => inputs.between(0.5, 2.0),
    });
}

#[test]
fn pow() {
    two("pow", 0.8, peristyle_math::pow, |inputs| {
        let x = match inputs.below(5) {
            0 => inputs.any().abs(),
            1 => 1.0 + inputs.power(-53, -3),
            2 => inputs.between(0.0, 10.0),
            3 => inputs.power(-3, 3).abs(),
            _ => return (inputs.below(100) as f64 - 50.0, inputs.below(200) as f64 - 100.0),
        };
        // Mostly such that the result is a double, and often near the ends of those.
        let log = x.ln();
        let y = match inputs.below(5) {
            0 => inputs.power(-80, 70),
            1 => inputs.between(700.0, 712.0) / log,
            2 => inputs.between(-750.0, -700.0) / log,
            3 => inputs.between(-745.0, 709.0) / log,
            _ => inputs.between(-10.0, 10.0),
        };
        if y.is_finite() && x > 0.0 { (x, y) } else { (2.0, 0.5) }
    });
}

#[test]
fn cbrt() {
    one("cbrt", 0.7, peristyle_math::cbrt, |inputs| match inputs.below(3) {
        0 => inputs.any(),
        _ => inputs.between(1.0, 8.0),
    });
}

#[test]
fn hypot() {
    two("hypot", 0.8, peristyle_math::hypot, |inputs| match inputs.below(5) {
        0 => (inputs.any(), inputs.any()),
        1 => {
            let x = inputs.any();
            (x, x * inputs.power(-65, 1))
        }
        2 => (f64::from_bits(inputs.bits() >> 12), f64::from_bits(inputs.bits() >> 13)),
        _ => (inputs.power(-3, 3), inputs.power(-3, 3)),
    });
}
