/** The cube root: a polynomial for numbers from 1 to 8, and two steps of Halley's. */
import { highWord, powerOfTwo, upper21, withSign } from "./exact.js";
import { NORMAL_MIN } from "./log.js";

/** The cube root of `x`. */
export function cbrt(x: number): number {
  let size = Math.abs(x);
  if (size === 0 || size === Infinity) return x;
  if (size !== size) return NaN;
  // Subnormal numbers come as 2^54 times themselves.
  let less = 0;
  if (size < NORMAL_MIN) {
    size *= 18014398509481984;
    less = 18;
  }
  // A third of the exponent with its bias, of which 341 are a third.
  const exponent = (((highWord(size) >> 20) * 21846) >> 16) - 341;
  const z = size * powerOfTwo(-3 * exponent);
  // Within 1/400 of the cube root of `z`, from 1 to 8.
  const guess = 0.63154 + z * (0.443935 + z * (-0.0819062 + z * (0.00933941 + z * -0.000421688)));
  const cube = guess * guess * guess;
  // With 21 bits its square is exact; Halley's step triples them.
  const t = upper21(guess + guess * ((z - cube) / (cube + cube + z)));
  const quotient = z / (t * t);
  return withSign((t + t * ((quotient - t) / (t + t + quotient))) * powerOfTwo(exponent - less), x);
}
