/**
 * Bytes in and out: little-endian numbers, varints, and streams of bits.
 *
 * A varint is LEB128, low bits first, at most ten bytes; signed ones are zigzagged. JavaScript has no fast 64-bit
 * integers, so a 64-bit number is read as two halves (`lo`, `hi`), and becomes a `number` where it must be below 2^53.
 */
import { FrameError } from "./error.js";

const TEXT = new TextDecoder("utf-8", { fatal: true });

/** Reads a message from its start to its end, and knows where it is. */
export class Reader {
  at = 0;
  /** The halves of the last 64-bit number. */
  lo = 0;
  hi = 0;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** The error that what lies here is not what the format has. */
  invalid(what: string, offset = this.at): FrameError {
    return new FrameError("invalid", `at byte ${offset} of the frame: ${what}`, offset);
  }

  /** Passes over bytes, and gives the place of the first. */
  take(count: number): number {
    const { at } = this;
    if (count > this.left) {
      const missing = count - this.left;
      throw new FrameError("truncated", `the frame ends ${missing} bytes too early, at byte ${at}`, at);
    }
    this.at = at + count;
    return at;
  }

  u8(): number {
    return this.bytes[this.take(1)];
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  f64(): number {
    return this.view.getFloat64(this.take(8), true);
  }

  /** Reads 64 bits into the halves. */
  u64(): void {
    const at = this.take(8);
    this.lo = this.view.getUint32(at, true);
    this.hi = this.view.getUint32(at + 4, true);
  }

  /** Reads a varint into the halves. */
  wide(): void {
    let lo = 0;
    let hi = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.u8();
      if (shift === 63 && byte > 1) break;
      const bits = byte & 0x7f;
      if (shift < 32) lo |= bits << shift;
      if (shift === 28) hi |= bits >>> 4;
      else if (shift > 28) hi |= bits << (shift - 32);
      if (byte < 0x80) {
        this.lo = lo >>> 0;
        this.hi = hi >>> 0;
        return;
      }
    }
    throw this.invalid("a varint of more than 64 bits");
  }

  /** Reads a zigzagged varint into the halves, of which the high one is signed. */
  signed(): void {
    this.wide();
    const { lo, hi } = this;
    const sign = -(lo & 1);
    this.lo = (((lo >>> 1) | (hi << 31)) ^ sign) >>> 0;
    this.hi = (hi >>> 1) ^ sign;
  }

  /** Reads a varint that a `number` holds. */
  varint(): number {
    const at = this.at;
    this.wide();
    if (this.hi > 0x1f_ffff) throw this.invalid("a number beyond 2^53", at);
    return this.hi * 2 ** 32 + this.lo;
  }

  /** Reads a varint that is at most `max`. */
  bounded(max: number, what: string): number {
    const at = this.at;
    this.wide();
    const value = this.hi * 2 ** 32 + this.lo;
    if (value > max) throw this.invalid(what, at);
    return value;
  }

  text(max: number): string {
    const length = this.bounded(max, "a longer text than is allowed");
    const at = this.take(length);
    try {
      return TEXT.decode(this.bytes.subarray(at, at + length));
    } catch {
      throw this.invalid("a text that is not UTF-8", at);
    }
  }
}

/** The `width` bits (at most 32) from a bit on, low ones first; zeros beyond the end. */
export function bitsAt(bytes: Uint8Array, bit: number, width: number): number {
  if (width === 0) return 0;
  // Up to 39 bits lie in these bytes.
  const at = Math.floor(bit / 8);
  const shift = bit - at * 8;
  let value = (bytes[at] ?? 0) >>> shift;
  for (let have = 8 - shift, next = at + 1; have < width; have += 8, next++) value |= (bytes[next] ?? 0) << have;
  return width === 32 ? value >>> 0 : value & ((1 << width) - 1);
}

/** A longer array with the same elements first. */
export function grown<T extends { set(from: T): void }>(from: T, length: number): T {
  const to = new (from.constructor as new (length: number) => T)(length);
  to.set(from);
  return to;
}

/** How long arrays are made that must hold so many: longer, so that growing row by row does not copy each time. */
export const capacityFor = (rows: number): number => Math.max(64, Math.ceil(rows * 1.25));

/** Writes a message. */
export class Writer {
  #bytes = new Uint8Array(64);
  #length = 0;

  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      this.#bytes = grown(this.#bytes, this.#length * 2);
    }
    return at;
  }

  put(...bytes: number[]): this {
    return this.bytes(bytes);
  }

  bytes(bytes: ArrayLike<number>): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  varint(value: number): this {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.put((value % 0x80) | 0x80);
    return this.put(value);
  }

  f64(value: number): this {
    const at = this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(at, value, true);
    return this;
  }

  text(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.varint(bytes.length).bytes(bytes);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** FNV-1a of 64 bits, in two halves. */
export class Fnv {
  lo = 0x8422_2325;
  hi = 0xcbf2_9ce4;

  /** Takes in 64 bits. */
  eat(lo: number, hi: number): void {
    const low = (this.lo ^ lo) >>> 0;
    const high = this.hi ^ hi;
    // By the prime 2^40 + 0x1b3.
    const product = low * 0x1b3;
    this.lo = product >>> 0;
    this.hi = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
  }

  /** Takes in 64 bits, and turns the hash by 23 bits: so that whole words are mixed. */
  eatWord(lo: number, hi: number): void {
    this.eat(lo, hi);
    const { lo: low, hi: high } = this;
    this.lo = ((low << 23) | (high >>> 9)) >>> 0;
    this.hi = ((high << 23) | (low >>> 9)) >>> 0;
  }

  get value(): bigint {
    return (BigInt(this.hi) << 32n) | BigInt(this.lo);
  }
}
