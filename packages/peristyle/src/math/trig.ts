/** Sine, cosine and tangent: an angle of at most an eighth of a turn, then one kernel or the other. */
import { highWord, orderedSumError, productError, upper } from "./exact.js";
import { reduce, reduced } from "./reduce.js";

/** High words: of 2^-27, below which `sin x` and `tan x` are `x`; of pi / 4; and of infinity. */
const TINY = 0x3e400000;
const EIGHTH = 0x3fe921fb;
const INFINITY = 0x7ff00000;

/** Twelve bits of `-1 / 6`. */
const SIXTH = -0.1666259765625;

/** The sine of `x` radians. NaN for infinities. */
export function sin(x: number): number {
  const high = highWord(x) & 0x7fffffff;
  if (high < EIGHTH) return high < TINY ? x : sinKernel(x, 0);
  if (high >= INFINITY) return NaN;
  const quarter = reduce(x);
  const value = (quarter & 1) === 0 ? sinKernel(reduced[0]!, reduced[1]!) : cosKernel(reduced[0]!, reduced[1]!);
  return (quarter & 2) === 0 ? value : -value;
}

/** The cosine of `x` radians. NaN for infinities. */
export function cos(x: number): number {
  const high = highWord(x) & 0x7fffffff;
  if (high < EIGHTH) return cosKernel(x, 0);
  if (high >= INFINITY) return NaN;
  const quarter = reduce(x);
  const value = (quarter & 1) === 0 ? cosKernel(reduced[0]!, reduced[1]!) : sinKernel(reduced[0]!, reduced[1]!);
  return ((quarter + 1) & 2) === 0 ? value : -value;
}

/** The tangent of `x` radians. NaN for infinities. */
export function tan(x: number): number {
  const high = highWord(x) & 0x7fffffff;
  if (high < EIGHTH) return high < TINY ? x : tanKernel(x, 0, false);
  if (high >= INFINITY) return NaN;
  const quarter = reduce(x);
  return tanKernel(reduced[0]!, reduced[1]!, (quarter & 1) === 1);
}

/** `(sin(x) / x - 1) / x^2`, of `z = x^2`. */
function sinSeries(z: number): number {
  const upper = 2.755731610068303e-6 + z * (-2.5051131455427946e-8 + z * 1.591810123027412e-10);
  return -0.16666666666666666 + z * (0.008333333333330946 + z * (-0.0001984126983675497 + z * upper));
}

/** `(cos(x) - 1 + x^2 / 2) / x^4`, of `z = x^2`. */
function cosSeries(z: number): number {
  const upper = -2.7557317270560326e-7 + z * (2.0876146024689747e-9 + z * -1.1382614868556325e-11);
  return 0.041666666666666664 + z * (-0.0013888888888887395 + z * (2.4801587298763433e-5 + z * upper));
}

/** The sine of `x + low`, at most an eighth of a turn. */
function sinKernel(x: number, low: number): number {
  const z = x * x;
  return x + (x * z * sinSeries(z) + (low - 0.5 * z * low));
}

/** The cosine of `x + low`, at most an eighth of a turn. */
function cosKernel(x: number, low: number): number {
  const z = x * x;
  const half = 0.5 * z;
  const most = 1 - half;
  return most + (1 - most - half + (z * z * cosSeries(z) - x * low));
}

/**
 * The tangent of `x + low`, at most an eighth of a turn, or of what is a quarter turn on: sine and cosine with their
 * rounding errors, and a quotient that knows its own.
 */
function tanKernel(x: number, low: number, quarter: boolean): number {
  const z = x * x;
  const zLow = productError(x, x, z);
  // The cubic term's first bits without an error: its own would be most of the result's.
  const cube = x * z;
  const cubeUpper = upper(cube);
  const cubeLower = cube - cubeUpper + x * zLow;
  const sinRest =
    cubeUpper * SIXTH + (cubeLower * SIXTH + cube * (sinSeries(z) - SIXTH) + (low - 0.5 * z * low));
  const sin = x + sinRest;
  const sinLow = orderedSumError(x, sinRest, sin);

  const half = 0.5 * z;
  const most = 1 - half;
  const cosRest = 1 - most - half - 0.5 * zLow + (z * z * cosSeries(z) - x * low);
  const cos = most + cosRest;
  const cosLow = orderedSumError(most, cosRest, cos);

  return quarter ? -quotient(cos, cosLow, sin, sinLow) : quotient(sin, sinLow, cos, cosLow);
}

function quotient(above: number, aboveLow: number, below: number, belowLow: number): number {
  const first = above / below;
  const product = first * below;
  const rest = above - product - productError(first, below, product) + (aboveLow - first * belowLow);
  return first + rest / below;
}
