/** Bits of rows: bit `i` is `1 << (i & 7)` of byte `i >> 3`. */
import { ValueError } from "../errors.js";
import { installHandBack } from "./hand-back.js";

/**
 * Says that a row was written.
 * @throws {ValueError} (`value-range`) if the bits have no such row: those of a component that a job only reads are empty.
 */
export function markChanged(bits: Uint8Array, i: number): void {
  const byte = bits[i >> 3] as number | undefined;
  // A mark that goes nowhere would be an update that is lost without a word. To look at the byte costs an engine nothing, as
  // it must know anyway whether there is one; to compare lengths costs a loop a quarter.
  if (byte === undefined) return refuse(bits, i);
  bits[i >> 3] = byte | (1 << (i & 7));
}

/** Whether a row was written, or, of bits that a job is given of what it only reads, whether it changed. */
export function isChanged(bits: Uint8Array | undefined, i: number): boolean {
  return bits !== undefined && (bits[i >> 3] & (1 << (i & 7))) !== 0;
}

function refuse(bits: Uint8Array, i: number): never {
  const why =
    bits.length === 0
      ? "it has no bits; a job marks components that its system lists in `writes`"
      : `the bits are of ${bits.length * 8} rows`;
  throw new ValueError("value-range", `row ${i} cannot be marked: ${why}`);
}

// A page's own worker that marks rows gives its columns back with its answer.
installHandBack();
