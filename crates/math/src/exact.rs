//! Steps that lose nothing: sums and products with their errors, and numbers as words of bits.

/// The one not-a-number that leaves this crate.
pub(crate) const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Adding and subtracting it rounds a number below 2^51 to an integer, to even between two.
pub(crate) const ROUND: f64 = 6755399441055744.0;

/// Upper 32 bits: sign, exponent and 20 bits of the fraction.
#[inline]
pub(crate) fn high_word(x: f64) -> u32 {
    (x.to_bits() >> 32) as u32
}

/// The number of these bits.
#[inline]
pub(crate) fn from_words(high: u32, low: u32) -> f64 {
    f64::from_bits(u64::from(high) << 32 | u64::from(low))
}

/// `2^exponent`, for exponents from -1074 to 1023.
#[inline]
pub(crate) fn power_of_two(exponent: i32) -> f64 {
    if exponent >= -1022 {
        from_words(((exponent + 1023) as u32) << 20, 0)
    } else {
        f64::from_bits(1 << (exponent + 1074))
    }
}

/// `x` with the sign of `sign`; `x` is not negative.
#[inline]
pub(crate) fn with_sign(x: f64, sign: f64) -> f64 {
    if high_word(sign) >> 31 == 0 { x } else { -x }
}

/// What `sum = a + b` has lost: `a + b` is `sum + sum_error(a, b, sum)`.
#[inline]
pub(crate) fn sum_error(a: f64, b: f64, sum: f64) -> f64 {
    let taken = sum - a;
    (a - (sum - taken)) + (b - taken)
}

/// [`sum_error`] where `a` is zero or has no smaller exponent than `b`.
#[inline]
pub(crate) fn ordered_sum_error(a: f64, b: f64, sum: f64) -> f64 {
    b - (sum - a)
}

/// The upper 26 bits of `x`, below 2^996; the lower ones are `x - upper(x)`.
#[inline]
pub(crate) fn upper(x: f64) -> f64 {
    let scaled = x * 134217729.0;
    scaled - (scaled - x)
}

/// The upper 21 bits of `x`, below 2^990.
#[inline]
pub(crate) fn upper21(x: f64) -> f64 {
    let scaled = x * 4294967297.0;
    scaled - (scaled - x)
}

/// What `product = a * b` has lost, where nothing overflows and the error is no subnormal number.
#[inline]
pub(crate) fn product_error(a: f64, b: f64, product: f64) -> f64 {
    let (a1, b1) = (upper(a), upper(b));
    let (a2, b2) = (a - a1, b - b1);
    ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
}
