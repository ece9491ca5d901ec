/**
 * The lanes of one world: its workers and the caller's own thread, which run the ranges of leases together.
 *
 * A lease is a *range list* in the world's memory: `[cursor, count, done, failed, descriptor offset x count]`, all
 * `u32`. `run` puts all leases that are ready on the board at once; every lane takes ranges by the cursor, the caller's
 * thread too, so what no worker has started is taken back without being asked for.
 *
 * # Rules
 * - A lane never touches a list after `run` has told its result.
 * - A range that fails, or whose worker died, fails alone: its position is told, what it wrote stays, and the rest of
 *   the lease goes on.
 * - Results are in order of ranges, whoever ran them.
 */
import type { JobError } from "../errors.js";
import type { Patch } from "../snapshot/patch.js";
import type { Fields } from "../world/fields.js";
import type { ResourceLimits } from "./thread.js";

/** How columns reach the workers: as one memory, moved there and back in a buffer, or not at all (no workers). */
export type Way = "shared" | "transferred" | "local";

/** What lanes need of a core. Offsets are bytes from the start of its memory. */
export interface LaneMemory {
  /** The linear memory; kernels import it. */
  readonly memory: WebAssembly.Memory;
  /** Its bytes now. A memory that is not shared has another buffer after it grew. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  readonly isShared: boolean;
  /** Why it is shared, or is not. */
  readonly reason: string;
  /** Allocates zeroed bytes, aligned to 64, for stacks and data of kernels. Throws a `CoreError` if there are none. */
  allocate(bytes: number): number;
  /** Gives back what `allocate` gave. */
  release(offset: number, bytes: number): void;
  /** Where the 8-byte records of all entity indices lie; an entity's generation is in bits 44 to 63 of its record. */
  entities(): number;
}

/** Where a job's code is. */
export type JobSource =
  /** A module that exports `handle` or a default function. */
  | { readonly kind: "module"; readonly url: string | URL }
  /** A function of this thread: never leaves it. */
  | { readonly kind: "function"; readonly name: string; readonly handle: JobFunction }
  /** A WebAssembly module that imports the memory and exports `handle(descriptor)`. */
  | { readonly kind: "kernel"; readonly name: string; readonly module: string | URL | BufferSource }
  /** One of `browserWorkers`: a page's own worker, which takes `event.data` and posts its answer. */
  | { readonly kind: "worker"; readonly name: string };

/** What a job is called with; see `JobInput`. */
export type JobFunction = (input: never) => unknown;

/** What a job sees of a component or resource. Columns of a descriptor are in the order of `fields`. */
export interface GroupShape {
  /** The component's id; of a resource, its position. */
  readonly id: number;
  readonly name: string;
  /** Its fields; none of a component that holds objects, whose values are in {@link LeaseTask.values}. */
  readonly fields?: Fields | undefined;
}

/** What a job is called on: the same for every call. */
export interface JobShape {
  readonly components: readonly GroupShape[];
  readonly resources?: readonly GroupShape[];
  /** Ids of components that it may patch, as it sees them in `writes`. */
  readonly writes: readonly number[];
  /**
   * Whether it works in place. A page's own worker gets `snap` then; otherwise `eids` and `cols` too. Others make those
   * when they are touched.
   */
  readonly inPlace?: boolean;
}

/** A job that is loaded, with its shape. */
export type JobId = number & { readonly __job: unique symbol };

/** One lease to run. */
export interface LeaseTask {
  readonly job: JobId;
  /** Offset of the range list. */
  readonly list: number;
  readonly dt: number;
  readonly time: number;
  /** What the job sees as `extra`: crosses once. */
  readonly extra?: unknown;
  /** Values of components without fields, by id, of the rows of a range. Asked once for each range. */
  readonly values?: (range: number) => Readonly<Record<number, readonly unknown[]>>;
  /** Who may run it: all lanes unless told, workers only (while there are any), or the caller's thread only. */
  readonly place?: "any" | "workers" | "caller";
  /** Milliseconds after which the workers that still run it are ended. */
  readonly deadline?: number;
}

/** When a range ran: milliseconds of the caller's `performance.now()`. Lane 0 is the caller's thread. */
export interface Span {
  readonly lane: number;
  readonly range: number;
  readonly start: number;
  readonly end: number;
}

/** How a lease went. */
export interface LeaseResult {
  /** In order of ranges, and as each returned them. */
  readonly patches: readonly Patch[];
  /** Of the first range that failed. */
  readonly failure?: JobError;
  /** Positions of the ranges that failed. */
  readonly failed: readonly number[];
  /** How many ranges there were. */
  readonly ranges: number;
  /** Bytes that were copied to move columns. */
  readonly copied: number;
  /** One for each range, if `LanesOptions.spans` asks for them. */
  readonly spans: readonly Span[];
}

/** The workers of one world. */
export interface Lanes {
  /** Worker lanes, without the caller's own. */
  readonly size: number;
  readonly way: Way;
  /** Why this way. */
  readonly reason: string;
  /** Resolves once all workers take part; nothing needs to wait for it. */
  readonly ready: Promise<void>;
  /** Whether any worker takes part now. */
  readonly hasWorkers: boolean;
  /**
   * Loads a job in every lane.
   * @throws {JobError} if its module does not load (`job-load`) or exports no handler (`job-handle`).
   */
  load(source: JobSource, shape: JobShape): Promise<JobId>;
  /** Forgets a job in every lane. No lease of it may run. The module that it was loaded from stays with the engine. */
  unload(job: JobId): void;
  /** Runs leases, all in one dispatch. Never rejects for what a job did: see {@link LeaseResult.failure}. */
  run(leases: readonly LeaseTask[]): Promise<LeaseResult[]>;
  /** Ends the workers, after what they run. */
  close(): Promise<void>;
}

/** How lanes are made. */
export interface LanesOptions {
  /** Workers beside the caller's thread: cores - 1 and at least 1 unless told; 0 for none. */
  readonly size?: number;
  /** Makes the workers that jobs name, in pages. */
  readonly browserWorkers?: Readonly<Record<string, () => Worker>>;
  /**
   * Milliseconds that one of `browserWorkers` has to answer that holds no lock, by which alone a page learns that a worker
   * ended by itself: one that did not import `markChanged`. 30 000; `Infinity` to wait for ever. A system's `deadline` goes
   * before it.
   */
  readonly silence?: number;
  /** Workers kept started to replace those that die. 1. */
  readonly spares?: number;
  /** Makes the workers of a page whose policy forbids workers made of text: of the package's `dist/worker.js`. */
  readonly worker?: () => Worker;
  /** Bounds of a Node worker's own heap. */
  readonly limits?: ResourceLimits;
  /** Records when each range ran. */
  readonly spans?: boolean;
}
