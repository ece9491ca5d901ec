/**
 * What a page's own worker does for its page without knowing: it gives the columns that were moved to it back with its
 * answer, tells what it threw, and holds a lock for life, so that the page learns when it has really stopped.
 *
 * Installed by importing `markChanged` in a worker, and before the core is awaited: a browser delivers messages during
 * that wait, when the worker has had no chance to listen. Messages are held until somebody listens, and until the lock
 * is; otherwise those that are not a call of ours are left alone.
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

/** What the worker says once it holds its lock. */
export interface LockTag {
  readonly lock: string;
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
  dispatchEvent(event: Event): boolean;
  onmessage: unknown;
  readonly navigator: Navigator;
}

/** Under which a worker's scope says that it has this, or must not have it. */
export const INSTALLED = Symbol.for("peristyle:hand-back");

/** Messages that are held. With more, somebody listens who did so before this was installed. */
const HELD_MAX = 64;

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

  let isHeard = scope.onmessage !== null;
  let isLocking = false;
  const held: MessageEvent[] = [];
  let released: MessageEvent | undefined;
  // In a task of its own, as messages come: the worker's module may have more to say after it listens.
  const release = (): void =>
    void setTimeout(() => {
      while (isHeard && !isLocking && held.length > 0) {
        // Engines do not let an event that was stopped go again.
        const { data, ports } = held.shift()!;
        released = new MessageEvent("message", { data, ports: [...ports] });
        scope.dispatchEvent(released);
      }
    });
  const takeLock = (name: string): void => {
    lock = name;
    const { locks } = scope.navigator;
    if (!locks) return;
    isLocking = true;
    const go = (): void => {
      isLocking = false;
      release();
    };
    const hold = (): Promise<never> => {
      post({ [CALL]: { lock: name } satisfies LockTag });
      go();
      return new Promise<never>(() => {});
    };
    void locks.request(name, hold).catch(go);
  };

  // Before what the worker assigns, which hears the message after this.
  scope.addEventListener("message", (event: MessageEvent<Call | null>) => {
    const { data } = event;
    const isCall = typeof data === "object" && data !== null && CALL in data;
    if (event !== released) {
      if (isCall && lock === undefined && data[CALL].lock !== undefined) takeLock(data[CALL].lock);
      if (!isHeard || isLocking || held.length > 0) {
        event.stopImmediatePropagation();
        held.push(event);
        if (held.length <= HELD_MAX || isHeard) return;
        isHeard = true;
        held.length = 0;
        return;
      }
    }
    if (!isCall) return;
    call = data;
    complete(data);
  });
  const hears = (): void => {
    isHeard = true;
    if (held.length > 0) release();
  };
  const listen = scope.addEventListener.bind(scope);
  scope.addEventListener = (type, listener, ...options: []) => {
    listen(type, listener, ...options);
    if (type === "message") hears();
  };
  const assigned = accessorOf(scope, "onmessage");
  Object.defineProperty(scope, "onmessage", {
    ...assigned,
    set(listener: unknown) {
      assigned.set!.call(scope, listener);
      hears();
    },
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

/** The accessor of a property, wherever the engine has put it. */
function accessorOf(object: object, name: string): PropertyDescriptor {
  for (let at: object = object; ; at = Object.getPrototypeOf(at) as object) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found) return found;
  }
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
