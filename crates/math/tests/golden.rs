//! Hashes of results, which TypeScript compares with its own: see `packages/peristyle/test/fixtures/math/golden.ts`, of
//! which this is the twin.
//!
//! `PERISTYLE_MATH_GOLDEN=write cargo test -p peristyle-math --test golden` writes them after a change of the functions.

use std::fmt::Write;

use peristyle_math::*;

/// Points of each function in each class of arguments.
const POINTS: usize = 100_000;

/// A function of one number, or of two.
enum Function {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
}

use Function::{One, Two};

const FUNCTIONS: [(&str, Function); 13] = [
    ("sin", One(sin)),
    ("cos", One(cos)),
    ("tan", One(tan)),
    ("asin", One(asin)),
    ("acos", One(acos)),
    ("atan", One(atan)),
    ("atan2", Two(atan2)),
    ("exp", One(exp)),
    ("log", One(log)),
    ("pow", Two(pow)),
    ("cbrt", One(cbrt)),
    ("hypot", Two(hypot)),
    // So that the generator itself is compared.
    ("arguments", One(|x| x)),
];

/// A generator of 32 bits: a Weyl sequence, mixed as MurmurHash3 does at its end.
struct Generator(u32);

impl Generator {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        let z = (self.0 ^ self.0 >> 16).wrapping_mul(0x85eb_ca6b);
        let z = (z ^ z >> 13).wrapping_mul(0xc2b2_ae35);
        z ^ z >> 16
    }

    /// A sign and a fraction, with an exponent of two in `0x3ff - below..0x3ff + above`.
    fn power(&mut self, below: u32, above: u32) -> f64 {
        let exponent = 0x3ff - below + self.next() % (below + above);
        let high = self.next() & 0x800f_ffff | exponent << 20;
        from_words(high, self.next())
    }
}

fn from_words(high: u32, low: u32) -> f64 {
    f64::from_bits(u64::from(high) << 32 | u64::from(low))
}

/// What is at the ends, and what is round.
const ENDS: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::MIN,
    std::f64::consts::PI,
    9007199254740991.0,
    9007199254740992.0,
    709.782712893384,
    -745.1332191019411,
    1e22,
];

const CLASSES: [&str; 5] = ["bits", "usual", "wide", "near one", "ends"];

/// The argument of a class at a place; `second` for the second of two.
fn argument(class: &str, generator: &mut Generator, place: usize, second: bool) -> f64 {
    match class {
        "bits" => {
            let high = generator.next();
            from_words(high, generator.next())
        }
        "usual" => generator.power(8, 8),
        // The second is no larger than usual: else most powers are 0 or infinite.
        "wide" => {
            if second {
                generator.power(8, 4)
            } else {
                generator.power(60, 60)
            }
        }
        "near one" => {
            let high = 0x3fef_0000 + generator.next() % 0x2_0000;
            from_words(high, generator.next())
        }
        _ => ENDS[if second { place / ENDS.len() } else { place } % ENDS.len()],
    }
}

/// A hash of the results' bits, as 16 hexadecimal digits.
fn hash(class: &str, function: &Function) -> String {
    let points = if class == "ends" { ENDS.len() * ENDS.len() } else { POINTS };
    let mut generator = Generator(1);
    let (mut a, mut b) = (0x811c_9dc5_u32, 0x0100_0193_u32);
    for place in 0..points {
        let x = argument(class, &mut generator, place, false);
        let result = match function {
            One(f) => f(x),
            Two(f) => f(x, argument(class, &mut generator, place, true)),
        };
        // JavaScript has one NaN.
        let bits = if result.is_nan() { 0x7ff8 << 48 } else { result.to_bits() };
        a = (a ^ (bits >> 32) as u32).wrapping_mul(0x85eb_ca6b);
        a ^= a >> 13;
        b = (b ^ bits as u32).wrapping_mul(0xc2b2_ae35);
        b ^= b >> 16;
    }
    format!("{a:08x}{b:08x}")
}

#[test]
fn results_have_the_bits_that_every_host_has() {
    let mut text = String::from("{\n");
    for (index, (name, function)) in FUNCTIONS.iter().enumerate() {
        writeln!(text, "  \"{name}\": {{").unwrap();
        for (place, class) in CLASSES.iter().enumerate() {
            let comma = if place + 1 < CLASSES.len() { "," } else { "" };
            writeln!(text, "    \"{class}\": \"{}\"{comma}", hash(class, function)).unwrap();
        }
        text.push_str(if index + 1 < FUNCTIONS.len() { "  },\n" } else { "  }\n" });
    }
    text.push_str("}\n");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/golden.json");
    if std::env::var_os("PERISTYLE_MATH_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap());
}
