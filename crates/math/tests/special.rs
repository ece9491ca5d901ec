//! Values at the ends: zeros, infinities, what is no number, overflow and underflow.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use peristyle_math::*;

const INF: f64 = f64::INFINITY;
const TINY: f64 = 5e-324;
const MAX: f64 = f64::MAX;
const NAN: f64 = f64::NAN;

#[track_caller]
fn same(got: f64, expected: f64) {
    let expected_bits = if expected.is_nan() { 0x7ff8_0000_0000_0000 } else { expected.to_bits() };
    assert_eq!(got.to_bits(), expected_bits, "{got:e} is not {expected:e}");
}

#[test]
fn zeros_keep_their_signs_and_tiny_arguments_are_results() {
    for f in [sin, tan, asin, atan, cbrt] {
        same(f(0.0), 0.0);
        same(f(-0.0), -0.0);
    }
    for f in [sin, tan, asin, atan] {
        for x in [TINY, -TINY, 1e-310, -1e-300, 1e-9] {
            same(f(x), x);
        }
    }
    for f in [cos, exp] {
        for x in [0.0, -0.0, TINY, -TINY, 1e-20] {
            same(f(x), 1.0);
        }
    }
    same(acos(0.0), FRAC_PI_2);
    same(log(1.0), 0.0);
    same(acos(1.0), 0.0);
    same(acos(-1.0), PI);
    same(asin(1.0), FRAC_PI_2);
    same(asin(-1.0), -FRAC_PI_2);
}

#[test]
fn what_is_not_defined_is_one_nan() {
    let negative_nan = f64::from_bits(0xfff8_0000_dead_beef);
    for f in [sin, cos, tan, asin, acos, atan, exp, log, cbrt] {
        same(f(NAN), NAN);
        same(f(negative_nan), NAN);
    }
    for f in [sin, cos, tan] {
        same(f(INF), NAN);
        same(f(-INF), NAN);
    }
    for f in [asin, acos] {
        for x in [1.0000000000000002, -1.0000000000000002, INF, -INF, MAX] {
            same(f(x), NAN);
        }
    }
    for x in [-TINY, -1.0, -INF] {
        same(log(x), NAN);
    }
    for f in [atan2, hypot, pow] {
        same(f(negative_nan, 2.0), NAN);
        same(f(2.0, negative_nan), NAN);
    }
    same(pow(-1.5, 0.5), NAN);
    same(pow(-TINY, 1.0 / 3.0), NAN);
}

#[test]
fn infinities() {
    same(atan(INF), FRAC_PI_2);
    same(atan(-INF), -FRAC_PI_2);
    same(atan(-MAX), -FRAC_PI_2);
    same(exp(INF), INF);
    same(exp(-INF), 0.0);
    same(exp(709.782712893384), 1.797_693_134_862_273_2e308);
    same(exp(709.7827128933841), INF);
    same(exp(-745.1332191019412), 0.0);
    same(exp(-745.1332191019411), TINY);
    same(log(0.0), -INF);
    same(log(-0.0), -INF);
    same(log(INF), INF);
    same(log(TINY), -744.4400719213812);
    same(cbrt(INF), INF);
    same(cbrt(-INF), -INF);
    for (x, y) in [(INF, NAN), (NAN, -INF), (-INF, 0.0), (MAX, MAX)] {
        same(hypot(x, y), INF);
    }
    let large = 2f64.powi(1000);
    same(hypot(3.0 * large, -4.0 * large), 5.0 * large);
    same(hypot(3.0 * TINY, 4.0 * TINY), 5.0 * TINY);
    same(hypot(0.0, -0.0), 0.0);
    same(hypot(-TINY, 0.0), TINY);
}

#[test]
fn arc_tangents_of_two() {
    for (y, x, angle) in [
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, -0.0),
        (0.0, -0.0, PI),
        (-0.0, -0.0, -PI),
        (-0.0, -3.0, -PI),
        (0.0, INF, 0.0),
        (1.0, 0.0, FRAC_PI_2),
        (-TINY, -0.0, -FRAC_PI_2),
        (INF, MAX, FRAC_PI_2),
        (1.0, -MAX, PI),
        (-MAX, INF, -0.0),
        (MAX, -INF, PI),
        (-INF, -INF, -3.0 * FRAC_PI_4),
        (INF, INF, FRAC_PI_4),
        (1.0, -INF, PI),
        (-1.0, INF, -0.0),
        (TINY, 2.0, 0.0),
        (TINY, TINY, FRAC_PI_4),
        (MAX, -MAX, 3.0 * FRAC_PI_4),
        (1.0, 1e300, 1e-300),
    ] {
        same(atan2(y, x), angle);
    }
}

#[test]
fn powers() {
    for (x, y, power) in [
        (NAN, 0.0, 1.0),
        (1.0, NAN, 1.0),
        (1.0, INF, 1.0),
        (-1.0, -INF, 1.0),
        (0.5, INF, 0.0),
        (-0.5, -INF, INF),
        (-3.0, INF, INF),
        (3.0, -INF, 0.0),
        (0.0, 2.5, 0.0),
        (-0.0, 3.0, -0.0),
        (-0.0, 2.0, 0.0),
        (-0.0, 0.3, 0.0),
        (-0.0, -3.0, -INF),
        (0.0, -0.1, INF),
        (-INF, 3.0, -INF),
        (-INF, 2.0, INF),
        (-INF, -3.0, -0.0),
        (INF, 0.1, INF),
        (INF, -0.1, 0.0),
        (-2.0, 3.0, -8.0),
        (-2.0, -2.0, 0.25),
        (-2.0, 1e15, INF),
        (-2.0, 1023.0, -8.98846567431158e307),
        (-2.0, 1024.0, INF),
        (-2.0, 1025.0, -INF),
        (-2.0, -1074.0, TINY),
        (-2.0, -1075.0, -0.0),
        (-1.0, 9007199254740991.0, -1.0),
        (-1.0, 9007199254740992.0, 1.0),
        (10.0, 22.0, 1e22),
        (10.0, 308.0, 1e308),
        (MAX, 1.0, MAX),
        (TINY, 1.0, TINY),
        (TINY, -1.0, INF),
        (1.0000000000000002, MAX, INF),
        (0.9999999999999999, MAX, 0.0),
        (MAX, TINY, 1.0),
        (TINY, -TINY, 1.0),
    ] {
        same(pow(x, y), power);
    }
}
