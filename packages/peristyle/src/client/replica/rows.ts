/** Sets of rows: lists that keep their capacity, and their form on the wire. */
import { bitsAt, capacityFor, grown, type Reader } from "./bytes.js";

/** Rows of a view, ascending. Its contents are replaced by each frame. */
export class Rows implements Iterable<number> {
  /** Whether it is all rows below `length`. */
  isAll = false;
  /** How many. */
  length = 0;
  #list = new Uint32Array(16);

  /** The row at a place. */
  at(place: number): number {
    return this.isAll ? place : this.#list[place];
  }

  /** Calls `f` with each row and its place. */
  forEach(f: (row: number, place: number) => void): void {
    const { length } = this;
    for (let place = 0; place < length; place++) f(this.at(place), place);
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let place = 0; place < this.length; place++) yield this.at(place);
  }

  /** The place of a row, and -1 if it is not there. */
  indexOf(row: number): number {
    const { length } = this;
    if (this.isAll) return row < length ? row : -1;
    let least = 0;
    let end = length;
    while (least < end) {
      const middle = (least + end) >>> 1;
      if (this.#list[middle] < row) least = middle + 1;
      else end = middle;
    }
    return least < length && this.#list[least] === row ? least : -1;
  }

  /** Whether a row is there. */
  has(row: number): boolean {
    return this.indexOf(row) >= 0;
  }

  /** A list of its own. */
  toArray(): Uint32Array {
    return Uint32Array.from(this);
  }

  /** @internal The rows, where they are not all; longer than `length`. */
  get list(): Uint32Array {
    return this.#list;
  }

  /** @internal */
  clear(): void {
    this.length = 0;
    this.isAll = false;
  }

  /** @internal */
  push(row: number): void {
    if (this.length === this.#list.length) this.#list = grown(this.#list, this.length * 2);
    this.#list[this.length++] = row;
  }

  /** @internal Adds the rows below `end` whose mask has a bit, without some. */
  pushMasked(masks: Uint32Array, bit: number, end: number, without: Rows): void {
    if (this.#list.length < end) this.#list = grown(this.#list, capacityFor(end));
    const list = this.#list;
    let { length } = this;
    let row = 0;
    for (let place = 0; place <= without.length; place++) {
      const stop = place < without.length ? Math.min(without.at(place), end) : end;
      // Without a branch: a row that does not count is written over by the next.
      for (; row < stop; row++) {
        list[length] = row;
        length += (masks[row] >>> bit) & 1;
      }
      row++;
    }
    this.length = length;
  }

  /** @internal Becomes all rows below `count`. */
  setFirst(count: number): void {
    this.length = count;
    this.isAll = true;
  }

  /** @internal */
  sort(): void {
    this.#list.subarray(0, this.length).sort();
  }

  /** @internal Becomes the rows that are in one of two sets without a row in common. */
  setUnion(a: Rows, b: Rows): void {
    this.clear();
    let next = 0;
    for (let place = 0; place < a.length; place++) {
      const row = a.at(place);
      while (next < b.length && b.at(next) < row) this.push(b.at(next++));
      this.push(row);
    }
    while (next < b.length) this.push(b.at(next++));
  }
}

/** Looks rows up in a set, in ascending order. */
export class Cursor {
  place = 0;
  readonly rows: Rows;

  constructor(rows: Rows) {
    this.rows = rows;
  }

  /** Whether a row, not before the last one, is there: at `place`. */
  finds(row: number): boolean {
    const { rows } = this;
    while (this.place < rows.length && rows.at(this.place) < row) this.place++;
    return this.place < rows.length && rows.at(this.place) === row;
  }
}

const BEYOND = "a row beyond the view's";

/** Reads a set of rows below `high`. Gives false if all that are meant are, which it does not name. */
export function readRows(reader: Reader, high: number, rows: Rows): boolean {
  rows.clear();
  const mode = reader.u8();
  if (mode === 0) return false;
  if (mode === 1) readBits(reader, high, rows);
  else if ((mode & 3) === 2) readGaps(reader, high, rows, mode >> 2);
  else if (mode === 3) readRuns(reader, high, rows);
  else throw reader.invalid("an unknown form of rows");
  return true;
}

/** One bit for each row. */
function readBits(reader: Reader, high: number, rows: Rows): void {
  const count = Math.ceil(high / 8);
  const at = reader.take(count);
  for (let index = 0; index < count; index++) {
    for (let bits = reader.bytes[at + index]; bits !== 0; bits &= bits - 1) {
      const row = index * 8 + 31 - Math.clz32(bits & -bits);
      if (row >= high) throw reader.invalid(BEYOND);
      rows.push(row);
    }
  }
}

/** Distances, Rice-coded: the quotient by 2^k in ones and a zero, then k bits. */
function readGaps(reader: Reader, high: number, rows: Rows, k: number): void {
  if (k > 32) throw reader.invalid("rows coded with too many bits");
  const count = reader.bounded(high, "more rows than the view has");
  const { bytes, at } = reader;
  const end = bytes.length * 8;
  let bit = at * 8;
  let next = 0;
  for (let index = 0; index < count; index++) {
    let ones = 0;
    // Ones end: beyond the end there are zeros.
    while ((bytes[bit >>> 3] >>> (bit & 7)) & 1) {
      ones++;
      bit++;
    }
    const row = next + ones * 2 ** k + bitsAt(bytes, bit + 1, k);
    bit += 1 + k;
    if (row >= high || bit > end) throw reader.invalid(BEYOND);
    rows.push(row);
    next = row + 1;
  }
  reader.take(Math.ceil(bit / 8) - at);
}

/** Runs of neighbours. */
function readRuns(reader: Reader, high: number, rows: Rows): void {
  let next = 0;
  for (let runs = reader.bounded(high, "more runs than the view has rows"); runs > 0; runs--) {
    const start = next + reader.bounded(high - next, BEYOND);
    const end = start + 1 + reader.bounded(high, BEYOND);
    if (end > high) throw reader.invalid(BEYOND);
    for (let row = start; row < end; row++) rows.push(row);
    next = end;
  }
}
