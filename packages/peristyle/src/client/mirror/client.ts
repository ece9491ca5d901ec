/**
 * The client of the mirror protocol: it follows a host's state, and calls its methods.
 *
 * # Rules
 * - A message is taken wholly or not at all; state and version are replaced together.
 * - Who listens is told in this order: listeners, watches, then whoever waits for `ready`, then for calls, oldest
 *   first.
 * - Exceptions of listeners, selectors and observers disturb nothing.
 * - With all extensions off it behaves as CoSystem's client does, message by message.
 */
import { PeristyleError } from "../../errors.js";
import { Listeners, safely, type Unsubscribe, type WorkerTransport } from "../transports/transport.js";
import {
  InvalidMessageError,
  isMessage,
  isPlain,
  type CallMessage,
  type InvalidMessageObserver,
  type Message,
  type ResultMessage,
  type StateMessage,
  type SyncMessage,
} from "./message.js";
import { applyPatches } from "./patch.js";

/** Why a message did not fit. */
export type ConflictReason = "stale-message" | "missing-snapshot" | "version-gap" | "patch-apply-failed";

/** A message that did not fit. */
export interface WorkerConflict {
  readonly reason: ConflictReason;
  /** The client's version. */
  readonly currentVersion: number;
  /** The message's version. */
  readonly incomingVersion: number;
  readonly message: StateMessage;
  /** Which patch does not fit, for `patch-apply-failed`. */
  readonly error?: unknown;
}

/** What a client does beyond CoSystem's. Hosts of CoSystem tolerate all of it. */
export interface ClientExtensions {
  /**
   * After how many milliseconds a request for state is repeated that a conflict caused; `false`: none is made. 1000.
   */
  readonly resync?: number | false;
  /** Takes `replace` of an array's `length` by a smaller integer as truncation. True. */
  readonly length?: boolean;
  /** Says in requests what it has, and starts anew when the host's epoch changes. True. */
  readonly resume?: boolean;
  /** Asks for state at once, for transports whose host does not greet a newcomer. False. */
  readonly syncOnOpen?: boolean;
}

/** How a client behaves. */
export interface WorkerClientOptions {
  readonly transport: WorkerTransport;
  /** Is told of messages that did not fit. */
  readonly onConflict?: (conflict: WorkerConflict) => void;
  /** Is told of what arrived and is no valid message. */
  readonly onInvalidMessage?: InvalidMessageObserver;
  /** Milliseconds that a call may take; 0 for ever. 30 000. */
  readonly requestTimeout?: number;
  /** Disposes the client when aborted. */
  readonly signal?: AbortSignal;
  /** `false` turns all of them off. */
  readonly extensions?: ClientExtensions | false;
}

/** How one call behaves. */
export interface CallOptions {
  /** Aborts it here; the host is not told. */
  readonly signal?: AbortSignal;
  /** Milliseconds that it may take; 0 for ever. */
  readonly timeout?: number;
}

/** How a watch compares and starts. */
export interface WatchOptions<T> {
  /** Whether two values are the same; `Object.is` unless told. */
  readonly equals?: (value: T, previous: T) => boolean;
  /** Tells the first value too, as both arguments. */
  readonly immediate?: boolean;
}

/**
 * Where a client stands: no state yet; following its host; without a way to it, what it shows being old; the host broke
 * down before there was state; disposed.
 */
export interface WorkerStatus {
  readonly status: "loading" | "ready" | "offline" | "failed" | "closed";
  /** Why it failed or has no way. */
  readonly error?: Error;
}

/** The methods of a module as a client has them: every one is asynchronous. */
export type RemoteModule<T> = {
  readonly [
    K in keyof T as T[K] extends (...args: never[]) => unknown ? Exclude<K, "then" | symbol> : never
  ]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

/** A follower of a host. `S` is the shape of its state. */
export interface WorkerClient<S extends object = Record<string, unknown>> {
  /** Resolves when there is state for the first time. */
  readonly ready: Promise<void>;
  /** What is known of the state; `version` is 0 before anything arrived. */
  readonly state: { readonly version: number };
  /** Where it stands: another object whenever it is another. */
  readonly status: WorkerStatus;
  /** How much arrived that was no valid message. */
  readonly invalidCount: number;
  /** Tells `listener` whenever `status` is another, until told to stop. */
  onStatus(listener: (status: WorkerStatus) => void): Unsubscribe;
  /** The state; `undefined` before the first. Never written to: a change makes a new one. */
  getState(): S | undefined;
  /**
   * What a function makes of the state.
   * @throws {@link WorkerClientError} before there is state.
   */
  select<T>(selector: (state: S) => T): T;
  /** Tells `listener` (value, previous) after each message that changed what `selector` makes of the state. */
  watch<T>(
    selector: (state: S) => T,
    listener: (value: T, previous: T) => void,
    options?: WatchOptions<T>,
  ): Unsubscribe;
  /** Runs a method of a module at the host. Resolves when its effects show here. */
  call<T = unknown>(module: string, method: string, ...args: unknown[]): Promise<T>;
  /** As {@link WorkerClient.call}, with a time-out or a signal of its own. */
  callWithOptions<T = unknown>(
    module: string,
    method: string,
    args: readonly unknown[],
    options?: CallOptions,
  ): Promise<T>;
  /** A module of the host as an object of asynchronous methods. */
  module<T extends object>(name: string): RemoteModule<T>;
  /** Tells `listener` of each accepted state message. */
  subscribe(listener: (message: StateMessage) => void): Unsubscribe;
  /** Ends the client: pending calls fail, listeners are forgotten, the last state stays readable. */
  dispose(): void;
}

/** How a client can fail on its own side. */
export type WorkerClientErrorCode =
  "call-aborted" | "call-timeout" | "client-disposed" | "client-not-ready" | "client-options" | "connection-lost";

/** A failure on this side: abort, time-out, disposal. */
export class WorkerClientError extends PeristyleError<WorkerClientErrorCode> {
  override readonly name = "CosystemError";
}

/** A failure at the host, under the name that it has there. */
export class RemoteError extends PeristyleError<"remote-error"> {
  override readonly name: string;
  constructor(error: NonNullable<ResultMessage["error"]>) {
    super("remote-error", `Remote worker error: ${error.message}`);
    this.name = error.name;
    if (error.stack !== undefined) this.stack = error.stack;
  }
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Forgets timer and signal. */
  release(): void;
  /** The result, if it waits for state. */
  result?: ResultMessage;
}

function checkTimeout(timeout: number): number {
  if (Number.isFinite(timeout) && timeout >= 0) return timeout;
  throw new WorkerClientError("client-options", "timeout must be a finite, non-negative number.");
}

const disposed = (message: string): Error => new WorkerClientError("client-disposed", message);

/** The longest time that a timer takes: beyond, it would run at once. */
const TIMER_MAX = 2 ** 31 - 1;

class Client<S extends object> implements WorkerClient<S> {
  readonly ready: Promise<void>;
  readonly state: { readonly version: number };
  invalidCount = 0;
  status: WorkerStatus = { status: "loading" };
  readonly #options: WorkerClientOptions;
  readonly #timeout: number;
  readonly #extensions: ClientExtensions;
  readonly #listeners = new Listeners<[StateMessage]>();
  readonly #watches = new Listeners<[S]>();
  readonly #statuses = new Listeners<[WorkerStatus]>();
  readonly #pending = new Map<number, Pending>();
  readonly #modules = new Map<string, unknown>();
  readonly #leave: (Unsubscribe | undefined)[] = [];
  #resolveReady!: () => void;
  #rejectReady!: (error: unknown) => void;
  #snapshot: S | undefined;
  #version = 0;
  /** The version for which a request is outstanding. */
  #requested: number | undefined;
  /** The newest version that did not fit while a request was outstanding. */
  #missed = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Versions up to this are dropped without a word. */
  #silent = 0;
  #epoch: number | undefined;
  /** The next whole state counts whatever its version: the host or the way to it is another. */
  #restarted = false;
  #nextId = 1;
  #disposed = false;

  constructor(options: WorkerClientOptions) {
    const { transport, signal, extensions = {} } = options;
    this.#options = options;
    this.#timeout = checkTimeout(options.requestTimeout ?? 30_000);
    this.#extensions =
      extensions === false ? { resync: false } : { resync: 1000, length: true, resume: true, ...extensions };
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    // Who does not ask for it is not bothered.
    this.ready.catch(() => {});
    const version = (): number => this.#version;
    this.state = {
      get version() {
        return version();
      },
    };
    this.#leave.push(
      transport.subscribe(
        (message) => this.#receive(message),
        (error) => this.#invalid(error),
      ),
    );
    this.#leave.push(transport.onConnection?.((connected) => this.#connection(connected)));
    this.#leave.push(transport.onFailure?.((error) => this.#hostFailed(error)));
    if (signal?.aborted) {
      this.dispose();
    } else if (signal) {
      const dispose = (): void => this.dispose();
      signal.addEventListener("abort", dispose, { once: true });
      this.#leave.push(() => signal.removeEventListener("abort", dispose));
    }
    if (this.#extensions.syncOnOpen && !this.#disposed) safely(() => this.#sync(this.#version, false));
  }

  getState(): S | undefined {
    return this.#snapshot;
  }

  select<T>(selector: (state: S) => T): T {
    if (this.#snapshot === undefined) throw new WorkerClientError("client-not-ready", "Worker client state is not ready.");
    return selector(this.#snapshot);
  }

  watch<T>(
    selector: (state: S) => T,
    listener: (value: T, previous: T) => void,
    { equals = Object.is, immediate = false }: WatchOptions<T> = {},
  ): Unsubscribe {
    let seen: { value: T } | undefined;
    const look = (state: S): void => {
      const value = selector(state);
      const before = seen;
      if (before === undefined) {
        seen = { value };
        if (immediate) listener(value, value);
      } else if (!equals(value, before.value)) {
        seen = { value };
        listener(value, before.value);
      }
    };
    if (this.#disposed) return () => {};
    const unwatch = this.#watches.add(look);
    if (this.#snapshot !== undefined) safely(look, this.#snapshot);
    return unwatch;
  }

  onStatus(listener: (status: WorkerStatus) => void): Unsubscribe {
    return this.#disposed ? () => {} : this.#statuses.add(listener);
  }

  subscribe(listener: (message: StateMessage) => void): Unsubscribe {
    return this.#disposed ? () => {} : this.#listeners.add(listener);
  }

  call<T = unknown>(module: string, method: string, ...args: unknown[]): Promise<T> {
    return this.callWithOptions(module, method, args);
  }

  callWithOptions<T = unknown>(
    module: string,
    method: string,
    args: readonly unknown[],
    { signal, timeout = this.#timeout }: CallOptions = {},
  ): Promise<T> {
    if (this.#disposed) return Promise.reject(disposed("Worker client has been disposed."));
    checkTimeout(timeout);
    const id = this.#nextId++;
    return new Promise<unknown>((resolve, reject) => {
      const abort = (): void => this.#fail(id, new WorkerClientError("call-aborted", "Worker call aborted."));
      let timer: ReturnType<typeof setTimeout> | undefined;
      const release = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      this.#pending.set(id, { resolve, reject, release });
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      if (timeout > 0) {
        const late = (): Error => new WorkerClientError("call-timeout", `Worker call timed out after ${timeout}ms.`);
        const expire = (): void => this.#fail(id, late());
        timer = setTimeout(expire, Math.min(timeout, TIMER_MAX));
      }
      const message: CallMessage = { type: "call", id, module, method, args };
      try {
        this.#options.transport.post(message);
      } catch (error) {
        this.#fail(id, error);
      }
    }) as Promise<T>;
  }

  module<T extends object>(name: string): RemoteModule<T> {
    const known = this.#modules.get(name);
    if (known !== undefined) return known as RemoteModule<T>;
    const methods = new Map<string, unknown>();
    const proxy = new Proxy(Object.create(null) as object, {
      get: (_, method) => {
        // A module is no promise, though every other property is a method.
        if (typeof method !== "string" || method === "then") return undefined;
        let call = methods.get(method);
        if (call === undefined) {
          call = (...args: unknown[]) => this.callWithOptions(name, method, args);
          methods.set(method, call);
        }
        return call;
      },
    });
    this.#modules.set(name, proxy);
    return proxy as RemoteModule<T>;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    clearTimeout(this.#retry);
    this.#rejectReady(disposed("Worker client disposed before initial state."));
    this.#failAll(() => disposed("Worker client disposed before response."));
    this.#setStatus("closed");
    this.#statuses.clear();
    this.#listeners.clear();
    this.#watches.clear();
    const errors: unknown[] = [];
    for (const leave of this.#leave) {
      try {
        leave?.();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** The way to the host broke, or there is a new one. */
  #connection(connected: boolean): void {
    this.#requested = undefined;
    clearTimeout(this.#retry);
    if (connected) return this.#startAnew();
    const lost = (): Error => new WorkerClientError("connection-lost", "The connection was lost before the response.");
    this.#failAll(lost);
    this.#setStatus("offline", lost());
  }

  /** The host broke down. If there is state it is not known to be gone for good. */
  #hostFailed(error: Error): void {
    if (this.#snapshot !== undefined) return;
    this.#rejectReady(error);
    this.#failAll(() => error);
    this.#setStatus("failed", error);
  }

  #setStatus(status: WorkerStatus["status"], error?: Error): void {
    if (this.status.status === status) return;
    this.status = error === undefined ? { status } : { status, error };
    this.#statuses.emit(this.status);
  }

  #startAnew(): void {
    this.#restarted = true;
    this.#silent = this.#missed = 0;
  }

  #receive(message: unknown): void {
    if (this.#disposed) return;
    if (isMessage(message)) this.#take(message);
    else this.#invalid(new InvalidMessageError(message));
  }

  #invalid(error: InvalidMessageError): void {
    this.invalidCount++;
    safely(this.#options.onInvalidMessage, error.received, error);
  }

  #take(message: Message): void {
    switch (message.type) {
      case "state":
        return this.#takeState(message);
      case "result":
        return this.#takeResult(message);
      case "ready":
        if (this.#extensions.resume && Number.isSafeInteger(message.epoch)) {
          if (this.#epoch !== undefined && this.#epoch !== message.epoch) this.#startAnew();
          this.#epoch = message.epoch;
        }
    }
  }

  #takeState(message: StateMessage): void {
    const { version } = message;
    const isWhole = message.state !== undefined;
    const isReady = this.#snapshot !== undefined;
    if (isReady && version <= this.#version && !(this.#restarted && isWhole)) {
      if (version > this.#silent) this.#conflict("stale-message", message);
      return;
    }
    let next: unknown = message.state;
    if (!isWhole) {
      if (!isReady) return this.#conflict("missing-snapshot", message);
      if (version !== this.#version + 1 || this.#restarted) return this.#conflict("version-gap", message);
      try {
        next = applyPatches(this.#snapshot, message.patches ?? [], this.#extensions);
        if (!isPlain(next)) throw new TypeError("patches lead to a state that is no object");
      } catch (error) {
        return this.#conflict("patch-apply-failed", message, error);
      }
    }
    this.#snapshot = next as S;
    this.#version = version;
    this.#restarted = false;
    if (this.#requested !== undefined && this.#requested <= version) {
      this.#silent = Math.max(this.#silent, version);
      this.#requested = undefined;
      clearTimeout(this.#retry);
    }
    this.#resolveReady();
    this.#setStatus("ready");
    this.#listeners.emit(message);
    this.#watches.emit(next as S);
    for (const [id, { result }] of [...this.#pending]) {
      if (result && (result.stateVersion ?? 0) <= this.#version) this.#settle(id, result);
    }
    // After those who wait were told.
    if (this.#missed > version) queueMicrotask(() => this.#askForMissed());
  }

  #askForMissed(): void {
    if (this.#disposed || this.#missed <= this.#version || this.#requested !== undefined) return;
    const missed = this.#missed;
    this.#missed = 0;
    safely(() => this.#sync(missed, true));
  }

  #conflict(reason: ConflictReason, message: StateMessage, error?: unknown): void {
    const incomingVersion = message.version;
    const conflict = { reason, currentVersion: this.#version, incomingVersion, message };
    safely(this.#options.onConflict, error === undefined ? conflict : { ...conflict, error });
    if (reason === "stale-message" || !this.#extensions.resync) return;
    if (this.#requested !== undefined) {
      // The answer may have been made before it.
      this.#missed = Math.max(this.#missed, incomingVersion);
      return;
    }
    // What could not be applied could not be applied again.
    safely(() => this.#sync(incomingVersion, reason === "version-gap"));
  }

  #takeResult(result: ResultMessage): void {
    const { id, stateVersion } = result;
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    if (stateVersion === undefined || (this.#snapshot !== undefined && stateVersion <= this.#version)) {
      return this.#settle(id, result);
    }
    pending.result = result;
    if (this.#requested !== undefined && stateVersion <= this.#requested) return;
    try {
      this.#sync(stateVersion, true);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  /** Asks the host for state of at least a version. */
  #sync(stateVersion: number, resumable: boolean): void {
    const { resync, resume } = this.#extensions;
    const before = this.#requested;
    const id = this.#nextId++;
    const has = resumable && resume && this.#snapshot !== undefined && !this.#restarted && this.#epoch !== undefined;
    const message: SyncMessage = { type: "sync", id, stateVersion };
    this.#requested = stateVersion;
    clearTimeout(this.#retry);
    if (resync) {
      const retry = (): void => {
        if (this.#requested !== undefined) safely(() => this.#sync(this.#requested as number, true));
      };
      this.#retry = setTimeout(retry, resync);
    }
    try {
      this.#options.transport.post(has ? { ...message, have: this.#version, epoch: this.#epoch } : message);
    } catch (error) {
      this.#requested = before;
      if (this.#nextId === id + 1) this.#nextId = id;
      throw error;
    }
  }

  #settle(id: number, { value, error }: ResultMessage): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    if (error !== undefined) return this.#fail(id, new RemoteError(error));
    this.#pending.delete(id);
    pending.release();
    pending.resolve(value);
  }

  #fail(id: number, error: unknown): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    pending.release();
    pending.reject(error);
  }

  #failAll(error: () => unknown): void {
    for (const id of [...this.#pending.keys()]) this.#fail(id, error());
  }
}

/**
 * Follows the host at the other end of a transport.
 *
 * @throws {@link WorkerClientError} for a time-out that is none; whatever the transport throws when subscribed to.
 */
export function createWorkerClient<S extends object = Record<string, unknown>>(
  options: WorkerClientOptions,
): WorkerClient<S> {
  return new Client<S>(options);
}
