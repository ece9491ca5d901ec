/**
 * Workers that a page makes itself, by name: they take an input from `event.data` and post their answer.
 *
 * A worker gets one call at a time, and its next message is the answer. Columns in shared memory are seen by it as they
 * are; others are moved to it in one buffer, and come back with the answer if it imported `markChanged`, or if it posts
 * its `snap`.
 *
 * # Rules
 * - A worker that keeps columns that were moved to it fails its call, unless it answered by patches: nothing is lost
 *   without a word.
 * - A worker that fell silent or ran too long is ended, and its range is over when it has really stopped.
 * - A worker that ends by itself, of which a page is told nothing, fails its call once its lock is free. One that holds none
 *   (it did not import `markChanged`, or there are no Web Locks) has a bounded time to answer a lease instead, as a frame must
 *   not wait for ever for who is gone. It is ended then; that it has stopped, nothing proves.
 */
import { JobError } from "../errors.js";
import { CALL, type AnswerTag, type CallTag, type LockTag } from "../snapshot/hand-back.js";
import { LIST } from "./board.js";
import { now } from "./board-lane.js";
import { describeThrown, toError, type Failure } from "./failure.js";
import { gather, scatter, type Gathered } from "./gather.js";
import { JobCall, type Bytes } from "./input.js";
import { outcomeOf, type Outcome } from "./jobs.js";
import type { LaneMemory, LeaseResult, LeaseTask } from "./lanes.js";
import { Collected, unclonable, type Known } from "./roster.js";

type Factory = () => Worker;

/** Milliseconds that a worker which holds no lock has to answer a lease, unless told. */
const SILENCE_MS = 30_000;

/** What a worker said: its answer, or that it failed. */
type Reply = { readonly data: unknown } | { readonly failure: Failure };

/** A worker of a name. */
interface Own {
  readonly worker: Worker;
  readonly lock: string | undefined;
  /** Whether it said that it holds its lock. */
  isHolding: boolean;
  /** Whether it has answered before. */
  hasAnswered: boolean;
  /** Whether it was ended, or ended by itself. */
  hasEnded: boolean;
  reply: ((reply: Reply) => void) | undefined;
}

export class PageWorkers {
  readonly #memory: LaneMemory | undefined;
  readonly #factories: Readonly<Record<string, Factory>>;
  readonly #size: number;
  readonly #silence: number;
  readonly #idle = new Map<string, Own[]>();
  readonly #count = new Map<string, number>();
  /** Who waits for a worker of a name. */
  readonly #queues = new Map<string, (() => void)[]>();
  #ids = 0;
  #isClosed = false;

  constructor(
    factories: Readonly<Record<string, Factory>>,
    size: number,
    memory?: LaneMemory,
    silence: number = SILENCE_MS,
  ) {
    this.#silence = silence;
    this.#factories = factories;
    this.#size = Math.max(1, size);
    this.#memory = memory;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#factories, name) && typeof this.#factories[name] === "function";
  }

  /** Throws a {@link JobError} if there is no such worker. */
  check(name: string): void {
    if (this.has(name)) return;
    const known = Object.keys(this.#factories).join(", ") || "none";
    const how = `pass \`browserWorkers: { ${name}: () => new Worker(…) }\`; known: ${known}`;
    throw new JobError("job-load", `there is no browser worker \`${name}\`: ${how}`);
  }

  /** Calls a worker with any input. */
  async ask(name: string, input: unknown, deadline?: number): Promise<unknown> {
    this.check(name);
    const reply = await this.#ask(name, () => ({ input, transfer: [] }), deadline, Infinity);
    if ("failure" in reply) throw toError(reply.failure);
    return reply.data;
  }

  /** Runs a lease: one call for each range. */
  async run(task: LeaseTask, known: Known, spans: boolean): Promise<LeaseResult> {
    const memory = this.#memory!;
    const list = new Uint32Array(memory.buffer, task.list, LIST.descriptors);
    const count = list[LIST.count];
    const collected = new Collected(count);
    const places = new Uint32Array(memory.buffer, task.list + LIST.descriptors * 4, count).slice();
    await Promise.all(
      Array.from(places, async (at, range) => {
        const start = now();
        const outcome = await this.#range(task, known, range, at, collected);
        if (spans) collected.span(1, range, start, now());
        if (outcome !== undefined) collected.put(range, outcome);
      }),
    );
    return collected.result();
  }

  async #range(task: LeaseTask, known: Known, range: number, at: number, collected: Collected): Promise<Outcome> {
    const memory = this.#memory!;
    const { name, shape } = known;
    let gathered: Gathered | undefined;
    // Made when a worker is free: until then the columns stay where they are.
    const make = (lock: string | undefined): { input: unknown; transfer: Transferable[] } => {
      const call = new JobCall(shape, memory.isShared);
      let bytes: Bytes;
      let place = at;
      if (memory.isShared) {
        const { buffer } = memory;
        bytes = { buffer, words: new Uint32Array(buffer), isShared: true, entities: memory.entities(), areRows: false };
      } else {
        gathered = gather(memory.buffer, at, memory.entities(), (size) => new ArrayBuffer(size));
        const { buffer, generations } = gathered;
        bytes = { buffer, words: new Uint32Array(buffer), isShared: false, entities: generations, areRows: true };
        place = gathered.at;
        collected.copied += gathered.bytes;
      }
      const input = call.put(bytes, place, task.dt, task.time, task.extra, task.values?.(range));
      const { snap } = input;
      const generations = Uint32Array.from({ length: snap.rows }, (_, row) => Math.floor(snap.entity(row) / 2 ** 32));
      const components = shape.components.filter(({ fields }) => fields).map(({ id, name }) => ({ id, name }));
      const tag: CallTag = { id: ++this.#ids, moved: gathered !== undefined, lock, components, generations };
      const { shared, rows, eids, comps, res, despawn } = snap;
      const lists = shape.inPlace ? {} : { eids: input.eids, cols: copyOf(input.cols) };
      const data = {
        ...lists,
        snap: { shared, rows, eids, comps: { ...comps }, res: { ...res }, despawn },
        dt: task.dt,
        time: task.time,
        writes: shape.writes,
        extra: task.extra,
        [CALL]: tag,
      };
      return { input: data, transfer: gathered ? [gathered.buffer] : [] };
    };
    const reply = await this.#ask(name, make, task.deadline, this.#silence);
    if ("failure" in reply) return reply.failure;
    const { tag, answer } = untag(reply.data);
    const back = gathered && (tag?.buffer ?? bufferOf(answer, gathered));
    if (gathered && back) collected.copied += scatter(memory.buffer, at, back);
    if (tag?.thrown) {
      const { thrown } = tag;
      return { code: "job-threw", message: `job \`${name}\` threw ${thrown.name}: ${thrown.message}`, thrown };
    }
    const isPatches = Array.isArray(answer) && !shape.inPlace;
    if (gathered && !back && !isPatches) {
      const how = 'import `markChanged` from "peristyle" in it, or post its `snap`';
      const message = `browser worker \`${name}\` answered without its columns, which were moved to it: ${how}`;
      return { code: "job-columns", message };
    }
    return outcomeOf(name, answer);
  }

  /** Sends an input to a worker of a name, once one is free, and waits for its answer. */
  async #ask(
    name: string,
    make: (lock: string | undefined) => { input: unknown; transfer: Transferable[] },
    deadline: number | undefined,
    silence: number,
  ): Promise<Reply> {
    let own: Own;
    try {
      own = await this.#take(name);
    } catch (error) {
      return {
        failure: { code: "worker-start", message: `browser worker \`${name}\`: ${describeThrown(error).message}` },
      };
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isLost = false;
    const reply = await new Promise<Reply>((resolve) => {
      own.reply = resolve;
      try {
        const { input, transfer } = make(own.lock);
        own.worker.postMessage(input, transfer);
        if (own.hasEnded) resolve({ failure: lost(name) });
      } catch (error) {
        return resolve({ failure: unclonable(name, error) });
      }
      const end = (failure: Failure): void => {
        isLost = true;
        void this.#end(own).then(() => resolve({ failure }));
      };
      if (deadline !== undefined) {
        const message = `browser worker \`${name}\` did not answer within ${deadline} ms and was ended`;
        timer = startTimer(deadline, () => end({ code: "job-timeout", message }));
      } else timer = startTimer(silence, () => own.isHolding || end(silent(name, silence)));
    });
    clearTimeout(timer);
    own.reply = undefined;
    // A worker that never answered may not have loaded.
    if ("failure" in reply && !own.hasAnswered && !isLost) {
      isLost = true;
      void this.#end(own);
    }
    this.#giveBack(name, isLost || own.hasEnded ? undefined : own);
    return reply;
  }

  async #take(name: string): Promise<Own> {
    for (;;) {
      if (this.#isClosed) throw new JobError("pool-closed", "the pool is closed");
      const idle = this.#idle.get(name)?.pop();
      if (idle) return idle;
      const count = this.#count.get(name) ?? 0;
      if (count < this.#size) {
        const own = this.#start(name);
        this.#count.set(name, count + 1);
        return own;
      }
      await new Promise<void>((resolve) => {
        const queue = this.#queues.get(name);
        if (queue) queue.push(resolve);
        else this.#queues.set(name, [resolve]);
      });
    }
  }

  #giveBack(name: string, own: Own | undefined): void {
    if (own && this.#isClosed) own.worker.terminate();
    else if (own) this.#idle.set(name, [...(this.#idle.get(name) ?? []), own]);
    else this.#count.set(name, this.#count.get(name)! - 1);
    this.#queues.get(name)?.shift()?.();
  }

  #start(name: string): Own {
    const worker = this.#factories[name]();
    const lock = navigator.locks ? `peristyle:${crypto.randomUUID()}` : undefined;
    const own: Own = { worker, lock, isHolding: false, hasAnswered: false, hasEnded: false, reply: undefined };
    worker.addEventListener("message", ({ data }) => {
      const held = lockOf(data);
      if (held !== undefined) {
        own.isHolding = true;
        return void this.#watch(name, own, held);
      }
      own.hasAnswered = true;
      own.reply?.({ data });
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      const { message } = event;
      if (own.hasAnswered || message) {
        const thrown = { name: "Error", message, stack: `${event.filename}:${event.lineno}:${event.colno}` };
        own.reply?.({
          failure: { code: "job-threw", message: `browser worker \`${name}\` threw: ${message}`, thrown },
        });
      } else {
        own.reply?.({
          failure: {
            code: "worker-start",
            message: `browser worker \`${name}\` does not start: its script does not load, or a policy forbids it`,
          },
        });
      }
    });
    worker.addEventListener("messageerror", () =>
      own.reply?.({
        failure: { code: "job-unclonable", message: `what browser worker \`${name}\` posted cannot be read` },
      }),
    );
    return own;
  }

  /** Waits for the lock that a worker holds for life: nothing else tells that it ended by itself. */
  async #watch(name: string, own: Own, lock: string): Promise<void> {
    await navigator.locks.request(lock, () => {});
    if (own.hasEnded) return;
    own.hasEnded = true;
    if (own.reply) return own.reply({ failure: lost(name) });
    const idle = this.#idle.get(name) ?? [];
    if (!idle.includes(own)) return;
    this.#idle.set(
      name,
      idle.filter((other) => other !== own),
    );
    this.#giveBack(name, undefined);
  }

  /** Ends a worker. Resolves when it has stopped, if it holds its lock; at once otherwise. */
  async #end(own: Own): Promise<void> {
    const { worker, lock } = own;
    own.hasEnded = true;
    if (lock !== undefined) {
      const { held = [] } = await navigator.locks.query();
      worker.terminate();
      if (held.some(({ name }) => name === lock)) await navigator.locks.request(lock, () => {});
    } else worker.terminate();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#idle.values()].flat();
    this.#idle.clear();
    for (const queue of this.#queues.values()) for (const resolve of queue) resolve();
    await Promise.all(all.map((own) => this.#end(own)));
  }
}

/** Lists as a message carries them: getters are read. */
function copyOf(cols: Readonly<Record<string | number, readonly unknown[]>>): Record<string, readonly unknown[]> {
  return { ...cols };
}

const lost = (name: string): Failure => ({
  code: "worker-lost",
  message: `browser worker \`${name}\` ended while it was asked: it closed itself, or its memory ran out`,
});

const silent = (name: string, ms: number): Failure => ({
  code: "worker-lost",
  message:
    `browser worker \`${name}\` did not answer within ${ms} ms, and holds no lock that would tell its end: ` +
    "import `markChanged` in it, or set `deadline` or `silence`",
});

/** Milliseconds that a timer can count. */
const TIMER_MAX = 2 ** 31 - 1;

function startTimer(ms: number, then: () => void): ReturnType<typeof setTimeout> | undefined {
  return ms <= TIMER_MAX ? setTimeout(then, ms) : undefined;
}

/** The lock that a message says is held, if it does. */
function lockOf(data: unknown): string | undefined {
  if (typeof data !== "object" || data === null || !(CALL in data)) return undefined;
  return (data as { readonly [CALL]: Partial<LockTag> })[CALL].lock;
}

function untag(data: unknown): { tag?: AnswerTag; answer: unknown } {
  if (typeof data !== "object" || data === null || !(CALL in data)) return { answer: data };
  const { [CALL]: tag, answer } = data as { [CALL]: AnswerTag; answer?: unknown };
  return { tag, answer };
}

/** The columns of an answer that has a snapshot in it, if they are those that were sent. */
function bufferOf(answer: unknown, { bytes }: Gathered): ArrayBuffer | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  const { snap = answer } = answer as { snap?: unknown };
  const { eids } = (snap ?? {}) as { eids?: unknown };
  const buffer = eids instanceof Int32Array ? eids.buffer : undefined;
  return buffer instanceof ArrayBuffer && buffer.byteLength >= bytes ? buffer : undefined;
}
