/** The words of a descriptor, as `crates/layout/src/descriptor.rs` says: one layout for kernels and for JavaScript. */
import { COLUMN_ARRAYS, type Column, type Scalar } from "../world/fields.js";

/** The version that this module describes. */
export const DESCRIPTOR_VERSION = 1;

/** Words of a descriptor; `dt` and `time` are f64 at words 2 and 4. */
export const DESCRIPTOR = {
  version: 0,
  rows: 1,
  eids: 6,
  despawn: 7,
  groups: 8,
  components: 9,
  resources: 10,
} as const;
export const DESCRIPTOR_WORDS = 14;

/** Words of a group. */
export const GROUP = { id: 0, access: 1, changed: 2, columns: 3, columnCount: 4 } as const;
export const GROUP_WORDS = 6;
export const ACCESS_WRITE = 1;

/** Words of a column. */
export const COLUMN = { offset: 0, len: 1, scalar: 2 } as const;
export const COLUMN_WORDS = 4;

/** Scalars by their number in a descriptor. */
export const SCALARS: readonly (Scalar | undefined)[] = [
  undefined,
  "f32",
  "f64",
  "i8",
  "u8",
  "i16",
  "u16",
  "i32",
  "u32",
  "i64",
  "u64",
  "bool",
];

/** Bytes of the bits of rows: whole 64-bit words. */
export const bitsBytes = (rows: number): number => Math.ceil(rows / 64) * 8;

/** Bytes of an element. */
export function scalarBytes(scalar: number): number {
  return arrayOf(scalar).BYTES_PER_ELEMENT;
}

/** A view of a column. */
export function viewColumn(buffer: ArrayBufferLike, offset: number, len: number, scalar: number): Column {
  return new (arrayOf(scalar))(buffer, offset, len);
}

function arrayOf(scalar: number): (typeof COLUMN_ARRAYS)[Scalar] {
  const name = SCALARS[scalar];
  if (name === undefined) throw new RangeError(`a descriptor names scalar ${scalar}, which there is not`);
  return COLUMN_ARRAYS[name];
}
