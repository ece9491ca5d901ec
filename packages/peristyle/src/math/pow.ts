/** Powers: a logarithm of some 67 bits, times the exponent, as an exponential of a sum of two. */
import { highWord, orderedSumError, productError, sumError } from "./exact.js";
import { expSum } from "./exp.js";
import { LN2_HIGH, LN2_LOW, parts, split } from "./log.js";
import { LOG } from "./tables.js";

/** 2^52: there and above, doubles are integers. */
const INTEGERS = 4503599627370496;

/**
 * `x` to the power of `y`, by IEEE 754 and C: 1 if `x` is 1 or `y` is 0, whatever the other is; NaN for a negative finite
 * `x` and a finite `y` that is no integer. (`Math.pow` gives NaN for `pow(1, NaN)`, and for 1 and -1 to an infinity.)
 */
export function pow(x: number, y: number): number {
  if (y === 0 || x === 1) return 1;
  if (x !== x || y !== y) return NaN;
  const size = Math.abs(x);
  if (Math.abs(y) === Infinity) return size === 1 ? 1 : size > 1 === y > 0 ? Infinity : 0;
  let negative = false;
  if (highWord(x) < 0) {
    const exponent = Math.abs(y);
    const integer = isInteger(exponent);
    negative = integer && exponent < 2 * INTEGERS && !isInteger(0.5 * exponent);
    if (!integer && x !== 0 && x !== -Infinity) return NaN;
  }
  const value =
    size === 0 || size === Infinity ? ((size === 0) === y > 0 ? 0 : Infinity) : powPositive(size, y);
  return negative ? -value : value;
}

/** Whether `y` is an integer; it is not negative. */
const isInteger = (y: number): boolean => y >= INTEGERS || y + INTEGERS - INTEGERS === y;

/** `x` to the power of `y`, both finite, `x` positive and `y` not 0. */
function powPositive(x: number, y: number): number {
  // Outside of these exponents the result is 1, or beyond all doubles unless `x` is 1; products would leave the range.
  const magnitude = (highWord(y) >> 20) & 0x7ff;
  if (magnitude < 1023 - 70 || x === 1) return 1;
  if (magnitude > 1023 + 66) return x > 1 === y > 0 ? Infinity : 0;
  const at = split(x);
  const exponent = parts[0]!;
  const r = parts[1]!;
  const rLow = parts[2]!;

  const base = exponent * LN2_HIGH + LOG[at + 1]!;
  const sum = base + r;
  const sumLow = sumError(base, r, sum) + (exponent * LN2_LOW + LOG[at + 2]! + rLow);
  // The square's error counts, that of higher powers does not.
  const half = -0.5 * r;
  const square = half * r;
  const squareLow = productError(half, r, square) - r * rLow;
  const upper =
    0.14285714285714285 + r * (-0.125 + r * (0.1111111111111111 + r * (-0.1 + r * 0.09090909090909091)));
  const series = 0.3333333333333333 + r * (-0.25 + r * (0.2 + r * (-0.16666666666666666 + r * upper)));
  const most = sum + square;
  const rest = sumError(sum, square, most) + (sumLow + squareLow) + r * r * (r * series);
  const log = most + rest;
  const logLow = orderedSumError(most, rest, log);

  const product = y * log;
  const low = productError(y, log, product) + y * logLow;
  if (product > 746) return Infinity;
  if (product < -746) return 0;
  return expSum(product, low);
}
