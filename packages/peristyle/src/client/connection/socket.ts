/**
 * A WebSocket that comes back.
 *
 * States: *connecting*, *open*, *waiting* for the next attempt, *closed* for good. Waits grow by a factor of two up to
 * a bound, and are shortened at random, so that clients of a host that restarted do not return all at once.
 *
 * # Rules
 * - Nothing is kept while there is no connection: who sends is told at once.
 * - A host that refuses for good (see {@link isFinal}) is not asked again.
 */
import { Emitter } from "./emitter.js";

/** What is needed of a WebSocket: that of browsers, of Node from 22 on, or of the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: (event: object) => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { code: number; reason: string }) => void): void;
}

/** Makes WebSockets. */
export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** How a socket comes back. */
export interface SocketOptions {
  /** Makes the sockets; the global `WebSocket` unless told. */
  readonly WebSocket?: WebSocketConstructor;
  /** Milliseconds before the first new attempt. 250. */
  readonly delay?: number;
  /** Milliseconds before a new attempt at most. 15 000. */
  readonly delayMax?: number;
  /** Milliseconds that an attempt may take. 10 000. */
  readonly connectTimeout?: number;
  /** Milliseconds without a message after which the connection is taken for dead; 0 for never. 0. */
  readonly idleTimeout?: number;
  /** Whether to come back after this close; all but refusals unless told. */
  readonly shouldReconnect?: (code: number, reason: string) => boolean;
  /** Numbers from 0 to 1 for the waits; `Math.random` unless told. */
  readonly random?: () => number;
}

/** Where a connection stands. */
export type ConnectionStatus =
  | { readonly status: "connecting"; readonly attempt: number }
  | { readonly status: "open" }
  | {
      readonly status: "waiting";
      readonly attempt: number;
      /** Milliseconds until the next attempt. */
      readonly retryIn: number;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly status: "closed"; readonly code: number; readonly reason: string };

type SocketEvents = {
  status: ConnectionStatus;
  text: string;
  binary: Uint8Array;
};

/** A connection that was open this long counts as one that worked: the next wait is the shortest again. */
const STABLE_MS = 10_000;

/** Whether a close code says that asking again is of no use: policy, and what answers 4xx over HTTP save for haste. */
export function isFinal(code: number): boolean {
  return code === 1008 || (code >= 4400 && code < 4500 && code !== 4408 && code !== 4429);
}

/** A WebSocket that comes back. */
export class Socket extends Emitter<SocketEvents> {
  status: ConnectionStatus = { status: "connecting", attempt: 0 };
  readonly #url: () => string;
  readonly #options: SocketOptions;
  readonly #WebSocket: WebSocketConstructor;
  #socket: WebSocketLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #openedAt = 0;

  /**
   * @param url asked before each attempt.
   * @throws {TypeError} if there is no WebSocket.
   */
  constructor(url: () => string, options: SocketOptions = {}) {
    super();
    const found = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (found === undefined) throw new TypeError("there is no WebSocket here: pass one as the option `WebSocket`");
    this.#url = url;
    this.#options = options;
    this.#WebSocket = found;
    // After whoever made it has begun to listen.
    queueMicrotask(() => this.#connect());
  }

  /**
   * Sends a message.
   * @throws {Error} if there is no connection.
   */
  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket === undefined || this.status.status !== "open") throw new Error("The connection is not open.");
    this.#socket.send(data);
  }

  /** Ends it for good. */
  close(code = 1000, reason = ""): void {
    if (this.status.status === "closed") return;
    this.#drop(code, reason);
    this.#set({ status: "closed", code, reason });
  }

  /** Leaves this connection for another one. */
  restart(reason: string): void {
    if (this.status.status === "closed" || this.#socket === undefined) return;
    this.#drop(4000, reason);
    this.#wait(4000, reason);
  }

  /** Tries again at once, if it is waiting. */
  retry(): void {
    if (this.status.status === "waiting") this.#connect();
  }

  #set(status: ConnectionStatus): void {
    this.status = status;
    this.emit("status", status);
  }

  #connect(): void {
    if (this.status.status === "closed") return;
    clearTimeout(this.#timer);
    this.#set({ status: "connecting", attempt: this.#attempt });
    let socket: WebSocketLike;
    try {
      socket = new this.#WebSocket(this.#url());
    } catch (error) {
      // The address is none: it will not get better.
      return this.#set({
        status: "closed",
        code: 1006,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const isCurrent = (): boolean => this.#socket === socket;
    const { connectTimeout = 10_000 } = this.#options;
    this.#timer = setTimeout(() => this.restart("the host did not answer in time"), connectTimeout);
    socket.addEventListener("open", () => {
      if (!isCurrent()) return;
      clearTimeout(this.#timer);
      this.#openedAt = performance.now();
      this.#listenFor();
      this.#set({ status: "open" });
    });
    socket.addEventListener("message", ({ data }) => {
      if (!isCurrent()) return;
      this.#listenFor();
      if (typeof data === "string") this.emit("text", data);
      else if (data instanceof ArrayBuffer) this.emit("binary", new Uint8Array(data));
    });
    // What an error was is told by the close that follows.
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", ({ code, reason }) => {
      if (!isCurrent()) return;
      this.#drop();
      const { shouldReconnect = (closed: number) => !isFinal(closed) } = this.#options;
      if (shouldReconnect(code, reason)) this.#wait(code, reason);
      else this.#set({ status: "closed", code, reason });
    });
  }

  /** Takes the connection for dead if nothing comes. */
  #listenFor(): void {
    const { idleTimeout = 0 } = this.#options;
    if (idleTimeout === 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.restart("the host fell silent"), idleTimeout);
  }

  #wait(code: number, reason: string): void {
    const { delay = 250, delayMax = 15_000, random = Math.random } = this.#options;
    if (this.#openedAt !== 0 && performance.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    this.#openedAt = 0;
    const longest = Math.min(delayMax, delay * 2 ** Math.min(this.#attempt, 30));
    this.#attempt++;
    // At least half of it, so that nobody asks without a pause.
    const retryIn = Math.round(longest * (0.5 + random() / 2));
    this.#timer = setTimeout(() => this.#connect(), retryIn);
    this.#set({ status: "waiting", attempt: this.#attempt, retryIn, code, reason });
  }

  #drop(code?: number, reason?: string): void {
    const socket = this.#socket;
    this.#socket = undefined;
    clearTimeout(this.#timer);
    clearTimeout(this.#idle);
    if (code === undefined) return;
    try {
      // A reason has at most 123 bytes; ours are ASCII.
      socket?.close(code, reason?.slice(0, 123));
    } catch {
      // It was not open yet: it is left all the same.
    }
  }
}
