/**
 * Lanes whose columns are shared memory: leases go on a board, and nothing is sent or copied.
 *
 * The caller's thread works beside the workers. Then it spins, in Node it waits for a short time, and then it leaves
 * its event loop free. A page's main thread never waits.
 *
 * # Rules
 * - A lease is told as over when each of its ranges is and no lane looks at its list any more.
 * - A worker's ranges are lost only once it has really stopped.
 */
import type { Failure } from "./failure.js";
import {
  CALLER_LISTENS,
  CALLER_WAITS,
  CARRIED,
  HEADER,
  LANE,
  LIST,
  SLOT,
  SLOTS,
  createBoard,
  laneAt,
  loseRanges,
  ringWorkers,
  slotAt,
} from "./board.js";
import { BoardLane } from "./board-lane.js";
import { toBytes } from "./carry.js";
import { Crew } from "./crew.js";
import type { JobId, JobShape, JobSource, LaneMemory, Lanes, LanesOptions, LeaseResult, LeaseTask } from "./lanes.js";
import type { FromWorker, ToWorker } from "./mail.js";
import type { NodeSerializer } from "./node.js";
import { Collected, Roster, unclonable, type Known } from "./roster.js";
import type { PageWorkers } from "./page-workers.js";
import { Spin } from "./spin.js";
import type { Starter, Thread } from "./thread.js";

/** Looks whether a slot was left before the caller waits. */
const LEAVE_LOOKS = 1000;
/** Milliseconds that Node's thread may be blocked by one call; workers' ends and answers are heard after it. */
const BLOCK_MS = 1;
/** Milliseconds between looks at deadlines and at workers while the event loop is free. */
const LOOK_MS = 100;
/** Bytes of the first arena. */
const ARENA_BYTES = 1 << 16;

type WaitAsync = (
  words: Int32Array,
  at: number,
  value: number,
  timeout?: number,
) => { readonly async: boolean; readonly value: Promise<unknown> | string };
const waitAsync = (Atomics as unknown as { waitAsync?: WaitAsync }).waitAsync;

interface Flight {
  readonly task: LeaseTask;
  readonly known: Known;
  readonly slot: number;
  readonly serial: number;
  readonly count: number;
  readonly collected: Collected;
  /** Words of the memory in which the list lies, and where. */
  readonly words: Int32Array;
  readonly list: number;
  readonly arena: Int32Array;
  readonly owners: number;
  readonly until: number;
}

interface Arena {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
}

/** What is known of the worker in a seat. */
interface Seat {
  mail: number;
  received: number;
}

export class SharedLanes implements Lanes {
  readonly way = "shared";
  readonly reason: string;
  readonly ready: Promise<void>;
  readonly #memory: LaneMemory;
  readonly #roster: Roster;
  readonly #pageWorkers: PageWorkers;
  readonly #board: Int32Array;
  readonly #times: Float64Array;
  readonly #lane: BoardLane;
  readonly #crew: Crew;
  readonly #seats: Seat[];
  readonly #serializer: NodeSerializer | undefined;
  readonly #mayBlock: boolean;
  readonly #spin = new Spin();
  readonly #spans: boolean;
  readonly #arenas: Arena[] = [];
  /** Bytes of the last arena that are in use. */
  #used = 0;
  readonly #flights: (Flight | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #open = 0;
  #serial = 0;
  #version = 0;
  /** Calls that wait with a free event loop. */
  #waiters = 0;
  /** Who waits for a message or for a free slot. */
  #listeners: (() => void)[] = [];
  #isClosed = false;

  constructor(
    memory: LaneMemory,
    starter: Starter,
    size: number,
    serializer: NodeSerializer | undefined,
    pageWorkers: PageWorkers,
    options: LanesOptions,
  ) {
    this.#memory = memory;
    this.#pageWorkers = pageWorkers;
    this.#serializer = serializer;
    this.#mayBlock = starter.isNode;
    this.#spans = options.spans ?? false;
    this.reason = "the world's memory is shared with its workers";
    this.#roster = new Roster(memory);
    const board = createBoard();
    this.#board = new Int32Array(board);
    this.#times = new Float64Array(board);
    const decode = serializer && ((bytes: Uint8Array) => serializer.deserialize(bytes));
    this.#lane = new BoardLane(0, this.#roster.jobs, board, memory, decode);
    this.#lane.deliver = (serial, range, outcome) => this.#flight(serial)?.collected.put(range, outcome);
    this.#lane.ring = () => this.#ring();
    if (this.#spans) {
      this.#lane.record = (serial, range, start, end) => this.#flight(serial)?.collected.span(0, range, start, end);
    }
    this.#addArena(ARENA_BYTES);
    this.#seats = Array.from({ length: size }, () => ({ mail: 0, received: 0 }));
    this.#crew = new Crew(starter, size, options.spares ?? 1, {
      join: (seat, thread) => this.#join(seat, thread),
      lost: (seat, why, thread) => this.#lost(seat, why, thread),
      none: () => this.#ring(),
    });
    this.ready = this.#crew.ready;
  }

  get size(): number {
    return this.#crew.size;
  }

  get hasWorkers(): boolean {
    return this.#crew.alive > 0;
  }

  async load(source: JobSource, shape: JobShape): Promise<JobId> {
    if (source.kind === "worker") this.#pageWorkers.check(source.name);
    const known = await this.#roster.load(source, shape);
    for (let seat = 0; seat < this.size; seat++) this.#tell(seat, known);
    return known.id;
  }

  unload(job: JobId): void {
    this.#roster.unload(job);
    this.#lane.forget(job);
    this.#extras.delete(job);
    for (let seat = 0; seat < this.size; seat++) this.#send(seat, { type: "unload", job });
  }

  async run(leases: readonly LeaseTask[]): Promise<LeaseResult[]> {
    const results: (LeaseResult | Promise<LeaseResult>)[] = [];
    let flights: Flight[] = [];
    let places: number[] = [];
    const fly = async (): Promise<void> => {
      ringWorkers(this.#board);
      for (const { slot, task } of flights) if (task.place !== "workers") this.#lane.visit(slot);
      await this.#wait(flights);
      for (const [i, flight] of flights.entries()) results[places[i]] = flight.collected.result();
      flights = [];
      places = [];
    };
    for (const [at, task] of leases.entries()) {
      const known = this.#roster.get(task.job);
      if (known?.source.kind === "worker" && !this.#isClosed) {
        results[at] = this.#pageWorkers.run(task, known, this.#spans);
        continue;
      }
      const isHere =
        task.place === "caller" || known?.source.kind === "function" || this.#isClosed || this.#crew.isHopeless;
      if (known === undefined || isHere) {
        results[at] = this.#roster.run(task, this.#spans);
        continue;
      }
      // Those of this call are not over before they are waited for.
      while (this.#open === SLOTS) await (flights.length > 0 ? fly() : this.#listen());
      const opened = this.#put(task, known);
      if ("patches" in opened) results[at] = opened;
      else {
        flights.push(opened);
        places.push(at);
      }
    }
    if (flights.length > 0) await fly();
    return Promise.all(results);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#roster.isClosed = true;
    while (this.#open > 0) await this.#listen();
    Atomics.store(this.#board, HEADER.closed, 1);
    ringWorkers(this.#board);
    await Promise.all([this.#crew.close(), this.#pageWorkers.close()]);
    this.#roster.close();
  }

  /** Puts a lease on the board. */
  #put(task: LeaseTask, known: Known): Flight | LeaseResult {
    const { buffer } = this.#memory;
    const words = new Int32Array(buffer);
    const list = task.list >> 2;
    const count = words[list + LIST.count];
    const collected = new Collected(count);
    if (count === 0) return collected.result();
    // Before the first value of a lease: all of its values are kept until it is over.
    if (this.#open === 0) this.#oldest = this.#version + 1;
    try {
      const extra = toBytes(task.extra, this.#serializer?.serialize);
      const values =
        task.values &&
        Array.from({ length: count }, (_, range) => toBytes(task.values!(range), this.#serializer?.serialize));
      const bytes = (values ?? []).reduce((sum, value) => sum + padded(value.bytes.length), padded(extra.bytes.length));
      const owners = this.#allocate(count * (values ? 4 : 1) * 4 + bytes);
      const arena = this.#arenas.at(-1)!;
      arena.words.fill(0, owners >> 2, (owners >> 2) + count);
      let at = owners + count * (values ? 4 : 1) * 4;
      const carry = ({ kind, bytes }: { kind: number; bytes: Uint8Array }, value: () => unknown): number => {
        if (kind === CARRIED.message) return this.#carry(value());
        arena.bytes.set(bytes, at);
        at += padded(bytes.length);
        return at - padded(bytes.length);
      };
      const slot = this.#flights.indexOf(undefined);
      const word = slotAt(slot);
      const board = this.#board;
      const serial = (this.#serial = (this.#serial + 1) | 0);
      board[word + SLOT.extra] = extra.kind;
      board[word + SLOT.extraOffset] = carry(extra, () => task.extra);
      board[word + SLOT.extraBytes] = extra.bytes.length;
      board[word + SLOT.extraVersion] = this.#extraVersion(
        known,
        extra.kind,
        extra.text,
        board[word + SLOT.extraOffset],
      );
      for (const [range, value] of (values ?? []).entries()) {
        const entry = (owners >> 2) + count + range * 3;
        arena.words[entry] = value.kind;
        arena.words[entry + 1] = carry(value, () => task.values!(range));
        arena.words[entry + 2] = value.bytes.length;
      }
      board[word + SLOT.job] = task.job;
      board[word + SLOT.list] = task.list;
      board[word + SLOT.count] = count;
      board[word + SLOT.serial] = serial;
      board[word + SLOT.arena] = this.#arenas.length - 1;
      board[word + SLOT.owners] = owners;
      board[word + SLOT.values] = values ? 1 : 0;
      board[word + SLOT.entities] = this.#memory.entities();
      board[word + SLOT.memory] = buffer.byteLength / 8;
      this.#times[(word + SLOT.times) >> 1] = task.dt;
      this.#times[((word + SLOT.times) >> 1) + 1] = task.time;
      const until = task.deadline === undefined ? Infinity : performance.now() + task.deadline;
      const flight = {
        task,
        known,
        slot,
        serial,
        count,
        collected,
        words,
        list,
        arena: arena.words,
        owners: owners >> 2,
        until,
      };
      this.#flights[slot] = flight;
      this.#open++;
      if (board[HEADER.slots] <= slot) Atomics.store(board, HEADER.slots, slot + 1);
      Atomics.store(board, word + SLOT.open, 1);
      return flight;
    } catch (error) {
      return collected.refuse(unclonable(known.name, error));
    }
  }

  /** A number that stands for the value of `extra`: the same as long as its text is. */
  #extraVersion(known: Known, kind: number, text: string | undefined, version: number): number {
    if (kind === CARRIED.message) return version;
    const last = this.#extras.get(known.id);
    if (text !== undefined && last?.text === text) return last.version;
    const next = ++this.#version;
    this.#extras.set(known.id, { text, version: next });
    return next;
  }
  readonly #extras = new Map<number, { text: string | undefined; version: number }>();

  /** Sends a value to all lanes. Gives the number by which it is known. */
  #carry(value: unknown): number {
    const version = ++this.#version;
    this.#lane.carry(version, structuredClone(value), this.#oldest);
    const message: ToWorker = { type: "carry", version, value, oldest: this.#oldest };
    for (let seat = 0; seat < this.size; seat++) this.#send(seat, message);
    return version;
  }
  #oldest = 0;

  /** Room in the arena: all of it is free again when no lease is open. */
  #allocate(bytes: number): number {
    if (this.#open === 0) this.#used = 0;
    if (this.#used + bytes > this.#arenas.at(-1)!.buffer.byteLength) {
      this.#addArena(Math.max(bytes, this.#arenas.at(-1)!.buffer.byteLength * 2));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += padded(bytes);
    return at;
  }

  #addArena(bytes: number): void {
    const buffer = new SharedArrayBuffer(padded(bytes));
    this.#arenas.push({ buffer, words: new Int32Array(buffer), bytes: new Uint8Array(buffer) });
    this.#lane.addArena(buffer);
    for (let seat = 0; seat < (this.#seats?.length ?? 0); seat++) this.#send(seat, { type: "arena", buffer });
  }

  // ---- waiting ----

  #isOver({ words, list, count }: Flight): boolean {
    return Atomics.load(words, list + LIST.done) >= count;
  }

  async #wait(flights: readonly Flight[]): Promise<void> {
    const board = this.#board;
    const areOver = (): boolean => flights.every((flight) => this.#isOver(flight));
    if (!this.#spin.until(areOver) && this.#mayBlock) {
      const end = performance.now() + BLOCK_MS;
      Atomics.store(board, HEADER.caller, CALLER_WAITS);
      for (;;) {
        const reply = Atomics.load(board, HEADER.reply);
        const left = end - performance.now();
        if (areOver() || left <= 0) break;
        Atomics.wait(board, HEADER.reply, reply, left);
      }
      if (this.#waiters === 0) Atomics.store(board, HEADER.caller, 0);
    }
    while (!areOver()) {
      if (this.#crew.isHopeless) for (const { slot } of flights) this.#lane.visit(slot);
      if (areOver()) break;
      await this.#waitForReply(areOver);
      this.#enforce(flights);
    }
    for (const flight of flights) await this.#end(flight);
    this.#crew.works();
  }

  /** Waits, with a free event loop, until the reply is counted up or a message comes. */
  async #waitForReply(isOver: () => boolean): Promise<void> {
    const board = this.#board;
    if (this.#waiters++ === 0) this.#crew.keepAlive(true);
    Atomics.store(board, HEADER.caller, waitAsync ? CALLER_WAITS : CALLER_LISTENS);
    const reply = Atomics.load(board, HEADER.reply);
    if (!isOver()) {
      const heard = this.#listen();
      const wait = waitAsync?.(board, HEADER.reply, reply);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const look = new Promise<void>((resolve) => (timer = setTimeout(resolve, LOOK_MS)));
      if (wait === undefined || wait.async) await Promise.race(wait ? [wait.value, heard, look] : [heard, look]);
      clearTimeout(timer);
    }
    if (--this.#waiters === 0) {
      Atomics.store(board, HEADER.caller, 0);
      this.#crew.keepAlive(false);
    }
  }

  /** Ends workers that are still at leases whose deadline is over. */
  #enforce(flights: readonly Flight[]): void {
    const time = performance.now();
    for (const { until, arena, owners, count, task, known } of flights) {
      if (time < until) continue;
      for (let range = 0; range < count; range++) {
        const seat = Atomics.load(arena, owners + range) - 2;
        const thread = seat >= 0 ? this.#crew.thread(seat) : undefined;
        if (thread === undefined || this.#timedOut.has(thread)) continue;
        const message = `job \`${known.name}\` ran longer than ${task.deadline} ms and was ended`;
        this.#timedOut.set(thread, { code: "job-timeout", message });
        void thread.stop();
      }
    }
  }
  readonly #timedOut = new WeakMap<Thread, Failure>();

  /** Closes a slot whose ranges are all over, and takes in what came with them. */
  async #end(flight: Flight): Promise<void> {
    const board = this.#board;
    const { slot } = flight;
    Atomics.store(board, slotAt(slot) + SLOT.open, 0);
    const isInside = (seat: number): boolean => Atomics.load(board, laneAt(seat + 1) + LANE.inside) === slot + 1;
    const isLeft = (): boolean => !this.#seats.some((_, seat) => isInside(seat));
    // It is left within microseconds, unless its lane was interrupted.
    for (let look = 0; look < LEAVE_LOOKS && !isLeft(); look++);
    while (!isLeft()) await this.#waitForReply(isLeft);
    for (let seat = 0; seat < this.size; seat++) {
      const thread = this.#crew.thread(seat);
      const posted = Atomics.load(board, laneAt(seat + 1) + LANE.posted);
      if (thread !== undefined && this.#seats[seat].received !== posted) thread.poll();
      while (this.#crew.thread(seat) === thread && thread && this.#seats[seat].received < posted) await this.#listen();
    }
    this.#flights[slot] = undefined;
    this.#open--;
    if (this.#open === 0) Atomics.store(board, HEADER.slots, 0);
    this.#heard();
  }

  #flight(serial: number): Flight | undefined {
    return this.#flights.find((flight) => flight?.serial === serial);
  }

  /** Resolves when something was heard. */
  #listen(): Promise<void> {
    return new Promise((resolve) => void this.#listeners.push(resolve));
  }

  #heard(): void {
    const listeners = this.#listeners;
    if (listeners.length === 0) return;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  #ring(): void {
    Atomics.add(this.#board, HEADER.reply, 1);
    Atomics.notify(this.#board, HEADER.reply);
    this.#heard();
  }

  // ---- workers ----

  #send(seat: number, message: ToWorker): void {
    const thread = this.#crew?.thread(seat);
    if (thread === undefined) return;
    thread.post(message);
    Atomics.store(this.#board, laneAt(seat + 1) + LANE.mail, ++this.#seats[seat].mail);
    ringWorkers(this.#board);
  }

  #tell(seat: number, known: Known): void {
    const mail = known.mail(seat + 1);
    if (mail) this.#send(seat, { type: "load", job: known.id, mail, shape: known.shape });
  }

  #join(seat: number, thread: Thread): void {
    const lane = seat + 1;
    const { memory } = this.#memory;
    this.#seats[seat] = { mail: 0, received: 0 };
    thread.onmessage = (message) => this.#receive(seat, message as FromWorker);
    const board = this.#board.buffer as SharedArrayBuffer;
    this.#send(seat, { type: "join", lane, board, memory, spans: this.#spans });
    for (const { buffer } of this.#arenas) this.#send(seat, { type: "arena", buffer });
    for (const known of this.#roster.known) this.#tell(seat, known);
  }

  #receive(seat: number, message: FromWorker): void {
    if (message.type === "outcome") {
      const { serial, range, patches, failure } = message;
      this.#flight(serial)?.collected.put(range, failure ?? patches!);
      this.#seats[seat].received++;
    } else if (message.type === "span") {
      const { serial, range, start, end } = message;
      this.#flight(serial)?.collected.span(seat + 1, range, start, end);
      this.#seats[seat].received++;
    }
    this.#heard();
  }

  #lost(seat: number, why: string, thread: Thread): void {
    thread.poll();
    const lane = seat + 1;
    const board = this.#board;
    for (const word of [LANE.inside, LANE.mail, LANE.posted]) Atomics.store(board, laneAt(lane) + word, 0);
    if (!thread.isProven) for (const known of this.#roster.known) known.forget(lane);
    for (const flight of this.#flights) {
      if (!flight) continue;
      const { words, list, count, arena, owners, known, slot } = flight;
      const message = `a worker ended while it ran job \`${known.name}\`: ${why}`;
      const failure: Failure = this.#timedOut.get(thread) ?? { code: "worker-lost", message };
      for (const range of loseRanges({ memory: words, list, count, arena, owners }, lane)) {
        flight.collected.put(range, failure);
      }
      this.#lane.visit(slot, true);
    }
    this.#ring();
  }
}

/** Rounded up to whole f64. */
const padded = (bytes: number): number => (bytes + 7) & ~7;
