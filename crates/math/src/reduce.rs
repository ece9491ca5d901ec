//! Angles less a multiple of a quarter turn.

use crate::{
    exact::{ROUND, from_words, high_word, ordered_sum_error, product_error, sum_error},
    tables::TWO_OVER_PI,
};

/// Half of pi in four parts. The first three have at most 33 bits, so that their products with integers up to 2^20 are
/// exact.
const HALF_PI: [f64; 4] = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32];
/// Half of pi as a double, and what is missing to it.
const HALF_PI_HIGH: f64 = core::f64::consts::FRAC_PI_2;
const HALF_PI_LOW: f64 = 6.123233995736766e-17;

/// Up to here there are at most 2^20 quarter turns: a high word.
const MEDIUM: u32 = 0x4139_21fb;

/// 2^-24, one digit.
const DIGIT: f64 = 5.960464477539063e-8;

/// `x` as `quarter * pi / 2 + high + low`, with `quarter` modulo 4 and `|high|` at most about `pi / 4`.
///
/// `x` is finite and greater than `pi / 4`, or less than its negative. `high + low` has about 100 bits.
pub(crate) fn reduce(x: f64) -> (u32, f64, f64) {
    if high_word(x) & 0x7fff_ffff < MEDIUM { reduce_medium(x) } else { reduce_large(x) }
}

/// Cody and Waite: takes the parts of half a pi off one by one, largest first.
fn reduce_medium(x: f64) -> (u32, f64, f64) {
    let turns = (x * core::f64::consts::FRAC_2_PI + ROUND) - ROUND;
    let first = x - turns * HALF_PI[0];
    let part = turns * HALF_PI[1];
    let second = first - part;
    let lost = sum_error(first, -part, second);
    let part = turns * HALF_PI[2] - lost;
    let high = second - part;
    let low = sum_error(second, -part, high) - turns * HALF_PI[3];
    (turns as i32 as u32 & 3, high, low)
}

/// Payne and Hanek: multiplies with just those digits of 2 / pi that matter.
fn reduce_large(x: f64) -> (u32, f64, f64) {
    // |x| is a number of four digits, times 2^(24 * (skipped - 2)).
    let exponent = (high_word(x) >> 20 & 0x7ff) as usize - 1075 + 48;
    let (skipped, shift) = (exponent / 24, (exponent % 24) as u32);
    let mut rest = from_words(high_word(x) & 0xf_ffff | (shift + 1003) << 20, x.to_bits() as u32);
    let mut digits = [0; 4];
    for digit in digits.iter_mut().rev() {
        *digit = rest as u64;
        rest = (rest - *digit as f64) / DIGIT;
    }

    // The product's digits from the eighth behind the point up to that before it; what is above is whole turns.
    let mut product = [0; 9];
    let mut carry = 0;
    for place in (0..9).rev() {
        for (index, digit) in digits.iter().enumerate() {
            if let Some(at) = (index + skipped + place).checked_sub(3) {
                carry += digit * u64::from(TWO_OVER_PI[at]);
            }
        }
        product[place] = (carry & 0xff_ffff) as u32;
        carry >>= 24;
    }

    // To the nearest quarter: a fraction above one half is a negative one.
    let below = product[1] >> 23;
    let quarter = (product[0] + below) & 3;
    let flip = if below == 1 { 0xff_ffff } else { 0 };
    let digit = |place: usize| f64::from(product[place] ^ flip);
    // No double is nearer to a multiple of pi / 2 than about 2^-60, hence at most two digits are zero.
    let mut first = 1;
    let mut scale = DIGIT * DIGIT;
    while first < 3 && digit(first) == 0.0 {
        first += 1;
        scale *= DIGIT;
    }
    let pair = |place: usize| digit(place) / DIGIT + digit(place + 1);
    let (a, b, c) =
        (pair(first), pair(first + 2) * (DIGIT * DIGIT), pair(first + 4) * (DIGIT * DIGIT) * (DIGIT * DIGIT));
    let sum = a + b;
    let fraction = sum * scale;
    let fraction_low = (ordered_sum_error(a, b, sum) + c) * scale;

    let high = fraction * HALF_PI_HIGH;
    let low = product_error(fraction, HALF_PI_HIGH, high) + (fraction * HALF_PI_LOW + fraction_low * HALF_PI_HIGH);
    let negative = high_word(x) >> 31;
    let (high, low) = if below == negative { (high, low) } else { (-high, -low) };
    (if negative == 1 { (4 - quarter) & 3 } else { quarter }, high, low)
}
