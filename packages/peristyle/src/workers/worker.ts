/**
 * What a worker runs, in Node and in pages: bundled to text, see `thread.ts`.
 *
 * A worker at a board looks for ranges, spins for some microseconds, then parks in shared memory. After a while without
 * work it leaves its event loop free and is woken by a promise, so that output, timers and messages of what jobs use go
 * on. Mail is announced on the board: a worker that finds some turns to its event loop until it has taken it in.
 *
 * A worker without a board waits for messages.
 */
import { HEADER, LANE, laneAt } from "./board.js";
import { INSTALLED } from "../snapshot/hand-back.js";
import { BoardLane, now } from "./board-lane.js";
import { freezeAll } from "./carry.js";
import { describeThrown, threw, unclonableAnswer } from "./failure.js";
import { Jobs, isFailure, isThenable, loadModule, type Outcome } from "./jobs.js";
import type { FromWorker, ToWorker } from "./mail.js";
import { Spin } from "./spin.js";
import { nodeSerializer, nodeThreads, type NodeSerializer } from "./node.js";

/** Milliseconds that it is parked before it leaves its event loop free. Longer than a frame. */
const PARK_MS = 50;
/** What a promise of a promise takes to settle, and some more. */
const MICROTASK_TURNS = 8;

type WaitAsync = (
  words: Int32Array,
  at: number,
  value: number,
  timeout?: number,
) => { readonly async: boolean; readonly value: Promise<unknown> | string };
const waitAsync = (Atomics as unknown as { waitAsync?: WaitAsync }).waitAsync;

interface Door {
  post(message: FromWorker, transfer?: readonly ArrayBuffer[]): void;
  /** Takes in messages that have arrived, where that needs no turn of the event loop. */
  poll(): void;
}

class Worker {
  readonly #jobs = new Jobs();
  readonly #door: Door;
  readonly #serializer: NodeSerializer | undefined;
  #lane: BoardLane | undefined;
  #board: Int32Array | undefined;
  #at = 0;
  /** Mail that was taken in. */
  #taken = 0;
  /** Calls of modules that have not settled. */
  #calls = 0;
  /** Wakes the loop from a wait of its event loop. */
  #wake: () => void = () => {};
  readonly #loads = new Map<number, Promise<void>>();
  readonly #modules = new Map<string, (input: unknown) => unknown>();

  constructor(door: Door, serializer: NodeSerializer | undefined) {
    this.#door = door;
    this.#serializer = serializer;
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case "join":
        return this.#join(message);
      case "arena":
        this.#lane!.addArena(message.buffer);
        return this.#took();
      case "load":
        // A job counts as taken in when it is loaded: ranges of it may be on the board by then.
        return void this.#loads.set(message.job, this.#load(message));
      case "unload":
        void this.#unload(message.job);
        return this.#took();
      case "carry":
        this.#lane!.carry(message.version, message.value, message.oldest);
        return this.#took();
      case "range":
        return void this.#range(message);
      case "call":
        this.#took();
        return void this.#call(message);
    }
  }

  async #load({ job, mail, shape }: ToWorker & { type: "load" }): Promise<void> {
    const failure = await this.#jobs.load(job, mail, shape);
    this.#door.post({ type: "loaded", job, ...(failure && { failure }) });
    this.#took();
  }

  async #unload(job: number): Promise<void> {
    // What is being loaded would come afterwards.
    await this.#loads.get(job);
    this.#loads.delete(job);
    this.#jobs.unload(job);
    this.#lane?.forget(job);
  }

  #took(): void {
    this.#taken++;
    this.#wake();
  }

  #join({ lane, board, memory, spans }: ToWorker & { type: "join" }): void {
    const of = memory instanceof SharedArrayBuffer ? { buffer: memory } : memory;
    const decode = this.#serializer && ((bytes: Uint8Array) => this.#serializer!.deserialize(bytes));
    const joined = new BoardLane(lane, this.#jobs, board, of, decode);
    this.#lane = joined;
    this.#board = new Int32Array(board);
    this.#at = laneAt(lane);
    const post = (message: FromWorker): void => {
      this.#door.post(message);
      Atomics.add(this.#board!, this.#at + LANE.posted, 1);
    };
    joined.deliver = (serial, range, outcome) => {
      const at = { type: "outcome", serial, range } as const;
      if (isFailure(outcome)) return post({ ...at, failure: outcome });
      try {
        post({ ...at, patches: outcome });
      } catch (error) {
        // A function in a value, for example.
        const message = `a patch of range ${range} cannot be sent: ${describeThrown(error).message}`;
        post({ ...at, failure: { code: "job-unclonable", message } });
      }
    };
    if (spans) joined.record = (serial, range, start, end) => post({ type: "span", serial, range, start, end });
    joined.ring = () => {
      const words = this.#board!;
      Atomics.add(words, HEADER.reply, 1);
      const caller = Atomics.load(words, HEADER.caller);
      if (caller === 1) Atomics.notify(words, HEADER.reply);
      else if (caller === 2) this.#door.post({ type: "ring" });
    };
    const words = this.#board;
    joined.isBehind = () => this.#isBehind(words);
    this.#took();
    this.#work(joined, words).catch(endWith);
  }

  /** Whether there is mail that was not taken in. What came before it was announced is no mail to wait for. */
  #isBehind(board: Int32Array): boolean {
    return ((Atomics.load(board, this.#at + LANE.mail) - this.#taken) | 0) > 0;
  }

  /** The loop of a worker at a board. */
  async #work(lane: BoardLane, board: Int32Array): Promise<void> {
    const spin = new Spin();
    while (Atomics.load(board, HEADER.closed) === 0) {
      const bell = Atomics.load(board, HEADER.bell);
      if (this.#isBehind(board)) {
        this.#door.poll();
        if (this.#isBehind(board)) {
          await new Promise<void>((resolve) => (this.#wake = resolve));
        }
        continue;
      }
      const did = lane.look();
      // Asynchronous jobs that wait for nothing but microtasks are over after a few of these.
      for (let turn = 0; this.#pending(lane) > 0 && turn < MICROTASK_TURNS; turn++) await undefined;
      if (did || spin.until(() => Atomics.load(board, HEADER.bell) !== bell)) continue;
      Atomics.add(board, HEADER.parked, 1);
      if (this.#pending(lane) > 0 || Atomics.wait(board, HEADER.bell, bell, PARK_MS) === "timed-out")
        await idle(board, bell);
      Atomics.sub(board, HEADER.parked, 1);
    }
  }

  /** What has not settled and may need the event loop. */
  #pending(lane: BoardLane): number {
    return lane.pending + this.#calls;
  }

  /** A range whose columns were moved here. */
  async #range({
    id,
    job,
    buffer,
    at,
    generations,
    dt,
    time,
    extra,
    values,
  }: ToWorker & { type: "range" }): Promise<void> {
    await this.#loads.get(job);
    const start = now();
    const finish = (outcome: Outcome): void => {
      const answer = { type: "range", id, buffer, start, end: now() } as const;
      if (buffer.byteLength === 0) {
        const message = "its columns were transferred elsewhere by the job: what it wrote is lost";
        const { buffer: _, ...without } = answer;
        return this.#door.post({ ...without, failure: { code: "job-columns", message } });
      }
      if (outcome === undefined) return this.#door.post(answer, [buffer]);
      if (isFailure(outcome)) return this.#door.post({ ...answer, failure: outcome }, [buffer]);
      try {
        this.#door.post({ ...answer, patches: outcome }, [buffer]);
      } catch (error) {
        const message = `a patch cannot be sent: ${describeThrown(error).message}`;
        this.#door.post({ ...answer, failure: { code: "job-unclonable", message } }, [buffer]);
      }
    };
    const bytes = { buffer, words: new Uint32Array(buffer), isShared: false, entities: generations, areRows: true };
    finish(await this.#jobs.call(job, bytes, at, dt, time, freezeAll(extra), values));
  }

  /** A call of a module by itself. */
  async #call({ id, url, input }: ToWorker & { type: "call" }): Promise<void> {
    let answer: FromWorker;
    this.#calls++;
    try {
      let handle = this.#modules.get(url);
      if (handle === undefined) this.#modules.set(url, (handle = await loadModule(url)));
      const value = handle(input);
      answer = { type: "answer", id, value: isThenable(value) ? await value : value };
    } catch (error) {
      answer = { type: "answer", id, failure: threw(url, error) };
    }
    this.#calls--;
    try {
      this.#door.post(answer);
    } catch (error) {
      this.#door.post({ type: "answer", id, failure: unclonableAnswer(url, error) });
    }
  }
}

/** Ends this worker with an error that nothing has caught: its lane would take no part any more, without a word. */
function endWith(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
  // Node ends it for that. A page is told, and hears by the lock that it has ended.
  setTimeout(() => (globalThis as { close?: () => void }).close?.());
}

/** Waits for the bell with a free event loop. */
async function idle(board: Int32Array, bell: number): Promise<void> {
  const wait = waitAsync?.(board, HEADER.bell, bell);
  if (wait === undefined) return new Promise((resolve) => void setTimeout(resolve, 1));
  if (wait.async) await wait.value;
}

async function main(): Promise<void> {
  const threads = await nodeThreads();
  if (threads) {
    const { peristyle: port } = threads.workerData as { peristyle: import("./node.js").NodePort };
    const receive = (message: unknown): void => worker.receive(message as ToWorker);
    const door: Door = {
      post: (message, transfer) => port.postMessage(message, transfer),
      poll() {
        for (let next = threads.receiveMessageOnPort(port); next; next = threads.receiveMessageOnPort(port)) {
          receive(next.message);
        }
      },
    };
    const worker = new Worker(door, await nodeSerializer());
    port.on("message", receive);
    return port.postMessage("peristyle:started");
  }
  const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
  const worker = new Worker(
    { post: (message, transfer) => scope.postMessage(message, transfer as Transferable[]), poll() {} },
    undefined,
  );
  // A job that imports `markChanged` here gives nothing back by itself.
  Object.defineProperty(scope, INSTALLED, { value: true });
  // Not `onmessage`, which a job's module may assign.
  scope.addEventListener("message", ({ data }) => worker.receive(data as ToWorker));
  scope.postMessage({ "peristyle:started": await holdLock() });
}

/** Takes a lock that is held for life, so that the page learns when this worker has really stopped. */
function holdLock(): Promise<string | undefined> {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  if (!locks) return Promise.resolve(undefined);
  const name = `peristyle:${crypto.randomUUID()}`;
  return new Promise((resolve) => {
    void locks.request(name, () => {
      resolve(name);
      return new Promise<never>(() => {});
    });
  });
}

void main();

/** What is used of the scope of a page's worker. */
interface DedicatedWorkerGlobalScope {
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  postMessage(message: unknown, transfer?: readonly Transferable[]): void;
}
