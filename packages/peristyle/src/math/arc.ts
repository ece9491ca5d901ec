/** Arc functions. */
import { ROUND, highWord, orderedSumError, productError, sumError, upper, upper21, withSign } from "./exact.js";
import { ATAN } from "./tables.js";

/** As doubles, and what is missing to them. */
const HALF_PI = 1.5707963267948966;
const HALF_PI_LOW = 6.123233995736766e-17;
const PI = 3.141592653589793;
const PI_LOW = 1.2246467991473532e-16;

/** A high word: of 2^-27, below which `asin x` and `atan x` are `x`. */
const TINY = 0x3e400000;
/** What sixty powers of two are in a high word. */
const SIXTY = 60 << 20;

/** `(asin(x) / x - 1) / x^2`, of `z = x^2` up to 1/4. */
function asinSeries(z: number): number {
  const y = z * z;
  const evenUpper = 0.010324318288744113 + y * (0.017419357964884856 + y * 0.02877844261259304);
  const even =
    0.16666666666666669 +
    y * (0.04464285714637338 + y * (0.022372173002005596 + y * (0.013971235301124539 + y * evenUpper)));
  const oddUpper = 0.011478952690257387 + y * (0.00545087818772055 + y * -0.014881409392818066);
  const odd = 0.07499999999998425 + y * (0.030381944137085216 + y * (0.017352391265909227 + y * oddUpper));
  return even + z * odd;
}

/** What is missing to 21 bits of a square root: `root` is that of `z`, `high` its upper bits. */
const rootRest = (z: number, root: number, high: number): number => (z - high * high) / (root + high);

/** The angle in `-pi/2..=pi/2` whose sine is `x`. NaN outside of `-1..=1`. */
export function asin(x: number): number {
  const size = Math.abs(x);
  if (size < 0.5) {
    if (highWord(size) < TINY) return x;
    const z = x * x;
    return x + x * (z * asinSeries(z));
  }
  if (!(size < 1)) return size === 1 ? withSign(HALF_PI, x) : NaN;
  // asin(x) = pi / 2 - 2 asin(sqrt((1 - x) / 2)), where pi / 2 less 21 bits of the root's double is exact.
  const z = (1 - size) * 0.5;
  const root = Math.sqrt(z);
  const high = upper21(root);
  const rest = 2 * (root * (z * asinSeries(z)) + rootRest(z, root, high)) - HALF_PI_LOW;
  return withSign(HALF_PI - 2 * high - rest, x);
}

/** The angle in `0..=pi` whose cosine is `x`. NaN outside of `-1..=1`. */
export function acos(x: number): number {
  const size = Math.abs(x);
  if (size < 0.5) {
    const z = x * x;
    return HALF_PI - (x - (HALF_PI_LOW - x * (z * asinSeries(z))));
  }
  if (!(size < 1)) return x === 1 ? 0 : x === -1 ? PI : NaN;
  const z = (1 - size) * 0.5;
  const root = Math.sqrt(z);
  const high = upper21(root);
  const rest = root * (z * asinSeries(z)) + rootRest(z, root, high);
  return x > 0 ? 2 * (high + rest) : PI - 2 * high - (2 * rest - PI_LOW);
}

/** The angle in `-pi/2..=pi/2` whose tangent is `x`. */
export function atan(x: number): number {
  const size = Math.abs(x);
  if ((highWord(x) & 0x7fffffff) < TINY) return x;
  if (size <= 1) {
    const value = angle(size, 1);
    return withSign(value + angleLow[0]!, x);
  }
  if (size < 18014398509481984) {
    const value = angle(1, size);
    return withSign(fromBase(HALF_PI, HALF_PI_LOW, -value, -angleLow[0]!), x);
  }
  return size === size ? withSign(HALF_PI, x) : NaN;
}

/**
 * The angle in `-pi..=pi` from the positive `x` axis to the point `(x, y)`, by IEEE 754 and C: zeros have signs, and the
 * angle to a corner at infinity is a multiple of `pi / 4`.
 */
export function atan2(y: number, x: number): number {
  if (y !== y || x !== x) return NaN;
  let rise = Math.abs(y);
  let run = Math.abs(x);
  const left = highWord(x) < 0;
  if (rise === 0) return left ? withSign(PI, y) : y;
  if (rise === Infinity && run === Infinity) return withSign(left ? 2.356194490192345 : 0.7853981633974483, y);
  const riseWord = highWord(rise);
  const runWord = highWord(run);
  if (run === 0 || rise === Infinity || riseWord >= runWord + SIXTY) return withSign(HALF_PI, y);
  if (run === Infinity || runWord >= riseWord + SIXTY) return withSign(left ? PI : rise / run, y);
  // Away from the ends of what a double can be, so that products have errors that are doubles.
  const most = riseWord > runWord ? riseWord : runWord;
  if (most >= 0x5ff00000 || most < 0x20000000) {
    const scale = most >= 0x5ff00000 ? 2.409919865102884e-181 : 4.149515568880993e180;
    rise *= scale;
    run *= scale;
  }
  const steep = rise > run;
  const value = steep ? angle(run, rise) : angle(rise, run);
  const low = angleLow[0]!;
  if (steep) {
    const size = left ? fromBase(HALF_PI, HALF_PI_LOW, value, low) : fromBase(HALF_PI, HALF_PI_LOW, -value, -low);
    return withSign(size, y);
  }
  return withSign(left ? fromBase(PI, PI_LOW, -value, -low) : value + low, y);
}

function fromBase(base: number, baseLow: number, angle: number, low: number): number {
  const sum = base + angle;
  return sum + (orderedSumError(base, angle, sum) + (baseLow + low));
}

/** What is missing to the last {@link angle}. */
const angleLow = /* @__PURE__ */ new Float64Array(1);

/**
 * The angle whose tangent is `above / below`, at most 1; what is missing to it is left in {@link angleLow}. It is that of
 * the nearest sixteenth from a table, and a series for the rest `(above - c * below) / (below + c * above)`.
 */
function angle(above: number, below: number): number {
  const sixteenths = 16 * (above / below) + ROUND - ROUND;
  const c = sixteenths * 0.0625;
  const at = 2 * sixteenths;

  // Both products are exact, as `c` has few bits.
  const belowUpper = upper(below);
  const less = above - c * belowUpper;
  const lessPart = c * (below - belowUpper);
  const num = less - lessPart;
  const numLow = sumError(less, -lessPart, num);

  const part = c * above;
  const den = below + part;
  const aboveUpper = upper(above);
  const partLow = c * aboveUpper - part + c * (above - aboveUpper);
  const denLow = orderedSumError(below, part, den) + partLow;

  const u = num / den;
  const product = u * den;
  const uLow = (num - product - productError(u, den, product) + (numLow - u * denLow)) / den;

  const z = u * u;
  const series =
    -0.3333333333333333 +
    z * (0.2 + z * (-0.14285714285714285 + z * (0.1111111111111111 + z * -0.09090909090909091)));
  const value = ATAN[at]! + u;
  angleLow[0] = orderedSumError(ATAN[at]!, u, value) + (ATAN[at + 1]! + uLow + u * (z * series));
  return value;
}
