/** The natural logarithm, by a table of logarithms of 64 numbers with few bits. */
import { highWord, powerOfTwo, sumError, upper21 } from "./exact.js";
import { LOG } from "./tables.js";

/** `ln 2`: 42 bits, so that sums of its multiples and of the table's values are exact, and what is missing to them. */
export const LN2_HIGH = 0.6931471805598903;
export const LN2_LOW = 5.497923018708371e-14;

/** What {@link split} leaves: the exponent, then `r`, then what is missing to `r`. */
export const parts = /* @__PURE__ */ new Float64Array(3);

/** The least positive number that is not subnormal. */
export const NORMAL_MIN = 2.2250738585072014e-308;

/**
 * A positive finite number as `2^exponent / inverse * (1 + r + rLow)`, with `|r|` below 0.0086 and nothing lost, in
 * {@link parts}. Gives the place of `inverse` in the table.
 */
export function split(x: number): number {
  let shift = 0;
  if (x < NORMAL_MIN) {
    x *= 4503599627370496;
    shift = -52;
  }
  const high = highWord(x);
  // In units of the high word from 0.706: exponent, then one of 64 parts. That of 1 has an inverse of exactly 1.
  const from = (high - 0x3fe69555) | 0;
  const at = 3 * ((from >> 14) & 63);
  const inverse = LOG[at]!;
  const z = x * powerOfTwo(-(from >> 20));
  const upper = upper21(z);
  const lower = z - upper;
  const a = upper * inverse - 1;
  const b = lower * inverse;
  const r = a + b;
  parts[0] = (from >> 20) + shift;
  parts[1] = r;
  parts[2] = a - r + b;
  return at;
}

/** The natural logarithm of `x`: minus infinity for zeros, NaN for what is below. */
export function log(x: number): number {
  if (!(x > 0 && x < Infinity)) return x === 0 ? -Infinity : x > 0 ? x : NaN;
  const at = split(x);
  const exponent = parts[0]!;
  const r = parts[1]!;
  const base = exponent * LN2_HIGH + LOG[at + 1]!;
  const sum = base + r;
  const low = sumError(base, r, sum) + (exponent * LN2_LOW + LOG[at + 2]! + parts[2]!);
  const upper = 0.2 + r * (-0.16666666666666666 + r * (0.14285714285714285 + r * (-0.125 + r * 0.1111111111111111)));
  const series = -0.5 + r * (0.3333333333333333 + r * (-0.25 + r * upper));
  return sum + (low + r * r * series);
}
