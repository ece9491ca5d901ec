/**
 * The core of a world: its functions, and the memory that its columns lie in.
 *
 * Everything here is for the layers above (world, scheduler, workers); users see `World`. Functions of {@link Abi} return
 * numbers; {@link Core.check} turns a negative one into an error. Views are made of {@link Core.buffer}: when the memory
 * grows, a plain memory's views are empty and must be made again ({@link Core.generation} says so), those of a shared one
 * stay as they are.
 */

import type { Abi } from "./abi.js";

/** Which build of the core a world is on. */
export type CoreBuild = "shared" | "plain" | "native";

/** What a world's core is told. */
export interface CoreOptions {
  /** Which build to take. The best that the host can do, unless told; `shared` fails where memory cannot be shared. */
  readonly build?: "auto" | "shared" | "plain";
  /** Bytes that the memory may grow to: 4 GiB, or what the engine gives, unless told. */
  readonly maxBytes?: number;
}

/** Pages of 64 KiB that a memory begins with: what both builds are linked for. */
export const INITIAL_PAGES = 64;

/** One world's core. */
export interface Core {
  /** The functions. */
  readonly abi: Abi;
  /** Which build it is. */
  readonly build: CoreBuild;
  /** Why it is that build, for people. */
  readonly reason: string;
  /** Whether workers see the memory. */
  readonly isShared: boolean;
  /** The memory; workers are given it if it is shared. */
  readonly memory: WebAssembly.Memory;
  /** The memory's bytes as of now. */
  readonly buffer: ArrayBufferLike;
  /** Changes when views of {@link buffer} that were made before must be made again: of a plain memory, whenever it grows. */
  readonly generation: number;
  /** The whole memory as words, as of now. Not to be kept across calls. */
  u32(): Uint32Array;
  /** The whole memory as numbers, as of now. Not to be kept across calls. */
  f64(): Float64Array;
  /** The whole memory as bytes, as of now. Not to be kept across calls. */
  u8(): Uint8Array;
  /** A word of the header: an index of `HEADER`. */
  header(word: number): number;
  /** Offset of `bytes` zeroed bytes that stay where they are, 64-byte aligned. */
  allocate(bytes: number): number;
  /** Takes back what {@link allocate} gave. */
  release(offset: number, bytes?: number): void;
  /** Offset of the 8-byte records of all indices (generation in the upper 20 bits), 0 where they cannot be seen. */
  entities(): number;
  /** Offset of the scratch block, with room for `bytes` bytes. */
  scratch(bytes?: number): number;
  /** Writes text to the scratch block, and gives its bytes. */
  writeText(text: string): number;
  /** Reads text from the scratch block. */
  readText(bytes: number): string;
  /** Writes words to the scratch block, and gives how many. */
  writeWords(words: ArrayLike<number>): number;
  /** A copy of `count` words of the scratch block. */
  readWords(count: number): Uint32Array;
  /** Writes numbers, such as handles, to the scratch block, and gives how many. */
  writeNumbers(numbers: ArrayLike<number>): number;
  /** A copy of `count` numbers of the scratch block. */
  readNumbers(count: number): Float64Array;
  /** Gives a result back, or throws what a negative one stands for: `EntityError`, `ComponentError`, `ScheduleError`, `TickError`, `CoreError`. */
  check(result: number): number;
}

/** What was chosen, and why. */
export interface CoreInfo {
  readonly build: CoreBuild;
  readonly reason: string;
  /** The hash of the table of functions, which package and core agree on. */
  readonly hash: number;
}
