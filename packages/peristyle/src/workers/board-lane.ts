/**
 * A lane at the board: takes ranges of open slots and calls their jobs. The caller's thread and the workers are the
 * same here; they differ in how they wait, and in where their results go.
 */
import {
  CARRIED,
  DONE,
  FAILED,
  HEADER,
  LANE,
  LIST,
  SLOT,
  finishRange,
  laneAt,
  slotAt,
  takeOrphan,
  takeRange,
  type Slot,
} from "./board.js";
import { fromBytes, freezeAll, type Decode } from "./carry.js";
import type { Bytes, Values } from "./input.js";
import { isFailure, type Jobs, type Outcome } from "./jobs.js";

/** Where results of ranges go; called before the range counts as over. */
export type Deliver = (serial: number, range: number, outcome: Exclude<Outcome, undefined>) => void;

/** When a range ran, in milliseconds of the epoch. */
export type Record = (serial: number, range: number, start: number, end: number) => void;

interface Visit extends Slot {
  readonly serial: number;
  readonly words: Uint32Array;
  readonly arenaBytes: Uint8Array;
}

/** What a lane knows of an arena. */
interface Arena {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
}

/** Milliseconds to wait for a memory that another thread has grown to be seen here. */
const GROWTH_MS = 1000;

export class BoardLane {
  readonly jobs: Jobs;
  /** Called with results. */
  deliver: Deliver = () => {};
  /** Called when the last range of a slot is over, or a closed slot was left. */
  ring: () => void = () => {};
  record: Record | undefined;
  /** Whether there is an arena, a job or a value that was announced and is not known here yet. */
  isBehind: () => boolean = () => false;
  /** Ranges whose jobs have not settled yet. */
  pending = 0;
  /** Whether the visit that is under way finished its slot's last range. */
  #isLast = false;
  readonly #board: Int32Array;
  readonly #times: Float64Array;
  readonly #lane: number;
  readonly #memory: { readonly buffer: ArrayBufferLike };
  readonly #arenas: Arena[] = [];
  readonly #decode: Decode | undefined;
  /** Values that came by message, by version. */
  readonly #messages = new Map<number, unknown>();
  /** The last `extra` of each job. */
  readonly #extras = new Map<number, { version: number; value: unknown }>();
  #ints: Int32Array;
  #bytes: { -readonly [K in keyof Bytes]: Bytes[K] };

  constructor(
    lane: number,
    jobs: Jobs,
    board: SharedArrayBuffer,
    memory: { readonly buffer: ArrayBufferLike },
    decode?: Decode,
  ) {
    this.jobs = jobs;
    this.#lane = lane;
    this.#board = new Int32Array(board);
    this.#times = new Float64Array(board);
    this.#memory = memory;
    this.#decode = decode;
    const { buffer } = memory;
    this.#ints = new Int32Array(buffer);
    this.#bytes = { buffer, words: new Uint32Array(buffer), isShared: true, entities: 0, areRows: false };
  }

  addArena(buffer: SharedArrayBuffer): void {
    this.#arenas.push({ words: new Int32Array(buffer), bytes: new Uint8Array(buffer) });
  }

  /** Keeps a value that came by message; those of leases before are forgotten. */
  carry(version: number, value: unknown, oldest: number): void {
    for (const known of this.#messages.keys()) if (known < oldest) this.#messages.delete(known);
    this.#messages.set(version, value);
  }

  /** Forgets what it keeps for a job. */
  forget(job: number): void {
    this.#extras.delete(job);
  }

  /** Visits all open slots. Gives whether there was anything to do. */
  look(): boolean {
    const slots = Atomics.load(this.#board, HEADER.slots);
    let did = false;
    for (let slot = 0; slot < slots; slot++) {
      const at = slotAt(slot);
      if (Atomics.load(this.#board, at + SLOT.open) !== 0 && this.visit(slot)) did = true;
    }
    return did;
  }

  /**
   * Takes ranges of a slot until there are none. Gives whether there were any.
   *
   * With `orphans` it takes those, too, that the cursor is past and that nobody has claimed: of a worker that died.
   */
  visit(slot: number, orphans = false): boolean {
    const board = this.#board;
    const at = slotAt(slot);
    const inside = laneAt(this.#lane) + LANE.inside;
    Atomics.store(board, inside, slot + 1);
    // Who closes a slot looks at `inside` after it; so either this sees that it is closed, or that one sees this.
    // What a lease needs is announced before it is opened: looked at after that, it is known whether all of it is here.
    let did = false;
    try {
      if (Atomics.load(board, at + SLOT.open) !== 0 && !this.isBehind()) did = this.#takeAll(at, orphans);
    } finally {
      Atomics.store(board, inside, 0);
    }
    // After it left: the caller that is woken would find it inside, and wait again.
    if (this.#isLast || Atomics.load(board, at + SLOT.open) === 0) this.ring();
    this.#isLast = false;
    return did;
  }

  #takeAll(at: number, orphans: boolean): boolean {
    const board = this.#board;
    const list = board[at + SLOT.list];
    const count = board[at + SLOT.count];
    this.#reach(board[at + SLOT.memory] * 8);
    const first = list >> 2;
    // Late ones leave without making anything.
    if (!orphans && Atomics.load(this.#ints, first + LIST.cursor) >= count) return false;
    const arena = this.#arenas[board[at + SLOT.arena]];
    const visit: Visit = {
      memory: this.#ints,
      words: this.#bytes.words,
      list: first,
      count,
      arena: arena.words,
      arenaBytes: arena.bytes,
      owners: board[at + SLOT.owners] >> 2,
      serial: board[at + SLOT.serial],
    };
    const job = board[at + SLOT.job];
    const dt = this.#times[(at + SLOT.times) >> 1];
    const time = this.#times[((at + SLOT.times) >> 1) + 1];
    const hasValues = board[at + SLOT.values] !== 0;
    const start = (range: number): Outcome | Promise<Outcome> => {
      try {
        const extra = this.#extra(at, job, arena);
        const values = hasValues ? this.#values(visit, range) : undefined;
        const descriptor = visit.words[first + LIST.descriptors + range];
        this.#bytes.entities = board[at + SLOT.entities];
        return this.jobs.call(job, this.#bytes, descriptor, dt, time, extra, values);
      } catch (error) {
        return { code: "job-threw", message: `a range could not be run: ${(error as Error).message}` };
      }
    };
    const next = orphans ? takeOrphan : takeRange;
    let did = false;
    for (let range = next(visit, this.#lane); range >= 0; range = next(visit, this.#lane)) {
      did = true;
      const begun = this.record ? now() : 0;
      const outcome = start(range);
      if (outcome instanceof Promise) {
        this.pending++;
        void outcome.then((outcome) => {
          this.pending--;
          if (this.#finish(visit, range, outcome, begun)) this.ring();
        });
      } else if (this.#finish(visit, range, outcome, begun)) this.#isLast = true;
    }
    return did;
  }

  /** Gives whether the slot's last range is over. */
  #finish(visit: Visit, range: number, outcome: Outcome, begun: number): boolean {
    this.record?.(visit.serial, range, begun, now());
    if (outcome !== undefined) this.deliver(visit.serial, range, outcome);
    const how = outcome !== undefined && isFailure(outcome) ? FAILED : DONE;
    return finishRange(visit, range, this.#lane, how);
  }

  #extra(at: number, job: number, arena: Arena): unknown {
    const board = this.#board;
    const kind = board[at + SLOT.extra];
    if (kind === CARRIED.nothing) return undefined;
    const version = board[at + SLOT.extraVersion];
    const known = this.#extras.get(job);
    if (known?.version === version) return known.value;
    const value = this.#value(kind, board[at + SLOT.extraOffset], board[at + SLOT.extraBytes], version, arena.bytes);
    this.#extras.set(job, { version, value: freezeAll(value) });
    return value;
  }

  #values({ arena, arenaBytes, owners, count }: Visit, range: number): Values {
    const at = owners + count + range * 3;
    return this.#value(arena[at], arena[at + 1], arena[at + 2], arena[at + 1], arenaBytes) as Values;
  }

  #value(kind: number, offset: number, bytes: number, version: number, arena: Uint8Array): unknown {
    if (kind === CARRIED.message) return this.#messages.get(version);
    return fromBytes(kind, arena.subarray(offset, offset + bytes), this.#decode);
  }

  /** Makes the views reach to an offset: another thread may have grown the memory. */
  #reach(end: number): void {
    if (end <= this.#bytes.buffer.byteLength) return;
    const until = now() + GROWTH_MS;
    // Growth by another thread is seen at a turn of a loop, not at once.
    let { buffer } = this.#memory;
    while (buffer.byteLength < end && now() < until) ({ buffer } = this.#memory);
    this.#ints = new Int32Array(buffer);
    this.#bytes = { ...this.#bytes, buffer, words: new Uint32Array(buffer) };
  }
}

/** Milliseconds of the epoch, which all threads share. */
export const now = (): number => performance.timeOrigin + performance.now();
