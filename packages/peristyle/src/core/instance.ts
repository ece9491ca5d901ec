/**
 * A core at work: functions on a memory, with views that follow it as it grows.
 *
 * # Rules
 * - Views are made when they are asked for and the last ones do not do: a plain memory's are empty after it grew, a shared
 *   one's are too short.
 * - A core that broke off throws the same error for ever.
 */

import { CoreError } from "../errors.js";
import { ABI_HASH, type Abi, guarded, HEADER, STATUS } from "./abi.js";
import type { Core, CoreBuild } from "./core.js";
import { failure } from "./failure.js";

/** Words of the header. */
const HEADER_WORDS = Object.keys(HEADER).length;
/** What {@link HEADER}`.broken` is when the heap was used up. */
const EXHAUSTED = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A core, however it was made. */
export class CoreInstance implements Core {
  readonly abi: Abi;
  readonly build: CoreBuild;
  readonly reason: string;
  readonly isShared: boolean;
  readonly memory: WebAssembly.Memory;
  readonly #headerAt: number;
  #generation = 0;
  #header: Uint32Array;
  #u32: Uint32Array;
  #f64: Float64Array;
  #u8: Uint8Array;
  #broken: CoreError | undefined;

  /** Wraps functions on a memory, after whoever made them started them. Throws if they are of another version. */
  constructor(raw: Abi, memory: WebAssembly.Memory, build: CoreBuild, reason: string) {
    this.build = build;
    this.reason = reason;
    this.memory = memory;
    this.isShared = typeof SharedArrayBuffer === "function" && memory.buffer instanceof SharedArrayBuffer;
    this.abi = guarded(raw, (cause) => {
      throw (this.#broken ??= this.#why(cause));
    });
    const hash = raw.abi_hash();
    if (hash !== ABI_HASH) {
      throw new CoreError(
        "core-mismatch",
        `the core is of another version than the package (${hash.toString(16)} instead of ${ABI_HASH.toString(16)}): ` +
          "install both anew, and keep a bundler from mixing versions",
      );
    }
    this.#headerAt = raw.header();
    this.#u8 = new Uint8Array(0);
    this.#u32 = this.#header = new Uint32Array(0);
    this.#f64 = new Float64Array(0);
    this.#look();
    this.#generation = 0;
  }

  get buffer(): ArrayBufferLike {
    return this.memory.buffer;
  }

  get generation(): number {
    if (this.#header.length === 0) this.#look();
    return this.#generation;
  }

  /** Makes views of the memory as it is now. */
  #look(): void {
    const { buffer } = this.memory;
    this.#u8 = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#f64 = new Float64Array(buffer);
    if (this.#header.length === 0) {
      this.#header = new Uint32Array(buffer, this.#headerAt, HEADER_WORDS);
      this.#generation++;
    }
  }

  /** Sees to it that views reach to `end`. */
  #reach(end: number): void {
    if (this.#u8.length < end || this.#u8.length === 0) this.#look();
  }

  u32(): Uint32Array {
    this.#reach(this.memory.buffer.byteLength);
    return this.#u32;
  }

  f64(): Float64Array {
    this.#reach(this.memory.buffer.byteLength);
    return this.#f64;
  }

  u8(): Uint8Array {
    this.#reach(this.memory.buffer.byteLength);
    return this.#u8;
  }

  header(word: number): number {
    if (this.#header.length === 0) this.#look();
    return this.#header[word];
  }

  allocate(bytes: number): number {
    return this.check(this.abi.allocate(bytes));
  }

  release(offset: number): void {
    this.check(this.abi.release(offset));
  }

  entities(): number {
    return this.check(this.abi.entity_records());
  }

  scratch(bytes = 0): number {
    const fits = bytes <= this.header(HEADER.scratchBytes);
    const at = fits ? this.header(HEADER.scratch) : this.check(this.abi.scratch(bytes));
    this.#reach(at + this.header(HEADER.scratchBytes));
    return at;
  }

  writeText(text: string): number {
    // No character takes more than three bytes for each unit of UTF-16.
    const at = this.scratch(text.length * 3);
    if (!this.isShared) return encoder.encodeInto(text, this.#u8.subarray(at)).written;
    // What is shared cannot be encoded into.
    const bytes = encoder.encode(text);
    this.#u8.set(bytes, at);
    return bytes.length;
  }

  readText(bytes: number): string {
    return this.#text(this.scratch(bytes), bytes);
  }

  /** Text anywhere in the memory. What is shared cannot be decoded as it lies. */
  #text(at: number, bytes: number): string {
    this.#reach(at + bytes);
    return decoder.decode(this.#u8.slice(at, at + bytes));
  }

  writeWords(words: ArrayLike<number>): number {
    const at = this.scratch(words.length * 4);
    this.#u32.set(words, at / 4);
    return words.length;
  }

  readWords(count: number): Uint32Array {
    const at = this.scratch(count * 4) / 4;
    return this.#u32.slice(at, at + count);
  }

  writeNumbers(numbers: ArrayLike<number>): number {
    const at = this.scratch(numbers.length * 8);
    this.#f64.set(numbers, at / 8);
    return numbers.length;
  }

  readNumbers(count: number): Float64Array {
    const at = this.scratch(count * 8) / 8;
    return this.#f64.slice(at, at + count);
  }

  check(result: number): number {
    if (result >= 0) return result;
    const status = STATUS[-result];
    if (status === undefined || status === "ok") throw new CoreError("core-refused", `the core gave ${result}`);
    throw failure(status, this.#message());
  }

  #message(): string {
    return this.#text(this.header(HEADER.errorText), this.header(HEADER.errorBytes));
  }

  /** Why the core broke off. */
  #why(cause: unknown): CoreError {
    const broken = this.header(HEADER.broken);
    if (broken === EXHAUSTED) {
      const message = "the memory is used up, and the world cannot go on: give it more by `maxBytes`, or make a new one";
      return new CoreError("memory-exhausted", message, { cause });
    }
    const why = broken === 0 ? (cause instanceof Error ? cause.message : String(cause)) : this.#message();
    return new CoreError("core-trap", `the core broke off, and the world cannot go on: ${why}`, { cause });
  }
}
