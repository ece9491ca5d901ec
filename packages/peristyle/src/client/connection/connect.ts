/**
 * One connection to a host: its state and calls, its world, its timeline.
 *
 * Text messages are those of the mirror protocol; binary ones start with a byte that names their topic.
 */
import { createWorkerClient, type WorkerClient, type WorkerClientOptions } from "../mirror/client.js";
import { isRecord } from "../mirror/message.js";
import type { Interest } from "../replica/request.js";
import type { ViewWorld, ViewWorldOptions } from "../replica/view-world.js";
import type { WorkerTransport } from "../transports/transport.js";
import { Emitter } from "./emitter.js";
import { ReplicaStream, TOPIC_RENDER, type ReplicaEvents } from "./replica-stream.js";
import { Socket, type ConnectionStatus, type SocketOptions } from "./socket.js";

/** What a connection can carry: module state and calls; the world; timeline events. */
export type Topic = "process.state" | "render.state" | "trace";

const TOPIC_TRACE = 2;

/** How to connect. */
export interface ConnectOptions extends SocketOptions {
  /** What to follow; state and world unless told. */
  readonly topics?: readonly Topic[];
  /** Sent as the first message of each connection. */
  readonly token?: string;
  /** How the view-world behaves. */
  readonly view?: ViewWorldOptions;
  /** How the mirror client behaves. */
  readonly client?: Omit<WorkerClientOptions, "transport" | "signal">;
  /** Closes the connection for good when aborted. */
  readonly signal?: AbortSignal;
}

/** What a connection tells of. */
export type ConnectionEvents = ReplicaEvents & {
  /** It opened, broke, waits, or closed for good. */
  status: ConnectionStatus;
  /** Timeline events, as they were sent. */
  trace: Uint8Array;
};

/** A text connection as a transport. */
function transportOf(socket: Socket): WorkerTransport {
  return {
    post: (message) => socket.send(JSON.stringify(message)),
    subscribe: (listener) =>
      socket.on("text", (text) => {
        let message: unknown = text;
        try {
          message = JSON.parse(text);
        } catch {
          // A text is no message, which is what the listener will find.
        }
        listener(message);
      }),
    onConnection(listener) {
      let wasOpen = false;
      return socket.on("status", ({ status }) => {
        const isOpen = status === "open";
        if (isOpen !== wasOpen) listener(isOpen);
        wasOpen = isOpen;
      });
    },
  };
}

/** A transport of the mirror protocol alone over a WebSocket that comes back. */
export interface WebSocketWorkerTransport extends WorkerTransport {
  /** The socket: its status, and `close`. */
  readonly socket: Socket;
}

/** Carries messages as JSON over a WebSocket that comes back: one text is one message. */
export function createWebSocketWorkerTransport(
  url: string | URL,
  options: SocketOptions = {},
): WebSocketWorkerTransport {
  const socket = new Socket(() => resolve(url).href, options);
  return { ...transportOf(socket), socket };
}

/** An address of a WebSocket; relative ones are taken from the page's. */
function resolve(url: string | URL): URL {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  const resolved = new URL(url, page);
  resolved.protocol = resolved.protocol.replace(/^http/, "ws");
  return resolved;
}

/** A connection to a host. `S` is the shape of its modules' state. */
export class Connection<S extends object = Record<string, unknown>> extends Emitter<ConnectionEvents> {
  /** State and calls. */
  readonly client: WorkerClient<S>;
  readonly #socket: Socket;
  readonly #replica: ReplicaStream;

  /** @internal Use {@link connect}. */
  constructor(url: string | URL, options: ConnectOptions) {
    super();
    const { topics = ["process.state", "render.state"], token, signal } = options;
    this.#socket = new Socket(() => this.#address(url, topics), options);
    this.#replica = new ReplicaStream((message) => this.#socket.send(message), options.view);
    // Before everybody else speaks.
    this.#socket.on("status", ({ status }) => {
      if (status !== "open") return;
      if (token !== undefined) this.#socket.send(JSON.stringify({ type: "auth", token }));
      if (topics.includes("render.state")) this.#replica.opened();
    });
    this.#socket.on("text", (text) => this.#noteEpoch(text));
    this.#socket.on("binary", (message) => this.#receive(message));
    this.client = createWorkerClient<S>({ ...options.client, transport: transportOf(this.#socket) });
    for (const event of ["view", "frame", "answer", "error"] as const) {
      this.#replica.on(event, (told) => this.emit(event, told as never));
    }
    this.#socket.on("status", (status) => {
      if (status.status === "closed") this.client.dispose();
      this.emit("status", status);
    });
    if (signal?.aborted) this.close();
    signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  #address(url: string | URL, topics: readonly Topic[]): string {
    const address = resolve(url);
    const resume = this.#replica.start();
    // As text: what makes queries of names and values would escape the comma.
    address.search += `${address.search === "" ? "?" : "&"}topics=${topics.join(",")}`;
    if (resume) address.search += `&epoch=${resume.epoch}&tick=${resume.tick}`;
    return address.href;
  }

  /** A host says with `ready` which of its runs this is. */
  #noteEpoch(text: string): void {
    // Only short messages can be one: states are not parsed twice.
    if (text.length > 256 || !text.includes('"ready"')) return;
    try {
      const message: unknown = JSON.parse(text);
      if (isRecord(message) && message.type === "ready" && Number.isSafeInteger(message.epoch)) {
        this.#replica.epoch = message.epoch as number;
      }
    } catch {
      // The client says that it is no message.
    }
  }

  #receive(message: Uint8Array): void {
    if (message[0] === TOPIC_TRACE) this.emit("trace", message.subarray(1));
    if (message[0] !== TOPIC_RENDER) return;
    const error = this.#replica.receive(message);
    // Another version stays another one, however often it is asked.
    if (error?.code === "version") this.#socket.close(4000, error.message);
    else if (error) this.#socket.restart(error.message);
  }

  /** Where it stands. */
  get status(): ConnectionStatus {
    return this.#socket.status;
  }

  /** The world, as soon as the host has said what it shows. */
  get view(): ViewWorld | undefined {
    return this.#replica.view;
  }

  /**
   * Asks to see a part of the world; everything if `undefined`. Without a connection it is asked for when there is one.
   * @throws {RangeError} for bounds that cannot be.
   */
  interest(interest: Interest | undefined): void {
    try {
      this.#replica.interest(interest);
    } catch (error) {
      if (error instanceof RangeError) throw error;
    }
  }

  /**
   * Tells the host what this client did, and gives the number under which it will be answered.
   * @throws {Error} if there is no connection.
   */
  input(bytes: Uint8Array): number {
    return this.#replica.input(bytes);
  }

  /** Tries again at once, if it is waiting. */
  retry(): void {
    this.#socket.retry();
  }

  /** Ends the connection for good, and the client with it. What was last shown stays readable. */
  close(): void {
    this.#socket.close();
  }
}

/**
 * Connects to a host, and comes back when the connection breaks.
 *
 * ```ts
 * const connection = connect("/ws");
 * connection.on("frame", () => draw(connection.view));
 * await connection.client.call("clock", "pause");
 * ```
 *
 * @throws {TypeError} if there is no WebSocket.
 */
export function connect<S extends object = Record<string, unknown>>(
  url: string | URL,
  options: ConnectOptions = {},
): Connection<S> {
  return new Connection<S>(url, options);
}
