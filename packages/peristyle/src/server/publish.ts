/**
 * Serves a world over WebSocket to those who follow it with `peristyle/client`.
 *
 * The core encodes one frame for each published tick, whatever the number of clients, and keeps a bounded log of frames.
 * A client is handed what it lacks while its socket has room; who falls behind the log starts again from a snapshot, and
 * who comes back goes on from the tick that it had.
 *
 * # Rules
 * - Refused before the upgrade: foreign origins, wrong tokens, other paths, too many clients.
 * - Nothing of a client grows without bound: no frame is made for who does not take the last one.
 * - Whatever a client sends is checked by the core; what makes no sense ends its connection alone.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { PeristyleError, ServeError } from "../errors.js";
import type { AnyComponent } from "../world/component.js";
import { describePublished, wholeTicks, type PublishedComponent } from "../world/published.js";
import type { World } from "../world/world.js";
import { checkUpgrade, refuse, ServerSocket, type Refusal } from "./websocket.js";

/** What a client did: what it gave to `connection.input`. */
export interface ClientInput {
  /** Its number: the client's own count, ever upwards while it is connected. */
  readonly number: number;
  /** As the client gave them, at most 64 KiB: nothing of them has been checked. */
  readonly bytes: Uint8Array;
}

/** How a world is served. */
export interface PublishWorldOptions {
  /** A frame is published after every so many ticks. 1. */
  readonly every?: number;
  /** What is published; every component that lies in columns, as optional, unless told. */
  readonly components?: readonly (AnyComponent | PublishedComponent)[];
  /** A frame with a hash of what is in view comes after every so many ticks, so that clients can tell that they are right. */
  readonly hashEvery?: number;
  /** Listens on this port by itself; 0 for any that is free. */
  readonly port?: number;
  /** The address to listen on. `127.0.0.1`. */
  readonly host?: string;
  /** A server of yours whose upgrades are served. */
  readonly server?: Server;
  /** The path of its address. `/`. */
  readonly path?: string;
  /** What clients must say first. */
  readonly token?: string;
  /**
   * Origins of pages that may follow. Those of the same host unless told; where only this machine listens, that host must be
   * `localhost` or an address of loopback, so say it behind a proxy. Who is no page has no origin.
   */
  readonly allowedOrigins?: readonly string[];
  /** How many may follow. 1 024. */
  readonly clientsMax?: number;
  /** Clients are pinged every so many milliseconds; who gave no sign of life until the next time is cut off. 30 000. */
  readonly pingEvery?: number;
  /**
   * Takes what clients did, each input once, in the order of each client; `client` is a number that no other connection
   * has. It is called after a frame is published, between ticks: what it changes, and what the systems of the next tick
   * do by it, is in the next frame, which answers the client. If it throws, that client's connection is closed with 4400.
   * Inputs are dropped unless this is given.
   */
  readonly onInput?: (client: number, input: ClientInput) => void;
}

/** A world that is served. */
export interface Publication {
  /** Resolves when clients can connect; the port, if it listens by itself. */
  readonly ready: Promise<number | undefined>;
  /** How many follow. */
  readonly clients: number;
  /** Publishes a frame now. For worlds that are changed outside of ticks. */
  publish(): void;
  /** Serves an upgrade of a server of yours: give it as the listener of `upgrade`. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends it: clients are told, and the world keeps nothing for it any more. */
  close(): Promise<void>;
}

/** The byte that messages of a world start with. */
const TOPIC_RENDER = 1;
/** Bytes that may wait in a client's socket before it is given no more. */
const BUFFERED_MAX = 1 << 20;
/** Bytes of a client's message at most. */
const MESSAGE_MAX = 64 << 10;
/** Milliseconds that a client has to say its token. */
const TOKEN_MS = 10_000;
/** Bytes of an input's connection and number, before what the client gave. */
const INPUT_HEAD = 16;
/** Milliseconds between pings, unless told. */
const PING_MS = 30_000;
/** Milliseconds that timers of Node can count at most. */
const TIMER_MAX = 2 ** 31 - 1;

/** Which run of a host this is: ticks of another mean nothing. */
const newEpoch = () => Math.floor(Math.random() * 2 ** 31) + 1;

/** Serves a world, see {@link PublishWorldOptions}. */
export function publishWorld(world: World, options: PublishWorldOptions = {}): Publication {
  return new WorldServer(world, options);
}

interface Client {
  readonly socket: ServerSocket;
  /** Its number in the core; nothing before it said its token. */
  connection: number | undefined;
}

class WorldServer implements Publication {
  readonly ready: Promise<number | undefined>;
  readonly #world: World;
  readonly #options: PublishWorldOptions;
  readonly #mirror: number;
  readonly #epoch = newEpoch();
  readonly #clients = new Set<Client>();
  readonly #every: number;
  readonly #server: Server | undefined;
  readonly #stop: () => void;
  readonly #pings: ReturnType<typeof setInterval>;
  #tick = 0;
  #since = 0;
  #closed = false;

  constructor(world: World, options: PublishWorldOptions) {
    this.#world = world;
    this.#options = options;
    this.#every = wholeTicks("publishWorld", "every", options.every ?? 1);
    const pingEvery = options.pingEvery ?? PING_MS;
    if (!(pingEvery > 0 && pingEvery <= TIMER_MAX)) {
      throw new ServeError("serve-options", `publishWorld: \`pingEvery\` must be milliseconds above 0, not ${pingEvery}`);
    }
    const { core } = world;
    this.#mirror = core.check(core.abi.mirror(core.writeText(this.#text())));
    try {
      this.publish();
    } catch (error) {
      this.#drop();
      throw error;
    }
    this.#stop = world.onTick(() => {
      if (++this.#since < this.#every) return;
      this.#since = 0;
      this.publish();
    });
    // A peer whose machine or network went away says nothing of it, and would keep its place.
    this.#pings = setInterval(() => {
      for (const { socket } of this.#clients) socket.probe();
    }, pingEvery);
    this.#pings.unref();
    const { server, port, host = "127.0.0.1" } = options;
    server?.on("upgrade", this.#upgraded);
    if (port === undefined) {
      this.ready = Promise.resolve(undefined);
      return;
    }
    this.#server = createServer((_, response) => response.writeHead(426, { connection: "close" }).end("WebSocket\n"));
    this.#server.on("upgrade", this.#upgraded);
    this.ready = new Promise((resolve, reject) => {
      this.#server!.once("error", reject);
      this.#server!.listen(port, host, () => resolve((this.#server!.address() as AddressInfo).port));
    });
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** The view, as the core is told of it. */
  #text(): string {
    const { components, hashEvery } = this.#options;
    const lines = describePublished(this.#world, components);
    if (hashEvery !== undefined) lines.push(`hash-every ${wholeTicks("publishWorld", "hashEvery", hashEvery)}`);
    lines.push(`epoch ${this.#epoch}`, `prefix ${TOPIC_RENDER}`);
    return lines.join("\n");
  }

  publish(): void {
    if (this.#closed) return;
    const { core } = this.#world;
    core.check(core.abi.mirror_publish(this.#mirror, ++this.#tick));
    for (const client of this.#clients) this.#pump(client);
    this.#takeInputs();
  }

  /**
   * Takes what clients did: the core keeps a bounded number for each. After a frame and not before it, because the core
   * answers what was taken with the next frame, and systems that are handed an input now have done it by then.
   */
  #takeInputs(): void {
    const { core } = this.#world;
    // The hook may end it.
    while (!this.#closed) {
      const bytes = core.check(core.abi.mirror_input(this.#mirror));
      if (bytes === 0) return;
      const { onInput } = this.#options;
      if (!onInput) continue;
      const at = core.scratch();
      const input = core.u8().slice(at, at + bytes);
      const head = new DataView(input.buffer);
      const connection = head.getFloat64(0, true);
      try {
        onInput(connection, { number: head.getFloat64(8, true), bytes: input.subarray(INPUT_HEAD) });
      } catch {
        // What a client sends must not end the frame of all.
        for (const client of this.#clients) {
          if (client.connection === connection) client.socket.close(4400, "the input makes no sense");
        }
      }
    }
  }

  readonly #upgraded = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A server of the user's may have other paths, which are not ours to refuse.
    if (this.#options.server && pathOf(request) !== (this.#options.path ?? "/")) return;
    this.handleUpgrade(request, socket, head);
  };

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = checkUpgrade(request) ?? this.#refusal(request);
    if (refusal) return refuse(socket, refusal);
    // Who left already would never be heard to leave.
    if (!socket.readable || !socket.writable) return void socket.destroy();
    const resume = new URL(request.url ?? "/", "http://host").searchParams;
    const open = (client: Client) => {
      const { core } = this.#world;
      const epoch = integer(resume.get("epoch"));
      const tick = integer(resume.get("tick"));
      const came = epoch >= 0 && tick >= 0 ? ([epoch, tick] as const) : ([-1, -1] as const);
      this.#guard(client, () => {
        client.connection = core.check(core.abi.mirror_open(this.#mirror, ...came));
        client.socket.send(JSON.stringify({ type: "ready", epoch: this.#epoch }));
      });
      this.#pump(client);
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const events = {
      message: (data: string | Uint8Array) => {
        if (this.#closed) return;
        if (client.connection !== undefined) return this.#receive(client, data);
        clearTimeout(timer);
        if (typeof data !== "string" || !this.#isToken(data)) return client.socket.close(4401, "the token is wrong");
        open(client);
      },
      drain: () => this.#pump(client),
      close: () => {
        clearTimeout(timer);
        this.#clients.delete(client);
        const { core } = this.#world;
        const { connection } = client;
        client.connection = undefined;
        if (connection !== undefined) this.#guard(client, () => core.abi.mirror_close(this.#mirror, connection));
      },
    };
    const client: Client = { socket: new ServerSocket(request, socket, head, events, MESSAGE_MAX), connection: undefined };
    this.#clients.add(client);
    if (this.#options.token === undefined) return open(client);
    timer = setTimeout(() => client.socket.close(4401, "no token came in time"), TOKEN_MS);
    timer.unref();
  }

  #refusal(request: IncomingMessage): Refusal | undefined {
    const { path = "/", allowedOrigins, clientsMax = 1024 } = this.#options;
    const { origin } = request.headers;
    if (this.#closed) return { status: 503, reason: "the world is no longer served" };
    if (pathOf(request) !== path) return { status: 404, reason: "there is nothing here" };
    if (origin !== undefined) {
      const allowed = allowedOrigins ? allowedOrigins.includes(origin) : this.#isOwn(origin, request);
      if (!allowed) return { status: 403, reason: "pages of this origin may not follow" };
    }
    if (this.#clients.size >= clientsMax) return { status: 503, reason: "too many follow already" };
    return undefined;
  }

  /** Whether a page is of the host that it asks. */
  #isOwn(origin: string, { headers, socket }: IncomingMessage): boolean {
    const host = hostOf(origin);
    if (host === undefined || host !== headers.host?.toLowerCase()) return false;
    const listening = (this.#options.server ?? this.#server)?.address();
    // Of a server that is not known, what its connection came to.
    const address = !listening ? socket.localAddress : typeof listening === "string" ? "" : listening.address;
    // A page whose name was made to point here (DNS rebinding) names itself as host and origin.
    return !isLoopback(address ?? "") || isLoopback(new URL(origin).hostname);
  }

  #isToken(text: string): boolean {
    let said: unknown;
    try {
      said = (JSON.parse(text) as { token?: unknown } | null)?.token;
    } catch {
      return false;
    }
    // Hashes have one length, so comparing them tells nothing of the token's.
    const hash = (token: string) => createHash("sha256").update(token).digest();
    return typeof said === "string" && timingSafeEqual(hash(said), hash(this.#options.token!));
  }

  #receive(client: Client, data: string | Uint8Array): void {
    const { core } = this.#world;
    // Texts are for modules, and there are none here; a token that nobody asked for is no harm.
    if (typeof data === "string") return;
    if (data[0] !== TOPIC_RENDER) return client.socket.close(4400, "no such topic on this connection");
    try {
      const bytes = data.length - 1;
      const at = core.scratch(bytes);
      core.u8().set(data.subarray(1), at);
      core.check(core.abi.mirror_receive(this.#mirror, client.connection!, bytes));
    } catch (error) {
      if (!(error instanceof PeristyleError)) throw error;
      return client.socket.close(4400, error.message);
    }
    // Nobody wants them: a world that stands still would have clients cut off for what waits.
    if (!this.#options.onInput) this.#guard(client, () => this.#takeInputs());
    this.#pump(client);
  }

  /** Sends a client what it lacks, while there is room. */
  #pump(client: Client): void {
    const { core } = this.#world;
    const { connection } = client;
    if (connection === undefined) return;
    this.#guard(client, () => {
      while (client.socket.isOpen && client.socket.bufferedAmount < BUFFERED_MAX) {
        const bytes = core.check(core.abi.mirror_take(this.#mirror, connection));
        if (bytes === 0) return;
        const at = core.scratch();
        client.socket.send(core.u8().slice(at, at + bytes));
      }
    });
  }

  /**
   * Does something for one client. If it fails, that client's connection ends: sockets call this, and what they are
   * thrown ends the process. A core that broke off tells it to who steps the world.
   */
  #guard(client: Client, act: () => void): void {
    try {
      act();
    } catch {
      client.socket.close(1011, "the world cannot be followed now");
    }
  }

  /** Gives the log and what follows changes back to the world. */
  #drop(): void {
    try {
      this.#world.core.check(this.#world.core.abi.mirror_drop(this.#mirror));
    } catch {
      // A core that broke off has told that to who steps the world, and has nothing to give back.
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop();
    clearInterval(this.#pings);
    this.#options.server?.off("upgrade", this.#upgraded);
    for (const { socket } of this.#clients) socket.close(1001, "the world is no longer served");
    this.#drop();
    const server = this.#server;
    if (!server) return;
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    // Those that have asked for nothing yet; clients have left the server's hands, and are given the time to answer.
    server.closeAllConnections();
    await ended;
  }
}

function integer(text: string | null): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : -1;
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?")[0];
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

/** Whether an address, or the host of a URL, is this machine's alone. */
function isLoopback(host: string): boolean {
  return /^(localhost|\[?(::1|::ffff:127\..*)\]?|127\.\d+\.\d+\.\d+)$/.test(host);
}
