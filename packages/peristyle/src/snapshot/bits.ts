/** Bits of rows: bit `i` is `1 << (i & 7)` of byte `i >> 3`. */
import { installHandBack } from "./hand-back.js";

/** Says that a row was written. */
export function markChanged(bits: Uint8Array, i: number): void {
  bits[i >> 3] |= 1 << (i & 7);
}

/** Whether a row was written. */
export function isChanged(bits: Uint8Array, i: number): boolean {
  return (bits[i >> 3] & (1 << (i & 7))) !== 0;
}

// A page's own worker that marks rows gives its columns back with its answer.
installHandBack();
