/**
 * What a page's own worker does for its page without knowing: it gives the columns that were moved to it back with its
 * answer, tells what it threw, and holds a lock for life, so that the page learns when it has really stopped.
 *
 * Installed by importing `markChanged` in a worker. Messages that are not a call of ours are left alone.
 */

/** The property of an input by which both sides know a call. */
export const CALL = "peristyle:call";

/** What the page says of a call. */
export interface CallTag {
  readonly id: number;
  /** Whether the columns were moved and are to be given back. */
  readonly moved: boolean;
  /** The lock that the worker is to hold. */
  readonly lock: string | undefined;
  /** Ids and names of components whose columns are there. */
  readonly components: readonly { readonly id: number; readonly name: string }[];
  /** The generation of each row's entity. */
  readonly generations: Uint32Array;
}

/** What the worker says with its answer. */
export interface AnswerTag {
  readonly id: number;
  readonly buffer?: ArrayBuffer;
  readonly thrown?: { readonly name: string; readonly message: string; readonly stack: string };
}

interface Call {
  readonly [CALL]: CallTag;
  eids?: number[];
  cols?: Record<string | number, readonly unknown[]>;
  readonly snap: {
    readonly rows: number;
    readonly eids: Int32Array;
    readonly comps: Record<string | number, { readonly fields: Record<string, ArrayLike<unknown>> }>;
    entity?: (row: number) => number;
  };
}

/** What is used of a worker's scope. */
interface Scope {
  postMessage(message: unknown, options?: readonly Transferable[] | { transfer?: readonly Transferable[] }): void;
  addEventListener(type: string, listener: (event: never) => void): void;
  readonly navigator: Navigator;
}

const INSTALLED = Symbol.for("peristyle:hand-back");

export function installHandBack(): void {
  const WorkerScope = (globalThis as { DedicatedWorkerGlobalScope?: new () => unknown }).DedicatedWorkerGlobalScope;
  if (WorkerScope === undefined || !(globalThis instanceof WorkerScope) || INSTALLED in globalThis) return;
  Object.defineProperty(globalThis, INSTALLED, { value: true });
  const scope = globalThis as unknown as Scope;
  const post = scope.postMessage.bind(scope);
  let call: Call | undefined;
  let lock: string | undefined;

  const answer = (tag: Omit<AnswerTag, "id" | "buffer">, value: unknown, transfer: readonly Transferable[]): void => {
    const { id, moved } = call![CALL];
    const { buffer } = call!.snap.eids;
    call = undefined;
    const isHere = moved && buffer instanceof ArrayBuffer && buffer.byteLength > 0 && !transfer.includes(buffer);
    const back = isHere ? { buffer, list: [...transfer, buffer] } : { list: transfer };
    const told: AnswerTag = { ...tag, id, ...(isHere && { buffer }) };
    post({ [CALL]: told, answer: value }, back.list);
  };
  const fail = (thrown: unknown): void => {
    const { name = "Error", message = String(thrown), stack = "" } = thrown instanceof Error ? thrown : {};
    answer({ thrown: { name, message, stack } }, undefined, []);
  };

  // Before what the worker assigns, which hears the message after this.
  scope.addEventListener("message", ({ data }: MessageEvent<Call | null>) => {
    if (typeof data !== "object" || data === null || !(CALL in data)) return;
    call = data;
    complete(data);
    if (lock === undefined && data[CALL].lock !== undefined) {
      lock = data[CALL].lock;
      void scope.navigator.locks?.request(lock, () => new Promise<never>(() => {}));
    }
  });
  scope.addEventListener("error", (event: ErrorEvent) => {
    if (call === undefined) return;
    event.preventDefault();
    fail(event.error ?? new Error(event.message));
  });
  scope.addEventListener("unhandledrejection", (event: PromiseRejectionEvent) => {
    if (call === undefined) return;
    event.preventDefault();
    fail(event.reason);
  });
  scope.postMessage = (message, options) => {
    if (call === undefined) return post(message, options);
    const given = options as readonly Transferable[] | { transfer?: readonly Transferable[] } | undefined;
    answer(
      {},
      message,
      Array.isArray(given) ? given : ((given as { transfer?: Transferable[] } | undefined)?.transfer ?? []),
    );
  };
}

/** Adds what a message cannot carry: handles, and lists that are made when they are touched. */
function complete(call: Call): void {
  const { snap } = call;
  const { components, generations } = call[CALL];
  snap.entity = (row) => snap.eids[row] + generations[row] * 2 ** 32;
  const lazily = (object: object, name: string | number, make: () => unknown): void => {
    if (name in object) return;
    let value: unknown;
    Object.defineProperty(object, name, { get: () => (value ??= make()), enumerable: true, configurable: true });
  };
  lazily(call, "eids", () => Array.from({ length: snap.rows }, (_, row) => snap.entity!(row)));
  if (call.cols) return;
  const cols = {};
  call.cols = cols;
  for (const { id, name } of components) {
    const { fields } = snap.comps[id];
    const read = (): unknown =>
      Array.from({ length: snap.rows }, (_, row) =>
        Object.fromEntries(Object.entries(fields).map(([field, column]) => [field, column[row]])),
      );
    lazily(cols, id, read);
    lazily(cols, name, read);
  }
}
