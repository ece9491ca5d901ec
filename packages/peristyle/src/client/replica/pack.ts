/**
 * Columns of differences, as they lie in a frame.
 *
 * Reading checks a column and passes over it; the differences are taken out of the frame's bytes when the frame is taken in.
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
  count = 0;

  /** Finds a column of `count` differences of `bits` bits. */
  read(reader: Reader, count: number, bits: 32 | 64): void {
    this.count = count;
    if (count === 0) return;
    const head = reader.u8();
    this.#form = head >> 6;
    this.#width = head & 63;
    this.#shift = this.#lo = this.#hi = 0;
    if (this.#form === RUNS && this.#width === 0) return this.#readRuns(reader);
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
    if (this.#width + this.#shift > bits) throw reader.invalid("a column of more bits than its values have");
    this.#at = reader.take(Math.ceil((count * this.#width) / 8));
  }

  #readRuns(reader: Reader): void {
    this.#at = reader.at;
    for (let rows = 0; rows < this.count; ) {
      reader.signed();
      rows += 1 + reader.bounded(this.count - rows - 1, "a run beyond the column");
    }
  }

  /** Takes the differences out of the frame, 32 bits each. */
  unpack(reader: Reader, out: Int32Array): void {
    if (this.#form === RUNS) return this.#unpackRuns(reader, out, false);
    const { count } = this;
    const { bytes, view } = reader;
    const width = this.#width;
    const shift = this.#shift;
    const least = this.#lo | 0;
    const at = this.#at;
    if (width === 0) {
      out.fill(least, 0, count);
    } else if (width === 8) {
      for (let i = 0; i < count; i++) out[i] = (bytes[at + i] << shift) + least;
    } else if (width === 16) {
      for (let i = 0; i < count; i++) out[i] = (view.getUint16(at + 2 * i, true) << shift) + least;
    } else if (width === 32) {
      for (let i = 0; i < count; i++) out[i] = view.getInt32(at + 4 * i, true) + least;
    } else {
      const first = at * 8;
      // Those of which the four bytes that they begin in lie in the message.
      const mask = (1 << width) - 1;
      let bit = first;
      let i = 0;
      if (width <= 25) {
        const end = Math.min(count, Math.floor((bytes.length * 8 - 32 - first) / width));
        for (; i < end; i++, bit += width) {
          out[i] = (((view.getInt32(bit >>> 3, true) >>> (bit & 7)) & mask) << shift) + least;
        }
      }
      for (; i < count; i++, bit += width) out[i] = (bitsAt(bytes, bit, width) << shift) + least;
    }
  }

  /** Takes the differences out of the frame, each as two halves, the low one first. */
  unpackWide(reader: Reader, out: Int32Array): void {
    if (this.#form === RUNS) return this.#unpackRuns(reader, out, true);
    const { bytes, view } = reader;
    const width = this.#width;
    const shift = this.#shift;
    const lowWidth = Math.min(width, 32);
    for (let i = 0; i < this.count; i++) {
      let lo: number;
      let hi: number;
      if (width === 64) {
        lo = view.getUint32(this.#at + 8 * i, true);
        hi = view.getInt32(this.#at + 8 * i + 4, true);
      } else {
        const bit = this.#at * 8 + i * width;
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

  #unpackRuns({ bytes }: Reader, out: Int32Array, isWide: boolean): void {
    const reader = new Reader(bytes);
    reader.at = this.#at;
    for (let i = 0; i < this.count; ) {
      reader.signed();
      const { lo, hi } = reader;
      for (const end = i + 1 + reader.varint(); i < end; i++) {
        if (isWide) {
          out[2 * i] = lo;
          out[2 * i + 1] = hi;
        } else {
          out[i] = lo;
        }
      }
    }
  }
}
