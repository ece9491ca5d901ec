/**
 * A started worker, of Node or of a page, as far as lanes and pools need one.
 *
 * # Rules
 * - `stopped` resolves once the worker runs no more, whatever ended it: in Node when it exited, in a page when the lock
 *   that it holds for life was granted to us. What it could reach may be used again only after that.
 * - A worker that could not start tells so by `started`; then it counts as stopped too.
 */
import { JobError, SupportError } from "../errors.js";
import { describeThrown } from "./failure.js";
import { nodeThreads, type NodeThreads } from "./node.js";
import source from "./worker.js?bundle";

/** A started worker. */
export interface Thread {
  /** Resolves once it listens. Rejects with a `SupportError` if workers cannot be started here. */
  readonly started: Promise<void>;
  /** Resolves once it has really stopped, with why. */
  readonly stopped: Promise<string>;
  onmessage: (message: unknown) => void;
  post(message: unknown, transfer?: readonly Transferable[]): void;
  /** Takes in messages that arrived, without a turn of the event loop; where that cannot be done, nothing. */
  poll(): void;
  /** Ends it. Resolves once it has stopped. */
  stop(): Promise<string>;
  /** Whether its end is proven, so that what it could reach may be used again. */
  readonly isProven: boolean;
  /** Whether it keeps the process alive. */
  keepAlive(isNeeded: boolean): void;
}

/** How workers of this host are started. */
export interface Starter {
  readonly isNode: boolean;
  start(): Thread;
  close(): void;
}

/** Bounds of a Node worker's own heap. */
export interface ResourceLimits {
  readonly maxOldGenerationSizeMb?: number;
  readonly maxYoungGenerationSizeMb?: number;
  readonly stackSizeMb?: number;
}

/** Gives what starts workers here. Throws a `SupportError` where there are none. */
export async function createStarter(
  options: { limits?: ResourceLimits; worker?: () => Worker } = {},
): Promise<Starter> {
  const threads = await nodeThreads();
  if (threads) return { isNode: true, start: () => startNode(threads, options.limits), close() {} };
  if (typeof Worker !== "function") throw new SupportError("no-workers", "there are no workers here");
  if (options.worker) return { isNode: false, start: () => startPage(options.worker!), close() {} };
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const make = (): Worker => new Worker(url, { type: "module", name: "peristyle" });
  return { isNode: false, start: () => startPage(make), close: () => URL.revokeObjectURL(url) };
}

function startNode({ Worker, MessageChannel, receiveMessageOnPort }: NodeThreads, limits?: ResourceLimits): Thread {
  const { port1, port2 } = new MessageChannel();
  // As text, so that the package is one file for whoever bundles it. Modules it imports by `import()`.
  const worker = new Worker(source, {
    eval: true,
    workerData: { peristyle: port2 },
    transferList: [port2],
    ...(limits && { resourceLimits: limits }),
  });
  let why = "it ended";
  worker.on("error", (error) => {
    const { name, message } = describeThrown(error);
    why = `${name}: ${message}`;
  });
  const stopped = new Promise<string>((resolve) =>
    worker.on("exit", (code) => {
      // What it sent before it ended counts.
      thread.poll();
      port1.close();
      resolve(why === "it ended" ? `it ended with code ${code}` : why);
    }),
  );
  let hasStarted: () => void;
  const started = new Promise<void>((resolve) => (hasStarted = resolve));
  const thread: Thread = {
    started: Promise.race([
      started,
      stopped.then((why) => Promise.reject(new JobError("worker-start", `a worker did not start: ${why}`))),
    ]),
    stopped,
    isProven: true,
    onmessage() {},
    post: (message, transfer) => port1.postMessage(message, transfer),
    poll() {
      for (let next = receiveMessageOnPort(port1); next; next = receiveMessageOnPort(port1)) receive(next.message);
    },
    async stop() {
      await worker.terminate();
      return stopped;
    },
    keepAlive(isNeeded) {
      if (isNeeded) port1.ref();
      else port1.unref();
    },
  };
  thread.started.catch(() => {});
  const receive = (message: unknown): void => {
    if (message === STARTED) {
      // Until here it keeps the process alive: somebody may wait for it.
      port1.unref();
      hasStarted();
    } else thread.onmessage(message);
  };
  port1.on("message", receive);
  worker.unref();
  return thread;
}

/** What a worker says first; in a page, the name of its lock may follow. */
export const STARTED = "peristyle:started";

/** Milliseconds that a page's worker may take to say that it listens. */
const START_MS = 30_000;

function startPage(make: () => Worker): Thread {
  let resolveStopped: (why: string) => void;
  const stopped = new Promise<string>((resolve) => (resolveStopped = resolve));
  let worker: Worker | undefined;
  let lock: string | undefined;
  let why = "it ended";
  const thread: Thread = {
    started: new Promise<void>((resolve, reject) => {
      const fail = (what: string): void => {
        reject(new SupportError("no-workers", `workers cannot be started here: ${what}`));
        worker?.terminate();
        resolveStopped(what);
      };
      try {
        worker = make();
      } catch (error) {
        return fail(describeThrown(error).message);
      }
      const timer = setTimeout(() => fail(`no answer within ${START_MS} ms`), START_MS);
      let isStarted = false;
      worker.onmessage = ({ data }: MessageEvent<unknown>) => {
        if (isStarted) return thread.onmessage(data);
        if (typeof data !== "object" || data === null || !(STARTED in data)) return;
        isStarted = true;
        clearTimeout(timer);
        lock = (data as { [STARTED]: string | undefined })[STARTED];
        // Granted when it ends, whatever ends it.
        if (lock !== undefined) void navigator.locks.request(lock, () => resolveStopped(why));
        resolve();
      };
      worker.onerror = (event) => {
        event.preventDefault();
        clearTimeout(timer);
        if (!isStarted) return fail(event.message || "a policy forbids them, or their script does not load");
        // What was thrown outside of a job leaves the worker as it is.
        console.error(`peristyle: a worker threw outside of a job: ${event.message}`);
      };
    }),
    stopped,
    get isProven() {
      return lock !== undefined;
    },
    onmessage() {},
    post: (message, transfer = []) => worker?.postMessage(message, transfer as Transferable[]),
    poll() {},
    stop() {
      why = "it was ended";
      worker?.terminate();
      // Without locks there is no telling when it stops: what it could reach is never used again, see `isProven`.
      if (lock === undefined) resolveStopped(why);
      return stopped;
    },
    keepAlive() {},
  };
  thread.started.catch(() => {});
  return thread;
}
