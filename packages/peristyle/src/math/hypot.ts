/** The hypotenuse, without overflow on the way. */
import { highWord, orderedSumError, productError } from "./exact.js";

/** The square root of `x * x + y * y`. Infinite if either is, even beside NaN. */
export function hypot(x: number, y: number): number {
  const a = Math.abs(x);
  const b = Math.abs(y);
  if (a === Infinity || b === Infinity) return Infinity;
  if (a !== a || b !== b) return NaN;
  const large = a < b ? b : a;
  const small = a < b ? a : b;
  const largeWord = highWord(large);
  const smallWord = highWord(small);
  if (small === 0 || largeWord >= smallWord + (60 << 20)) return large + small;
  // Squares and their errors must be doubles.
  if (largeWord >= 0x5f300000) {
    return 4.149515568880993e180 * ofScaled(large * 2.409919865102884e-181, small * 2.409919865102884e-181);
  }
  if (smallWord < 0x23000000) {
    return 2.409919865102884e-181 * ofScaled(large * 4.149515568880993e180, small * 4.149515568880993e180);
  }
  return ofScaled(large, small);
}

/** The sum of squares with its error, its root, and a correction of that by what its square misses. */
function ofScaled(large: number, small: number): number {
  const a = large * large;
  const b = small * small;
  const sum = a + b;
  const low = orderedSumError(a, b, sum) + (productError(large, large, a) + productError(small, small, b));
  const root = Math.sqrt(sum);
  const square = root * root;
  return root + (sum - square - productError(root, root, square) + low) / (2 * root);
}
