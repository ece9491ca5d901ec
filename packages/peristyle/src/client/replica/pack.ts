/**
 * Columns of differences, as they lie in a frame.
 *
 * Reading checks a column and passes over it; the differences are taken out of the frame's bytes when the frame is
 * taken in.
 */
import { Reader, bitsAt } from "./bytes.js";

const RANGE = 0;
const BITS = 1;
const RUNS = 2;

/** A column in a frame. Kept and used again for the next. */
export class Packed {
  #form = RANGE;
  /** Bits of a code. */
  #width = 0;
  #shift = 0;
  /** What is added to each code. */
  #lo = 0;
  #hi = 0;
  #at = 0;
  /** Where the next run lies, and what is left of this one. */
  #run: Reader | undefined;
  #runLeft = 0;

  /** Words of 32 bits that a difference has. */
  readonly words: 1 | 2;

  constructor(words: 1 | 2) {
    this.words = words;
  }

  /** Finds a column of `count` differences. */
  read(reader: Reader, count: number): void {
    if (count === 0) return;
    const head = reader.u8();
    this.#form = head >> 6;
    this.#width = head & 63;
    this.#shift = this.#lo = this.#hi = 0;
    if (this.#form === RUNS && this.#width === 0) return this.#readRuns(reader, count);
    if (this.#form === BITS) {
      const shift = reader.u8();
      if (shift & 0x80) this.#width = 64;
      this.#shift = shift & 0x7f;
    } else if (this.#form === RANGE) {
      reader.signed();
      this.#lo = reader.lo;
      this.#hi = reader.hi;
    } else {
      throw reader.invalid("an unknown form of column");
    }
    if (this.#width + this.#shift > this.words * 32) throw reader.invalid("a column of more bits than its values have");
    this.#at = reader.take(Math.ceil((count * this.#width) / 8));
  }

  #readRuns(reader: Reader, count: number): void {
    this.#at = reader.at;
    for (let rows = 0; rows < count;) {
      reader.signed();
      rows += 1 + reader.bounded(count - rows - 1, "a run beyond the column");
    }
  }

  /**
   * Takes `count` differences from the `first` on out of the frame; those of two words with the low one first. Whoever
   * takes them in parts takes them in order, each part but the last being a multiple of eight.
   */
  unpack(reader: Reader, out: Int32Array, first: number, count: number): void {
    if (this.#form === RUNS) this.#unpackRuns(reader, out, first, count);
    else if (this.words === 1) this.#unpackNarrow(reader, out, first, count);
    else this.#unpackWide(reader, out, first, count);
  }

  #unpackNarrow({ bytes, view }: Reader, out: Int32Array, first: number, count: number): void {
    const width = this.#width;
    const shift = this.#shift;
    const least = this.#lo | 0;
    // A whole number of bytes, as `first` is a multiple of eight.
    const at = (this.#at + ((first * width) >>> 3)) | 0;
    // Values of which the four bytes that they begin in lie in the message.
    let done = width === 0 || width > 25 ? 0 : Math.min(count, (((bytes.length - at - 4) * 8) / width) | 0);
    if (done < 0) done = 0;
    if (width < 9) unpackShort(view, at, width, shift, least, out, (done &= ~3));
    else unpackLong(view, at, width, shift, least, out, done);
    for (; done < count; done++) out[done] = (bitsAt(bytes, at * 8 + done * width, width) << shift) + least;
  }

  #unpackWide({ bytes, view }: Reader, out: Int32Array, first: number, count: number): void {
    const width = this.#width;
    const shift = this.#shift;
    const lowWidth = Math.min(width, 32);
    for (let i = 0; i < count; i++) {
      let lo: number;
      let hi: number;
      if (width === 64) {
        const at = this.#at + 8 * (first + i);
        lo = view.getUint32(at, true);
        hi = view.getInt32(at + 4, true);
      } else {
        const bit = this.#at * 8 + (first + i) * width;
        lo = bitsAt(bytes, bit, lowWidth) >>> 0;
        hi = bitsAt(bytes, bit + 32, width - lowWidth);
        if (shift >= 32) {
          hi = lo << (shift - 32);
          lo = 0;
        } else if (shift > 0) {
          hi = (hi << shift) | (lo >>> (32 - shift));
          lo = (lo << shift) >>> 0;
        }
        lo += this.#lo;
        hi += this.#hi + (lo >= 2 ** 32 ? 1 : 0);
      }
      out[2 * i] = lo;
      out[2 * i + 1] = hi;
    }
  }

  #unpackRuns({ bytes }: Reader, out: Int32Array, first: number, count: number): void {
    const { words } = this;
    if (first === 0) {
      this.#run = new Reader(bytes);
      this.#run.at = this.#at;
      this.#runLeft = 0;
    }
    const run = this.#run as Reader;
    for (let i = 0; i < count; i++) {
      if (this.#runLeft === 0) {
        run.signed();
        [this.#lo, this.#hi] = [run.lo, run.hi];
        this.#runLeft = run.varint() + 1;
      }
      this.#runLeft--;
      out[words * i] = this.#lo;
      if (words === 2) out[2 * i + 1] = this.#hi;
    }
  }
}

// Loops of their own, of whole numbers of 32 bits alone: as engines make them fast.

/** Values of at most eight bits, four of which lie in four bytes: a load for four, of which there is a whole number. */
function unpackShort(
  view: DataView,
  at: number,
  width: number,
  shift: number,
  least: number,
  out: Int32Array,
  count: number,
): void {
  const mask = (1 << width) - 1;
  for (let i = 0, bit = 0; i < count; bit = (bit + 4 * width) | 0) {
    const codes = view.getInt32(at + (bit >>> 3), true) >>> (bit & 7);
    out[i++] = ((codes & mask) << shift) + least;
    out[i++] = (((codes >>> width) & mask) << shift) + least;
    out[i++] = (((codes >>> (2 * width)) & mask) << shift) + least;
    out[i++] = (((codes >>> (3 * width)) & mask) << shift) + least;
  }
}

/** Values of at most 25 bits, each of which lies in four bytes. */
function unpackLong(
  view: DataView,
  at: number,
  width: number,
  shift: number,
  least: number,
  out: Int32Array,
  count: number,
): void {
  const mask = (1 << width) - 1;
  for (let i = 0, bit = 0; i < count; i++, bit = (bit + width) | 0) {
    const code = (view.getInt32(at + (bit >>> 3), true) >>> (bit & 7)) & mask;
    out[i] = ((code << shift) + least) | 0;
  }
}
