/** Steps that lose nothing: sums and products with their errors, and numbers as words of bits. */

const float = new Float64Array(1);
const words = new Int32Array(float.buffer);

/** Adding and subtracting it rounds a number below 2^51 to an integer, to even between two. */
export const ROUND = 6755399441055744;

/** Upper 32 bits: sign, exponent and 20 bits of the fraction. */
export function highWord(x: number): number {
  float[0] = x;
  return words[1]!;
}

/** Lower 32 bits of the fraction. */
export function lowWord(x: number): number {
  float[0] = x;
  return words[0]!;
}

/** The number of these bits. */
export function fromWords(high: number, low: number): number {
  words[0] = low;
  words[1] = high;
  return float[0]!;
}

/** `x` with the sign of `sign`; `x` is not negative. */
export const withSign = (x: number, sign: number): number => (highWord(sign) < 0 ? -x : x);

/** What `sum = a + b` has lost: `a + b` is `sum + sumError(a, b, sum)`. */
export function sumError(a: number, b: number, sum: number): number {
  const taken = sum - a;
  return a - (sum - taken) + (b - taken);
}

/** {@link sumError} where `a` is zero or has no smaller exponent than `b`. */
export const orderedSumError = (a: number, b: number, sum: number): number => b - (sum - a);

/** The upper 26 bits of `x`, below 2^996; the lower ones are `x - upper(x)`. */
export function upper(x: number): number {
  const scaled = x * 134217729;
  return scaled - (scaled - x);
}

/** The upper 21 bits of `x`, below 2^990. */
export function upper21(x: number): number {
  const scaled = x * 4294967297;
  return scaled - (scaled - x);
}

/** What `product = a * b` has lost, where nothing overflows and the error is no subnormal number. */
export function productError(a: number, b: number, product: number): number {
  const a1 = upper(a);
  const b1 = upper(b);
  const a2 = a - a1;
  const b2 = b - b1;
  return a1 * b1 - product + a1 * b2 + a2 * b1 + a2 * b2;
}

/** 2^-1074 to 2^1023. Read from memory, because two words written and read as a double make processors wait. */
const POWERS = /* @__PURE__ */ powers();

function powers(): Float64Array {
  const all = new Float64Array(2098);
  for (let place = 0, power = 5e-324; place < all.length; place++, power *= 2) all[place] = power;
  return all;
}

/** `2^exponent`, for exponents from -1074 to 1023. */
export const powerOfTwo = (exponent: number): number => POWERS[exponent + 1074]!;
