/** Angles less a multiple of a quarter turn. */
import { ROUND, fromWords, highWord, lowWord, orderedSumError, productError, sumError } from "./exact.js";
import { TWO_OVER_PI } from "./tables.js";

/**
 * Half of pi in four parts. The first three have at most 33 bits, so that their products with integers up to 2^20 are
 * exact.
 */
const HALF_PI_1 = 1.5707963267341256;
const HALF_PI_2 = 6.077100506303966e-11;
const HALF_PI_3 = 2.0222662487111665e-21;
const HALF_PI_4 = 8.4784276603689e-32;
/** Half of pi as a double, and what is missing to it. */
const HALF_PI_HIGH = 1.5707963267948966;
const HALF_PI_LOW = 6.123233995736766e-17;
/** 2 / pi. */
const TWO_OVER_PI_ROUNDED = 0.6366197723675814;

/** Up to here there are at most 2^20 quarter turns: a high word. */
const MEDIUM = 0x413921fb;

/** 2^24, one digit. */
const DIGIT = 16777216;

/** The angle that {@link reduce} has left: a double, and what is missing to it. */
export const reduced = /* @__PURE__ */ new Float64Array(2);

/**
 * Leaves `x - quarter * pi / 2` in {@link reduced}, at most about `pi / 4` and with about 100 bits, and gives `quarter`
 * modulo 4.
 *
 * `x` is finite and greater than `pi / 4`, or less than its negative.
 */
export function reduce(x: number): number {
  return (highWord(x) & 0x7fffffff) < MEDIUM ? reduceMedium(x) : reduceLarge(x);
}

/** Cody and Waite: takes the parts of half a pi off one by one, largest first. */
function reduceMedium(x: number): number {
  const turns = x * TWO_OVER_PI_ROUNDED + ROUND - ROUND;
  const first = x - turns * HALF_PI_1;
  const second = first - turns * HALF_PI_2;
  const lost = sumError(first, -(turns * HALF_PI_2), second);
  const part = turns * HALF_PI_3 - lost;
  const high = second - part;
  reduced[0] = high;
  reduced[1] = sumError(second, -part, high) - turns * HALF_PI_4;
  return turns & 3;
}

const digits = /* @__PURE__ */ new Float64Array(4);
const product = /* @__PURE__ */ new Int32Array(9);

/** Payne and Hanek: multiplies with just those digits of 2 / pi that matter, in integers. */
function reduceLarge(x: number): number {
  // |x| is a number of four digits, times 2^(24 * (skipped - 2)).
  const high = highWord(x);
  const exponent = ((high >> 20) & 0x7ff) - 1075 + 48;
  const skipped = (exponent / 24) | 0;
  let rest = fromWords((high & 0xfffff) | ((exponent - 24 * skipped + 1003) << 20), lowWord(x));
  for (let index = 3; index >= 0; index--) {
    const digit = rest | 0;
    digits[index] = digit;
    rest = (rest - digit) * DIGIT;
  }

  // The product's digits from the eighth behind the point up to that before it; what is above is whole turns.
  let carry = 0;
  for (let place = 8; place >= 0; place--) {
    for (let index = 0; index < 4; index++) {
      const at = index + skipped + place - 3;
      if (at >= 0) carry += digits[index]! * TWO_OVER_PI[at]!;
    }
    const above = Math.floor(carry / DIGIT);
    product[place] = carry - above * DIGIT;
    carry = above;
  }

  // To the nearest quarter: a fraction above one half is a negative one.
  const below = product[1]! >> 23;
  const quarter = (product[0]! + below) & 3;
  const flip = below === 1 ? 0xffffff : 0;
  // No double is nearer to a multiple of pi / 2 than about 2^-60, hence at most two digits are zero.
  let first = 1;
  let scale = 1 / DIGIT / DIGIT;
  while (first < 3 && (product[first]! ^ flip) === 0) {
    first++;
    scale /= DIGIT;
  }
  const a = pair(first, flip);
  const b = pair(first + 2, flip) / DIGIT / DIGIT;
  const c = pair(first + 4, flip) / DIGIT / DIGIT / DIGIT / DIGIT;
  const sum = a + b;
  const fraction = sum * scale;
  const fractionLow = (orderedSumError(a, b, sum) + c) * scale;

  const angle = fraction * HALF_PI_HIGH;
  const low = productError(fraction, HALF_PI_HIGH, angle) + (fraction * HALF_PI_LOW + fractionLow * HALF_PI_HIGH);
  const negative = high >>> 31;
  reduced[0] = below === negative ? angle : -angle;
  reduced[1] = below === negative ? low : -low;
  return negative === 1 ? (4 - quarter) & 3 : quarter;
}

/** Two digits of the product in one number. */
const pair = (place: number, flip: number): number =>
  (product[place]! ^ flip) * DIGIT + (product[place + 1]! ^ flip);
