/** The exponential, by a table of `2^(i/32)`. */
import { ROUND, powerOfTwo } from "./exact.js";
import { EXP2 } from "./tables.js";

/** `32 / ln 2`. */
const THIRTY_SECONDS = 46.16624130844683;
/** `ln 2 / 32`: 36 bits, so that their products with integers are exact, and what is missing to them. */
const LN2_32_HIGH = 0.021660849392446835;
const LN2_32_LOW = 5.145609244655338e-14;

/** `e` to the power of `x`. */
export function exp(x: number): number {
  if (!(Math.abs(x) < 746)) return x > 0 ? Infinity : x < 0 ? 0 : NaN;
  return expSum(x, 0);
}

/** `e` to the power of `x + low`, where `|x|` is below 746 and `low` tiny beside it or beside 1. */
export function expSum(x: number, low: number): number {
  const steps = x * THIRTY_SECONDS + ROUND - ROUND;
  const r = x - steps * LN2_32_HIGH - steps * LN2_32_LOW + low;
  const series =
    0.16666666666666666 + r * (0.041666666666666664 + r * (0.008333333333333333 + r * 0.001388888888888889));
  const rest = r + r * r * (0.5 + r * series);
  const at = 2 * (steps & 31);
  return scale(EXP2[at]! + (EXP2[at + 1]! + EXP2[at]! * rest), steps >> 5);
}

/**
 * `x * 2^exponent`, for `x` near 1 and exponents from -1100 to 1100: infinity or a subnormal number, rounded once, where
 * it must be.
 */
function scale(x: number, exponent: number): number {
  if (exponent > 1023) return x * powerOfTwo(1023) * powerOfTwo(exponent - 1023);
  if (exponent < -1021) return x * powerOfTwo(exponent + 1000) * 9.332636185032189e-302; // 2^-1000
  return x * powerOfTwo(exponent);
}
