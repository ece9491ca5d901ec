/**
 * A pool of workers that call modules: Node threads, Web Workers, or this thread where neither can be had.
 *
 * Calls wait in a queue with a bound. A worker has one call at a time; one that dies fails its call and is replaced. In
 * Node a worker that waits for calls spins and parks in shared memory, as those of lanes do.
 *
 * Inputs and answers cross by structured clone, on this thread too, so that a job sees the same everywhere.
 */
import { JobError, PeristyleError, SupportError } from "../errors.js";
import { HEADER, LANE, createBoard, laneAt, ringWorkers } from "./board.js";
import { Crew } from "./crew.js";
import { threw, toError, unclonableAnswer, type Failure } from "./failure.js";
import { loadModule } from "./jobs.js";
import type { FromWorker, ToWorker } from "./mail.js";
import { cores, isNode, nodePaths, sizeOf } from "./node.js";
import { PageWorkers } from "./page-workers.js";
import { createStarter, type ResourceLimits, type Starter, type Thread } from "./thread.js";

/** How a pool is made. */
export interface PortablePoolOptions {
  /** Workers: cores - 1 and at least 1 unless told; 0 for none. */
  readonly size?: number;
  /**
   * Makes workers of a page, by the name that `run` is given. A page is told nothing of one that ends by itself, so give a
   * `deadline` if one may.
   */
  readonly browserWorkers?: Readonly<Record<string, () => Worker>>;
  /** Calls that may wait for a worker. 10 000. */
  readonly queue?: number;
  /**
   * Milliseconds that a call may take before its worker is ended; no bound unless told. Not enforced without workers.
   */
  readonly deadline?: number;
  /** Bounds of a Node worker's own heap. */
  readonly limits?: ResourceLimits;
  /** Workers kept started to replace those that die. 1. */
  readonly spares?: number;
  /** Makes the workers of a page whose policy forbids workers made of text: of the package's `dist/worker.js`. */
  readonly worker?: () => Worker;
}

/** A pool of workers. */
export interface PortablePool {
  /** Workers; 0 if calls run on this thread. */
  readonly size: number;
  /** What runs the calls. */
  readonly kind: "node" | "browser" | "local";
  /**
   * Calls a module's `handle` (or default function) with an input, or posts the input to the browser worker of that
   * name.
   * @throws {JobError} if the module does not load, throws, or its worker dies; or if the queue is full.
   */
  run<T = unknown>(moduleOrName: string | URL, input?: unknown): Promise<T>;
  /** Ends the workers, after all calls. */
  close(): Promise<void>;
}

/** Makes a pool. In pages it waits until it knows whether workers can be started. */
export async function createPortablePool(options: PortablePoolOptions = {}): Promise<PortablePool> {
  const size = sizeOf(options.size ?? (await cores()) - 1);
  const pageWorkers = new PageWorkers(isNode ? {} : (options.browserWorkers ?? {}), size);
  const urlOf = await nodePaths();
  if (options.size === 0) return new LocalPool(pageWorkers, urlOf);
  try {
    const { worker, limits } = options;
    const starter = await createStarter({ ...(worker && { worker }), ...(limits && { limits }) });
    const pool = new WorkerPool(starter, size, pageWorkers, urlOf, options);
    if (starter.isNode || (await pool.hasStarted())) return pool;
    await pool.close();
  } catch (error) {
    if (!(error instanceof SupportError)) throw error;
  }
  return new LocalPool(pageWorkers, urlOf);
}

interface Call {
  readonly url: string;
  readonly input: unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Busy {
  readonly call: Call;
  readonly id: number;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

/** Gives the URL of a path, in Node. */
type UrlOf = ((path: string) => string) | undefined;

const QUEUE_MAX = 10_000;

class WorkerPool implements PortablePool {
  readonly kind: "node" | "browser";
  readonly #crew: Crew;
  readonly #pageWorkers: PageWorkers;
  readonly #urlOf: UrlOf;
  readonly #queueMax: number;
  readonly #deadline: number | undefined;
  readonly #queue: Call[] = [];
  readonly #busy: (Busy | undefined)[];
  /** How the worker in a seat is woken, in Node. */
  readonly #boards: (Int32Array | undefined)[];
  readonly #timedOut = new WeakSet<Thread>();
  #ids = 0;
  #pageCalls = 0;
  #drained: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #isClosed = false;
  #none: Error | undefined;

  constructor(
    starter: Starter,
    size: number,
    pageWorkers: PageWorkers,
    urlOf: UrlOf,
    options: PortablePoolOptions,
  ) {
    this.kind = starter.isNode ? "node" : "browser";
    this.#urlOf = urlOf;
    this.#pageWorkers = pageWorkers;
    this.#queueMax = options.queue ?? QUEUE_MAX;
    this.#deadline = options.deadline;
    this.#busy = Array.from({ length: size }, () => undefined);
    this.#boards = Array.from({ length: size }, () => undefined);
    this.#crew = new Crew(starter, size, options.spares ?? 1, {
      join: (seat, thread) => this.#join(seat, thread),
      lost: (seat, why, thread) => this.#lost(seat, why, thread),
      none: (error) => this.#fail(error),
    });
  }

  get size(): number {
    return this.#crew.size;
  }

  async hasStarted(): Promise<boolean> {
    await this.#crew.ready;
    return this.#crew.alive > 0;
  }

  async run<T>(moduleOrName: string | URL, input?: unknown): Promise<T> {
    if (this.#isClosed) throw new JobError("pool-closed", "the pool is closed");
    const name = String(moduleOrName);
    if (this.#pageWorkers.has(name)) {
      this.#pageCalls++;
      try {
        return (await this.#pageWorkers.ask(name, input, this.#deadline)) as T;
      } finally {
        this.#pageCalls--;
        this.#drain();
      }
    }
    if (this.#none) throw this.#none;
    const seat = this.#freeSeat();
    return new Promise<T>((resolve, reject) => {
      const call: Call = { url: absolute(name, this.#urlOf), input, resolve: resolve as (value: unknown) => void, reject };
      if (seat >= 0) return this.#send(seat, call);
      if (this.#queue.length >= this.#queueMax) {
        return reject(
          new JobError(
            "queue-full",
            `${this.#queueMax} calls wait already: await some of them, or make the pool's \`queue\` longer`,
          ),
        );
      }
      this.#queue.push(call);
    });
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    if (this.#isBusy()) await new Promise<void>((resolve) => (this.#drained = resolve));
    for (const board of this.#boards) if (board) Atomics.store(board, HEADER.closed, 1);
    await Promise.all([this.#crew.close(), this.#pageWorkers.close()]);
  }

  #isBusy(): boolean {
    return this.#pageCalls > 0 || this.#queue.length > 0 || this.#busy.some((busy) => busy);
  }

  #drain(): void {
    if (this.#drained && !this.#isBusy()) this.#drained();
  }

  #freeSeat(): number {
    for (let seat = 0; seat < this.size; seat++) if (!this.#busy[seat] && this.#crew.thread(seat)) return seat;
    return -1;
  }

  #send(seat: number, call: Call): void {
    const thread = this.#crew.thread(seat)!;
    const id = ++this.#ids;
    try {
      this.#post(seat, thread, { type: "call", id, url: call.url, input: call.input });
    } catch (error) {
      call.reject(
        new JobError("job-unclonable", `the input of \`${call.url}\` cannot be sent: ${(error as Error).message}`),
      );
      return this.#next(seat);
    }
    const deadline = this.#deadline;
    const end = (): void => {
      this.#timedOut.add(thread);
      void thread.stop();
    };
    this.#busy[seat] = { call, id, timer: deadline === undefined ? undefined : setTimeout(end, deadline) };
    thread.keepAlive(true);
  }

  #post(seat: number, thread: Thread, message: ToWorker): void {
    thread.post(message);
    const board = this.#boards[seat];
    if (board === undefined) return;
    Atomics.add(board, laneAt(1) + LANE.mail, 1);
    ringWorkers(board);
  }

  #next(seat: number): void {
    const call = this.#crew.thread(seat) && !this.#busy[seat] ? this.#queue.shift() : undefined;
    if (call) this.#send(seat, call);
    else this.#drain();
  }

  #receive(seat: number, message: FromWorker): void {
    const busy = this.#busy[seat];
    if (message.type !== "answer" || busy?.id !== message.id) return;
    clearTimeout(busy.timer);
    this.#busy[seat] = undefined;
    this.#crew.thread(seat)?.keepAlive(false);
    this.#crew.works();
    if (message.failure) busy.call.reject(toError(message.failure));
    else busy.call.resolve(message.value);
    this.#next(seat);
  }

  #join(seat: number, thread: Thread): void {
    thread.onmessage = (message) => this.#receive(seat, message as FromWorker);
    this.#boards[seat] = undefined;
    if (this.kind === "node") {
      const board = createBoard();
      this.#boards[seat] = new Int32Array(board);
      this.#post(seat, thread, { type: "join", lane: 1, board, memory: board, spans: false });
    }
    this.#next(seat);
  }

  #lost(seat: number, why: string, thread: Thread): void {
    const busy = this.#busy[seat];
    this.#busy[seat] = undefined;
    if (!busy) return;
    clearTimeout(busy.timer);
    const { url } = busy.call;
    const failure: Failure = this.#timedOut.has(thread)
      ? { code: "job-timeout", message: `\`${url}\` ran longer than ${this.#deadline} ms and was ended` }
      : { code: "worker-lost", message: `a worker ended while it ran \`${url}\`: ${why}` };
    busy.call.reject(toError(failure));
    this.#drain();
  }

  #fail(error: Error): void {
    this.#none =
      error instanceof PeristyleError ? error : new JobError("worker-start", error.message, { cause: error });
    for (const call of this.#queue.splice(0)) call.reject(this.#none);
    this.#drain();
  }
}

class LocalPool implements PortablePool {
  readonly kind = "local";
  readonly size = 0;
  readonly #pageWorkers: PageWorkers;
  readonly #urlOf: UrlOf;
  readonly #modules = new Map<string, Promise<(input: unknown) => unknown>>();
  #isClosed = false;

  constructor(pageWorkers: PageWorkers, urlOf: UrlOf) {
    this.#pageWorkers = pageWorkers;
    this.#urlOf = urlOf;
  }

  async run<T>(moduleOrName: string | URL, input?: unknown): Promise<T> {
    if (this.#isClosed) throw new JobError("pool-closed", "the pool is closed");
    const name = String(moduleOrName);
    if (this.#pageWorkers.has(name)) {
      throw new SupportError("no-workers", `browser worker \`${name}\` cannot be used: workers cannot be started here`);
    }
    const url = absolute(name, this.#urlOf);
    let module = this.#modules.get(url);
    if (module === undefined) this.#modules.set(url, (module = loadModule(url)));
    const handle = await module;
    let copy: unknown;
    try {
      copy = structuredClone(input);
    } catch (error) {
      throw new JobError("job-unclonable", `the input of \`${url}\` cannot be sent: ${(error as Error).message}`);
    }
    let answer: unknown;
    try {
      answer = await handle(copy);
    } catch (error) {
      throw toError(threw(url, error));
    }
    try {
      return structuredClone(answer) as T;
    } catch (error) {
      throw toError(unclonableAnswer(url, error));
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

/**
 * A path is relative to the process's folder or the page's address; what is neither path nor URL stays as it is. In Node it
 * is the path of a file, of which each character counts; elsewhere a part of a URL.
 */
function absolute(name: string, urlOf: UrlOf): string {
  if (!/^\.{0,2}\//.test(name)) return name;
  return urlOf ? urlOf(name) : new URL(name, (globalThis as { location?: Location }).location?.href).href;
}
