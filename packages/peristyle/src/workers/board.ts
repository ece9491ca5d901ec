/**
 * The board: shared memory on which leases are put, and by which workers are woken and take ranges.
 *
 * ```text
 * header | one record per lane | slots, one per lease that runs
 *
 * slot ──▶ list (in the world's memory): [cursor, count, done, failed, descriptors]
 *      └─▶ owners (in an arena): one word per range: 0 nobody, lane + 1 runs it, DONE, FAILED, LOST
 * ```
 *
 * A range is taken in two steps: the cursor gives its position, then its owner's word is claimed. So when a worker died
 * between the two, the range is found (the cursor is past it, nobody owns it) and anybody may claim it.
 *
 * # Rules
 * - Who looks at a slot's list says so before (`INSIDE`), and looks again whether the slot is open. Who closes a slot
 *   waits until nobody is inside. Both are sequentially consistent, so one of them sees the other.
 * - `done` reaches `count` only after each range was finished, lost or failed; then nobody touches the list any more.
 * - All words are read and written by Atomics, except those of a slot that are written before it is opened.
 */

/** Words of the header. */
export const HEADER = {
  /** Counts what workers should look at: they wait on it. */
  bell: 0,
  /** Workers that wait on the bell. */
  parked: 1,
  /** Counts what the caller should look at: it waits on it. */
  reply: 2,
  /** Whether the caller waits: 0 no, {@link CALLER_WAITS}, {@link CALLER_LISTENS}. */
  caller: 3,
  /** Slots that may be open are below this. */
  slots: 4,
  /** Not 0 once the lanes are closed. */
  closed: 5,
} as const;

/** The caller waits on `reply`. */
export const CALLER_WAITS = 1;
/** The caller cannot wait on memory, and listens for messages. */
export const CALLER_LISTENS = 2;

/** Words of a lane. */
export const LANE = {
  /** The slot that it is inside of, + 1; or 0. */
  inside: 0,
  /** Messages that were posted to it. */
  mail: 1,
  /** Messages that it posted. */
  posted: 2,
} as const;

/** Words of a slot. */
export const SLOT = {
  /** Whether it is open: 1 or 0. */
  open: 0,
  /** The job's number. */
  job: 1,
  /** Offset of the range list. */
  list: 2,
  /** Number of ranges. */
  count: 3,
  /** Which lease: counts up, so that answers to an older one are told apart. */
  serial: 4,
  /** Which arena its owners and texts lie in. */
  arena: 5,
  /** Offset of the owners in the arena; a pair (offset, bytes) per range follows if it has values. */
  owners: 6,
  /** Whether there are values. */
  values: 7,
  /** How `extra` crosses: see {@link CARRIED}. */
  extra: 8,
  extraOffset: 9,
  extraBytes: 10,
  /** Changes with the value. */
  extraVersion: 11,
  /** Offset of the records of entities. */
  entities: 12,
  /** How large the memory was when the slot was opened, in units of 8 bytes. */
  memory: 13,
  /** Where `dt` and `time` lie, as two f64. */
  times: 16,
} as const;

/** How a value crosses: not at all, as JSON, as bytes of Node's serializer, or in a message that came before. */
export const CARRIED = { nothing: 0, json: 1, clone: 2, message: 3 } as const;

/** Owner's words beside lanes. */
export const DONE = -1;
export const FAILED = -2;
export const LOST = -3;

/** Words of a range list. */
export const LIST = { cursor: 0, count: 1, done: 2, failed: 3, descriptors: 4 } as const;

const HEADER_WORDS = 16;
/** A cache line, so that lanes do not slow each other down. */
const LANE_WORDS = 16;
const SLOT_WORDS = 24;

/** Lanes at most, the caller's included. */
export const LANES_MAX = 65;
/** Leases that run at a time, at most; others wait for a slot. */
export const SLOTS = 128;

/** Offsets of words, in words. */
export const laneAt = (lane: number): number => HEADER_WORDS + lane * LANE_WORDS;
export const slotAt = (slot: number): number => HEADER_WORDS + LANES_MAX * LANE_WORDS + slot * SLOT_WORDS;

const BOARD_BYTES = slotAt(SLOTS) * 4;

/** Makes a board. */
export function createBoard(): SharedArrayBuffer {
  return new SharedArrayBuffer(BOARD_BYTES);
}

/** What is known of one lease, of a kind that any lane can make of the board. */
export interface Slot {
  /** Words of the memory in which the list lies. */
  readonly memory: Int32Array;
  /** Where the list is, in words. */
  readonly list: number;
  readonly count: number;
  /** Words of the arena in which the owners lie, and where they are. */
  readonly arena: Int32Array;
  readonly owners: number;
}

/** Takes a range of a slot for a lane, or -1 if there is none left. */
export function takeRange({ memory, list, count, arena, owners }: Slot, lane: number): number {
  // A look before, so that lanes that come late do not count the cursor up.
  while (Atomics.load(memory, list + LIST.cursor) < count) {
    const range = Atomics.add(memory, list + LIST.cursor, 1);
    if (range >= count) return -1;
    if (Atomics.compareExchange(arena, owners + range, 0, lane + 1) === 0) return range;
  }
  return -1;
}

/** Takes a range that the cursor is past and nobody has claimed, or -1 if there is none. */
export function takeOrphan({ memory, list, count, arena, owners }: Slot, lane: number): number {
  const end = Math.min(Atomics.load(memory, list + LIST.cursor), count);
  for (let range = 0; range < end; range++) {
    if (Atomics.compareExchange(arena, owners + range, 0, lane + 1) === 0) return range;
  }
  return -1;
}

/** Counts the ranges that a lane ran when it died as lost. Gives their positions. */
export function loseRanges({ memory, list, count, arena, owners }: Slot, lane: number): number[] {
  const lost: number[] = [];
  for (let range = 0; range < count; range++) {
    if (Atomics.compareExchange(arena, owners + range, lane + 1, LOST) !== lane + 1) continue;
    lost.push(range);
    Atomics.add(memory, list + LIST.failed, 1);
    Atomics.add(memory, list + LIST.done, 1);
  }
  return lost;
}

/** Says that a range is over. Gives whether it was the last one. Nothing happens if it counts as lost. */
export function finishRange(slot: Slot, range: number, lane: number, how: number): boolean {
  const { memory, list, count, arena, owners } = slot;
  if (Atomics.compareExchange(arena, owners + range, lane + 1, how) !== lane + 1) return false;
  if (how !== DONE) Atomics.add(memory, list + LIST.failed, 1);
  return Atomics.add(memory, list + LIST.done, 1) + 1 === count;
}

/** Tells the caller that something is over; `post` is how, if it cannot wait on memory. */
export function ringCaller(board: Int32Array, post: () => void): void {
  Atomics.add(board, HEADER.reply, 1);
  const caller = Atomics.load(board, HEADER.caller);
  if (caller === CALLER_WAITS) Atomics.notify(board, HEADER.reply);
  else if (caller === CALLER_LISTENS) post();
}

/** Tells the workers that there is something to look at. */
export function ringWorkers(board: Int32Array): void {
  Atomics.add(board, HEADER.bell, 1);
  if (Atomics.load(board, HEADER.parked) > 0) Atomics.notify(board, HEADER.bell);
}
