/**
 * One field of a view-world: its codes by row, and its values.
 *
 * Where the codes of a field are the bits of its values (exact fields of 32 and 64 bits), both are one buffer, which
 * takes typed arrays to be little-endian as everywhere on the web. Other values are worked out when they are first
 * asked for, and kept from then on: who scales quantised integers in a shader never pays for floats.
 *
 * # Rules
 * - A code is 0 where the row does not have the component.
 */
import { capacityFor, grown, type Fnv, type Reader } from "./bytes.js";
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

/** Rows that are moved on at a time: few enough that their differences and codes stay in the first cache. */
const BLOCK = 2048;

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
    const capacity = capacityFor(rows) * words;
    this.#codes = grown(this.#codes, capacity);
    if (this.#velocity) this.#velocity = grown(this.#velocity, capacity);
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
      this.#follow(undefined, 0, this.#rows);
    }
  }

  /** Takes values from the codes of rows in a list, or of the rows from `first` to before `end`. */
  #follow(list: Uint32Array | undefined, first: number, end: number): void {
    if (this.#values === undefined || this.#isAliased) return;
    const values = this.#values as Exclude<ColumnArray, BigInt64Array | BigUint64Array>;
    const codes = this.#codes;
    const { scalar, step = 1 } = this.#field;
    if (values instanceof Float32Array) {
      if (list) scaleListed(values, codes, step, list, first, end);
      else scale(values, codes, step, first, end);
    } else {
      for (let i = first; i < end; i++) {
        const row = list ? list[i] : i;
        values[row] = scalar === "bool" ? Math.abs(Math.sign(codes[row])) : codes[row] * step;
      }
    }
  }

  /** Sets the codes of rows that gain the component, or in a snapshot how they were moving. */
  start(rows: Rows, packed: Packed, velocity: Packed | undefined, reader: Reader, scratch: Scratch): void {
    const put = (to: Int32Array, from: Packed): void => {
      const { words } = this;
      const codes = scratch.words(rows.length * words);
      from.unpack(reader, codes, 0, rows.length);
      rows.forEach((row, place) => {
        for (let word = 0; word < words; word++) to[row * words + word] = codes[place * words + word];
      });
    };
    put(this.#codes, packed);
    if (velocity && this.#velocity) put(this.#velocity, velocity);
    this.#follow(rows.list, 0, rows.length);
  }

  /** Moves rows on by differences. */
  advance(rows: Rows, packed: Packed, reader: Reader, scratch: Scratch): void {
    const codes = this.#codes;
    const velocity = this.#velocity ?? codes;
    const list = rows.isAll ? undefined : rows.list;
    const by = scratch.words(BLOCK * this.words);
    for (let first = 0; first < rows.length; first += BLOCK) {
      const end = Math.min(rows.length, first + BLOCK);
      packed.unpack(reader, by, first, end - first);
      if (this.words === 2) advanceWide(this.#way, codes, velocity, by, list, first, end);
      else if (list) advanceListed(this.#way, codes, velocity, by, list, first, end);
      else advanceAll(this.#way, codes, velocity, by, first, end);
      this.#follow(list, first, end);
    }
  }

  /** Adds a row's code to a hash. */
  hash(row: number, hash: Fnv): void {
    const at = row * this.words;
    hash.eatWord(this.#codes[at], this.words === 2 ? this.#codes[at + 1] : 0);
  }
}

// Loops over one kind of array each, as engines make them fast. Differences lie in `by` from its start on.

function scale(values: Float32Array, codes: Int32Array, step: number, first: number, end: number): void {
  for (let row = first; row < end; row++) values[row] = codes[row] * step;
}

function scaleListed(
  values: Float32Array,
  codes: Int32Array,
  step: number,
  list: Uint32Array,
  first: number,
  end: number,
): void {
  for (let i = first; i < end; i++) values[list[i]] = codes[list[i]] * step;
}

function advanceAll(
  way: Way,
  codes: Int32Array,
  velocity: Int32Array,
  by: Int32Array,
  first: number,
  end: number,
): void {
  let i = 0;
  if (way === Way.Add) {
    for (let row = first; row < end; row++) codes[row] = (codes[row] + by[i++]) | 0;
  } else if (way === Way.AddTwice) {
    for (let row = first; row < end; row++) {
      const difference = (velocity[row] + by[i++]) | 0;
      velocity[row] = difference;
      codes[row] = (codes[row] + difference) | 0;
    }
  } else if (way === Way.Xor) {
    for (let row = first; row < end; row++) codes[row] ^= by[i++];
  } else {
    for (let row = first; row < end; row++) codes[row] = by[i++];
  }
}

function advanceListed(
  way: Way,
  codes: Int32Array,
  velocity: Int32Array,
  by: Int32Array,
  list: Uint32Array,
  first: number,
  end: number,
): void {
  for (let i = first; i < end; i++) {
    const row = list[i];
    let difference = by[i - first];
    if (way === Way.AddTwice) velocity[row] = difference = (velocity[row] + difference) | 0;
    if (way === Way.Plain) codes[row] = difference;
    else if (way === Way.Xor) codes[row] ^= difference;
    else codes[row] = (codes[row] + difference) | 0;
  }
}

/** Codes of two words. */
function advanceWide(
  way: Way,
  codes: Int32Array,
  velocity: Int32Array,
  by: Int32Array,
  list: Uint32Array | undefined,
  first: number,
  end: number,
): void {
  for (let i = first; i < end; i++) {
    const at = 2 * (list ? list[i] : i);
    const lo = by[2 * (i - first)];
    const hi = by[2 * (i - first) + 1];
    if (way === Way.Add) {
      addWide(codes, at, lo, hi);
    } else if (way === Way.AddTwice) {
      addWide(velocity, at, lo, hi);
      addWide(codes, at, velocity[at], velocity[at + 1]);
    } else {
      codes[at] = way === Way.Xor ? codes[at] ^ lo : lo;
      codes[at + 1] = way === Way.Xor ? codes[at + 1] ^ hi : hi;
    }
  }
}

/** Adds 64 bits to those at a place. */
function addWide(to: Int32Array, at: number, lo: number, hi: number): void {
  const sum = (to[at] >>> 0) + (lo >>> 0);
  to[at] = sum;
  to[at + 1] += hi + (sum >= 2 ** 32 ? 1 : 0);
}
