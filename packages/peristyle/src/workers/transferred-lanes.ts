/**
 * Lanes whose columns are not shared: the columns of a range are gathered into one buffer, which is moved to a worker
 * and back, and then scattered. The caller's thread takes ranges in between.
 *
 * # Rules
 * - A range has its columns in one place at a time. One whose worker died is as it was before.
 * - The caller yields after each range that it runs, so that answers are heard and workers have work.
 */
import { LIST } from "./board.js";
import { Crew } from "./crew.js";
import { gather, scatter } from "./gather.js";
import type { JobId, JobShape, JobSource, LaneMemory, Lanes, LanesOptions, LeaseResult, LeaseTask } from "./lanes.js";
import type { Failure } from "./failure.js";
import type { FromWorker, ToWorker } from "./mail.js";
import type { PageWorkers } from "./page-workers.js";
import { Collected, Roster, unclonable, type Known } from "./roster.js";
import type { Starter, Thread } from "./thread.js";
import { now } from "./board-lane.js";

/** A lease that runs. */
interface Flight {
  readonly task: LeaseTask;
  readonly known: Known;
  readonly collected: Collected;
  readonly places: Uint32Array;
  readonly extra: unknown;
  next: number;
  left: number;
  readonly over: () => void;
}

/** A range that is at a worker. */
interface Away {
  readonly flight: Flight;
  readonly range: number;
  readonly id: number;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

/** Buffers kept for the next ranges. */
const BUFFERS_MAX = 16;

export class TransferredLanes implements Lanes {
  readonly way = "transferred";
  readonly reason: string;
  readonly ready: Promise<void>;
  readonly #memory: LaneMemory;
  readonly #roster: Roster;
  readonly #crew: Crew;
  readonly #away: (Away | undefined)[];
  readonly #pageWorkers: PageWorkers;
  readonly #spans: boolean;
  readonly #turn = new Turn();
  readonly #buffers: ArrayBuffer[] = [];
  readonly #timedOut = new WeakMap<Thread, Failure>();
  #flights: Flight[] = [];
  #ids = 0;
  #isWorking = false;
  #drained: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    memory: LaneMemory,
    starter: Starter,
    size: number,
    pageWorkers: PageWorkers,
    why: string,
    options: LanesOptions,
  ) {
    this.#memory = memory;
    this.#pageWorkers = pageWorkers;
    this.#spans = options.spans ?? false;
    this.reason = why;
    this.#roster = new Roster(memory);
    this.#away = Array.from({ length: size }, () => undefined);
    this.#crew = new Crew(starter, size, options.spares ?? 1, {
      join: (seat, thread) => this.#join(seat, thread),
      lost: (seat, why, thread) => this.#lost(seat, why, thread),
      none: () => this.#pump(),
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
    for (let seat = 0; seat < this.size; seat++) this.#tell(this.#crew.thread(seat), known);
    return known.id;
  }

  unload(job: JobId): void {
    this.#roster.unload(job);
    for (let seat = 0; seat < this.size; seat++) {
      this.#crew.thread(seat)?.post({ type: "unload", job } satisfies ToWorker);
    }
  }

  run(leases: readonly LeaseTask[]): Promise<LeaseResult[]> {
    const results = leases.map((task) => {
      const known = this.#roster.get(task.job);
      if (this.#roster.isClosed) return this.#roster.run(task, false);
      if (known?.source.kind === "worker") return this.#pageWorkers.run(task, known, this.#spans);
      // A kernel that is linked to a plain memory stays where that is.
      const isHere = known?.source.kind === "function" || known?.source.kind === "kernel" || task.place === "caller";
      if (known === undefined || isHere || this.#crew.isHopeless) return this.#roster.run(task, this.#spans);
      return this.#open(task, known);
    });
    this.#pump();
    return Promise.all(results);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#roster.isClosed = true;
    if (this.#flights.length > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    this.#turn.close();
    await Promise.all([this.#crew.close(), this.#pageWorkers.close()]);
    this.#roster.close();
  }

  #open(task: LeaseTask, known: Known): LeaseResult | Promise<LeaseResult> {
    const { buffer } = this.#memory;
    const list = new Uint32Array(buffer, task.list, LIST.descriptors);
    const count = list[LIST.count];
    const collected = new Collected(count);
    if (count === 0) return collected.result();
    let extra: unknown;
    try {
      extra = this.#roster.extra(known, task.extra);
    } catch (error) {
      return collected.refuse(unclonable(known.name, error));
    }
    const places = new Uint32Array(buffer, task.list + LIST.descriptors * 4, count).slice();
    return new Promise((resolve) => {
      const over = (): void => {
        this.#flights = this.#flights.filter((other) => other !== flight);
        resolve(collected.result());
        if (this.#flights.length === 0) this.#drained?.();
      };
      const flight: Flight = { task, known, collected, places, extra, next: 0, left: count, over };
      this.#flights.push(flight);
    });
  }

  /** Sends ranges to idle workers, and lets this thread work if there are more. */
  #pump(): void {
    for (let seat = 0; seat < this.size; seat++) {
      const thread = this.#crew.thread(seat);
      if (thread === undefined || this.#away[seat] !== undefined) continue;
      while (this.#away[seat] === undefined) {
        const flight = this.#flights.find(({ next, places }) => next < places.length);
        if (flight === undefined) break;
        this.#sendRange(seat, thread, flight, flight.next++);
      }
    }
    if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    for (;;) {
      const isFree = ({ next, places, task }: Flight): boolean =>
        next < places.length && (task.place !== "workers" || this.#crew.isHopeless);
      const flight = this.#flights.find(isFree);
      if (flight === undefined) break;
      const range = flight.next++;
      const start = now();
      const outcome = await this.#roster.call(flight.task, range, flight.places[range], flight.extra);
      if (this.#spans) flight.collected.span(0, range, start, now());
      if (outcome !== undefined) flight.collected.put(range, outcome);
      this.#finish(flight);
      await this.#turn.wait();
    }
    this.#isWorking = false;
  }

  #finish(flight: Flight): void {
    if (--flight.left === 0) flight.over();
  }

  #sendRange(seat: number, thread: Thread, flight: Flight, range: number): void {
    const { task, known, collected, places, extra } = flight;
    const take = (bytes: number): ArrayBuffer => {
      const at = this.#buffers.findIndex(({ byteLength }) => byteLength >= bytes);
      return at < 0 ? new ArrayBuffer(bytes) : this.#buffers.splice(at, 1)[0];
    };
    const id = ++this.#ids;
    try {
      const { buffer, at, generations, bytes } = gather(
        this.#memory.buffer,
        places[range],
        this.#memory.entities(),
        take,
      );
      const { dt, time, job } = task;
      const message: ToWorker = {
        type: "range",
        id,
        job,
        buffer,
        at,
        generations,
        dt,
        time,
        extra,
        values: task.values?.(range),
      };
      thread.post(message, [buffer]);
      collected.copied += bytes;
    } catch (error) {
      collected.put(range, unclonable(known.name, error));
      return this.#finish(flight);
    }
    const { deadline } = task;
    const end = (): void => {
      const message = `job \`${known.name}\` ran longer than ${deadline} ms and was ended`;
      this.#timedOut.set(thread, { code: "job-timeout", message });
      void thread.stop();
    };
    this.#away[seat] = { flight, range, id, timer: deadline === undefined ? undefined : setTimeout(end, deadline) };
    thread.keepAlive(true);
  }

  #receive(seat: number, message: FromWorker): void {
    const away = this.#away[seat];
    if (message.type !== "range" || away?.id !== message.id) return;
    const { flight, range, timer } = away;
    clearTimeout(timer);
    this.#away[seat] = undefined;
    this.#crew.thread(seat)?.keepAlive(false);
    const { buffer, patches, failure, start, end } = message;
    // What a job wrote before it failed stays, as it would in shared memory.
    if (buffer) {
      flight.collected.copied += scatter(this.#memory.buffer, flight.places[range], buffer);
      if (this.#buffers.length < BUFFERS_MAX) this.#buffers.push(buffer);
    }
    const outcome = failure ?? patches;
    if (outcome !== undefined) flight.collected.put(range, outcome);
    if (this.#spans) flight.collected.span(seat + 1, range, start, end);
    this.#crew.works();
    this.#finish(flight);
    this.#pump();
  }

  #tell(thread: Thread | undefined, known: Known): void {
    if (known.source.kind === "kernel") return;
    const mail = known.mail(0);
    if (mail) thread?.post({ type: "load", job: known.id, mail, shape: known.shape } satisfies ToWorker);
  }

  #join(seat: number, thread: Thread): void {
    thread.onmessage = (message) => this.#receive(seat, message as FromWorker);
    for (const known of this.#roster.known) this.#tell(thread, known);
    this.#pump();
  }

  #lost(seat: number, why: string, thread: Thread): void {
    const away = this.#away[seat];
    if (away) {
      const { flight, range, timer } = away;
      clearTimeout(timer);
      this.#away[seat] = undefined;
      const message = `a worker ended while it ran job \`${flight.known.name}\`: ${why}; its columns are as they were`;
      flight.collected.put(range, this.#timedOut.get(thread) ?? { code: "worker-lost", message });
      this.#finish(flight);
    }
    this.#pump();
  }
}

/** A turn of the event loop, without the milliseconds that timers take. */
class Turn {
  readonly #channel = new MessageChannel();
  #resolve: (() => void) | undefined;

  constructor() {
    const { port1 } = this.#channel;
    port1.onmessage = () => {
      // Node keeps a process alive for a port that listens.
      (port1 as { unref?: () => void }).unref?.();
      this.#resolve?.();
    };
    (port1 as { unref?: () => void }).unref?.();
  }

  wait(): Promise<void> {
    const { port1, port2 } = this.#channel;
    (port1 as { ref?: () => void }).ref?.();
    return new Promise((resolve) => {
      this.#resolve = resolve;
      port2.postMessage(0);
    });
  }

  close(): void {
    this.#channel.port1.close();
  }
}
