/**
 * One field of a view-world: its codes by row, and its values.
 *
 * Where the codes of a field are the bits of its values (exact fields of 32 and 64 bits), both are one buffer, which takes
 * typed arrays to be little-endian as everywhere on the web. Other values are worked out when they are first asked for, and
 * kept from then on: who scales quantised integers in a shader never pays for floats.
 *
 * # Rules
 * - A code is 0 where the row does not have the component.
 */
import type { Fnv, Reader } from "./bytes.js";
import type { Packed } from "./pack.js";
import type { Rows } from "./rows.js";
import { Way, isLinear, isWide, wayOf, type ColumnTypes, type FieldSchema, type Scalar } from "./schema.js";

/** Any array of values. */
export type ColumnArray = ColumnTypes[Scalar];

const ARRAYS = {
  f32: Float32Array,
  f64: Float64Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  bool: Uint8Array,
} as const;

/** Differences on their way from a frame into columns. */
export class Scratch {
  #words = new Int32Array(0);

  /** Room for so many words. */
  words(count: number): Int32Array {
    if (this.#words.length < count) this.#words = new Int32Array(Math.max(count, this.#words.length * 2));
    return this.#words;
  }
}

/** A field's codes and values. */
export class Column {
  /** Words of a code: 1, or 2 halves of which the low one comes first. */
  readonly words: 1 | 2;
  readonly #field: FieldSchema;
  readonly #way: Way;
  #codes = new Int32Array(0);
  /** The last differences, of fields that are predicted by them. */
  #velocity: Int32Array | undefined;
  /** None until asked for. */
  #values: ColumnArray | undefined;
  readonly #isAliased: boolean;
  #rows = 0;
  #shownCodes: Int32Array | undefined;
  #shownValues: ColumnArray | undefined;

  constructor(field: FieldSchema) {
    const { scalar, step } = field;
    this.#field = field;
    this.words = isWide(field) ? 2 : 1;
    this.#way = wayOf(field);
    this.#isAliased = step === undefined && ARRAYS[scalar].BYTES_PER_ELEMENT >= 4;
    if (isLinear(field)) this.#velocity = new Int32Array(0);
  }

  /** Makes room for rows below `rows`. */
  grow(rows: number): void {
    if (rows === this.#rows) return;
    this.#rows = rows;
    this.#shownCodes = this.#shownValues = undefined;
    const { words } = this;
    if (rows * words <= this.#codes.length) return;
    const capacity = Math.max(64, Math.ceil(rows * 1.25)) * words;
    const grown = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(capacity);
      to.set(from);
      return to;
    };
    this.#codes = grown(this.#codes);
    if (this.#velocity) this.#velocity = grown(this.#velocity);
    if (this.#values) this.#makeValues();
  }

  /** Forgets all rows. */
  clear(): void {
    const end = this.#rows * this.words;
    this.#codes.fill(0, 0, end);
    this.#velocity?.fill(0, 0, end);
    this.grow(0);
  }

  /** Forgets what a row had. */
  reset(row: number): void {
    const { words } = this;
    for (let word = row * words; word < (row + 1) * words; word++) {
      this.#codes[word] = 0;
      if (this.#velocity) this.#velocity[word] = 0;
    }
  }

  /** The codes of a quantised field. */
  get steps(): Int32Array {
    return (this.#shownCodes ??= this.#codes.subarray(0, this.#rows));
  }

  /** The values, one for each row. */
  get values(): ColumnArray {
    if (this.#shownValues === undefined) {
      if (this.#values === undefined) this.#makeValues();
      this.#shownValues = (this.#values as ColumnArray).subarray(0, this.#rows);
    }
    return this.#shownValues;
  }

  #makeValues(): void {
    const { scalar } = this.#field;
    const { buffer, length } = this.#codes;
    if (this.#isAliased) {
      this.#values = new ARRAYS[scalar](buffer);
    } else {
      this.#values = new ARRAYS[scalar](length);
      this.#follow(undefined, this.#rows);
    }
  }

  /** Takes values from the codes of rows in a list, or of all below a number. */
  #follow(list: Uint32Array | undefined, count: number): void {
    if (this.#values === undefined || this.#isAliased) return;
    const values = this.#values as Exclude<ColumnArray, BigInt64Array | BigUint64Array>;
    const codes = this.#codes;
    const { scalar, step = 1 } = this.#field;
    if (scalar === "bool") {
      for (let i = 0; i < count; i++) {
        const row = list ? list[i] : i;
        values[row] = codes[row] === 0 ? 0 : 1;
      }
    } else if (list) {
      for (let i = 0; i < count; i++) values[list[i]] = codes[list[i]] * step;
    } else {
      // Loops over one kind of array each, as engines make them fast.
      if (values instanceof Float32Array) scale(values, codes, step, count);
      else for (let row = 0; row < count; row++) values[row] = codes[row] * step;
    }
  }

  /** Sets the codes of rows that gain the component, or in a snapshot how they were moving. */
  start(rows: Rows, packed: Packed, velocity: Packed | undefined, reader: Reader, scratch: Scratch): void {
    const put = (to: Int32Array, from: Packed): void => {
      const { words } = this;
      const codes = scratch.words(rows.length * words);
      if (words === 1) from.unpack(reader, codes);
      else from.unpackWide(reader, codes);
      for (let place = 0; place < rows.length; place++) {
        const row = rows.at(place);
        for (let word = 0; word < words; word++) to[row * words + word] = codes[place * words + word];
      }
    };
    put(this.#codes, packed);
    if (velocity && this.#velocity) put(this.#velocity, velocity);
    this.#follow(rows.isAll ? undefined : rows.list, rows.length);
  }

  /** Moves rows on by differences. */
  advance(rows: Rows, packed: Packed, reader: Reader, scratch: Scratch): void {
    const count = rows.length;
    const by = scratch.words(count * this.words);
    const list = rows.isAll ? undefined : rows.list;
    if (this.words === 2) {
      packed.unpackWide(reader, by);
      this.#advanceWide(by, list, count);
    } else {
      packed.unpack(reader, by);
      const codes = this.#codes;
      if (list) advanceListed(this.#way, codes, this.#velocity, by, list, count);
      else advanceFirst(this.#way, codes, this.#velocity, by, count);
    }
    this.#follow(list, count);
  }

  #advanceWide(by: Int32Array, list: Uint32Array | undefined, count: number): void {
    const codes = this.#codes;
    const velocity = this.#velocity;
    for (let i = 0; i < count; i++) {
      const at = 2 * (list ? list[i] : i);
      const lo = by[2 * i];
      const hi = by[2 * i + 1];
      switch (this.#way) {
        case Way.Plain:
          codes[at] = lo;
          codes[at + 1] = hi;
          break;
        case Way.Xor:
          codes[at] ^= lo;
          codes[at + 1] ^= hi;
          break;
        case Way.AddTwice:
          addWide(velocity as Int32Array, at, lo, hi);
          addWide(codes, at, (velocity as Int32Array)[at], (velocity as Int32Array)[at + 1]);
          break;
        case Way.Add:
          addWide(codes, at, lo, hi);
      }
    }
  }

  /** Adds a row's code to a hash. */
  hash(row: number, hash: Fnv): void {
    const at = row * this.words;
    hash.eatWord(this.#codes[at], this.words === 2 ? this.#codes[at + 1] : 0);
  }
}

function scale(values: Float32Array, codes: Int32Array, step: number, count: number): void {
  for (let row = 0; row < count; row++) values[row] = codes[row] * step;
}

/** Adds 64 bits to those at a place. */
function addWide(to: Int32Array, at: number, lo: number, hi: number): void {
  const sum = (to[at] >>> 0) + (lo >>> 0);
  to[at] = sum;
  to[at + 1] += hi + (sum >= 2 ** 32 ? 1 : 0);
}

function advanceFirst(way: Way, codes: Int32Array, velocity: Int32Array | undefined, by: Int32Array, count: number): void {
  if (way === Way.Plain) {
    for (let i = 0; i < count; i++) codes[i] = by[i];
  } else if (way === Way.Add) {
    for (let i = 0; i < count; i++) codes[i] += by[i];
  } else if (way === Way.Xor) {
    for (let i = 0; i < count; i++) codes[i] ^= by[i];
  } else if (velocity) {
    for (let i = 0; i < count; i++) codes[i] += velocity[i] += by[i];
  }
}

function advanceListed(
  way: Way,
  codes: Int32Array,
  velocity: Int32Array | undefined,
  by: Int32Array,
  list: Uint32Array,
  count: number,
): void {
  if (way === Way.Plain) {
    for (let i = 0; i < count; i++) codes[list[i]] = by[i];
  } else if (way === Way.Add) {
    for (let i = 0; i < count; i++) codes[list[i]] += by[i];
  } else if (way === Way.Xor) {
    for (let i = 0; i < count; i++) codes[list[i]] ^= by[i];
  } else if (velocity) {
    for (let i = 0; i < count; i++) codes[list[i]] += velocity[list[i]] += by[i];
  }
}
