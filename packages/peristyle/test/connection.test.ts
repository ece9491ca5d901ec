/** Connections over real sockets on loopback: what is sent, what is taken in, and how they come back. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import WebSocket, { WebSocketServer } from "ws";
import {
  connect,
  createWebSocketWorkerTransport,
  createWorkerClient,
  type ConnectOptions,
  type Connection,
  type ConnectionStatus,
  type WebSocketConstructor,
} from "../src/client/index.js";
import { encodeAcknowledge, encodeInput, encodeInterest } from "../src/client/replica/request.js";
import { isFinal } from "../src/client/connection/socket.js";
import { CounterHost, FrameHost, until } from "./support/host.js";

interface Peer {
  readonly url: string;
  readonly socket: WebSocket;
  readonly texts: unknown[];
  readonly binaries: Uint8Array[];
}

/** A gateway: it notes what each connection says. */
class Server {
  readonly peers: Peer[] = [];
  readonly #server: WebSocketServer;
  onPeer: (peer: Peer) => void = () => {};

  constructor(port = 0) {
    this.#server = new WebSocketServer({ host: "127.0.0.1", port });
    this.#server.on("connection", (socket, request) => {
      const peer: Peer = { url: request.url ?? "", socket, texts: [], binaries: [] };
      socket.on("message", (data: Buffer, isBinary) => {
        if (isBinary) peer.binaries.push(new Uint8Array(data));
        else peer.texts.push(JSON.parse(data.toString()));
      });
      this.peers.push(peer);
      this.onPeer(peer);
    });
  }

  /** One at a port that was just left; somebody else may have it for a moment. */
  static async again(port: number, onPeer: (peer: Peer) => void): Promise<Server> {
    for (let left = 200; ; left--) {
      const server = new Server(port);
      server.onPeer = onPeer;
      try {
        await server.listening();
        return server;
      } catch (error) {
        if (left === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async listening(): Promise<number> {
    if (this.#server.address() === null) await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const { socket } of this.peers) socket.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

let server: Server;
let port: number;
let connections: Connection[];
beforeEach(async () => {
  server = new Server();
  port = await server.listening();
  connections = [];
});
afterEach(async () => {
  for (const connection of connections) connection.close();
  await server.close();
});

function open(options: ConnectOptions = {}): Connection {
  const all = { WebSocket: WebSocket as unknown as WebSocketConstructor, delay: 5, ...options };
  const connection = connect(`http://127.0.0.1:${port}/ws/sky?x=1`, all);
  connections.push(connection);
  return connection;
}

/** With the byte that names the topic. */
const render = (message: Uint8Array): Uint8Array => Uint8Array.from([1, ...message]);

describe("a connection", () => {
  test("asks for its topics, says its token first, and follows state and world", async () => {
    const frames = new FrameHost();
    server.onPeer = ({ socket }) => {
      const host = new CounterHost({
        post: (message) => socket.send(JSON.stringify(message)),
        subscribe: (listener) => {
          socket.on("message", (data: Buffer, isBinary) => !isBinary && listener(JSON.parse(data.toString())));
          return () => {};
        },
      });
      socket.send(JSON.stringify({ type: "ready", epoch: 3 }));
      host.greet();
      socket.send(render(frames.schema));
      socket.send(render(frames.snapshot([1, 2, 3], [0, 0, 0])));
      socket.send(Uint8Array.of(2, 9, 9));
    };
    const connection = open({ token: "secret" });
    const told: unknown[] = [];
    connection.on("view", (view) => told.push(["view", view.schema.components[0].name]));
    connection.on("frame", ({ tick, snapshot }) => told.push(["frame", tick, snapshot]));
    connection.on("trace", (bytes) => told.push(["trace", [...bytes]]));
    await connection.client.ready;
    expect(await connection.client.call("counter", "add", 2)).toBe(2);
    await until(() => told.length === 3);
    expect(told).toEqual([
      ["view", "Body"],
      ["frame", 1, true],
      ["trace", [9, 9]],
    ]);
    expect([...(connection.view?.column("Body", "x") ?? [])]).toEqual([1, 2, 3]);
    const [peer] = server.peers;
    expect(peer.url).toBe("/ws/sky?x=1&topics=process.state,render.state");
    expect(peer.texts[0]).toEqual({ type: "auth", token: "secret" });
  });

  test("comes back, goes on from its tick, and keeps its view and its watches", async () => {
    const frames = new FrameHost();
    server.onPeer = ({ socket, url }) => {
      socket.send(JSON.stringify({ type: "ready", epoch: 3 }));
      socket.send(JSON.stringify({ type: "state", sync: "snapshot", version: 0, state: { n: server.peers.length } }));
      if (url.includes("tick=")) return;
      socket.send(render(frames.schema));
      socket.send(render(frames.snapshot([1, 2, 3], [0, 0, 0])));
    };
    const statuses: string[] = [];
    const connection = open();
    connection.on("status", ({ status }) => statuses.push(status));
    const seen: unknown[] = [];
    connection.client.watch(
      (state) => state.n,
      (n) => seen.push(n),
      { immediate: true },
    );
    await until(() => connection.view?.tick === 1);
    const { view } = connection;
    server.peers[0].socket.terminate();
    await until(() => server.peers.length === 2 && connection.status.status === "open");
    expect(server.peers[1].url).toContain("epoch=3&tick=1");
    server.peers[1].socket.send(render(frames.frame([4, 5, 6], [0, 0, 0])));
    await until(() => connection.view?.tick === 2);
    expect(connection.view).toBe(view);
    expect([...(view?.column("Body", "x") ?? [])]).toEqual([4, 5, 6]);
    expect(seen).toEqual([1, 2]);
    expect(statuses).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
  });

  test("survives a restart of the server, at a port that is closed for a while", async () => {
    const frames = new FrameHost();
    const greet =
      (epoch: number, xs: number[]) =>
      ({ socket }: Peer): void => {
        socket.send(JSON.stringify({ type: "ready", epoch }));
        socket.send(render(frames.schema));
        socket.send(render(frames.snapshot(xs, xs)));
      };
    server.onPeer = greet(1, [1]);
    const connection = open();
    await until(() => connection.view?.tick === 1);
    await server.close();
    await until(() => connection.status.status === "waiting" && connection.status.attempt > 2);
    server = await Server.again(port, greet(2, [7, 8]));
    await until(() => connection.view?.tick === 2);
    expect([...(connection.view?.column("Body", "x") ?? [])]).toEqual([7, 8]);
  });

  test("leaves a stream that does not fit, and starts from a snapshot", async () => {
    const frames = new FrameHost();
    server.onPeer = ({ socket }) => {
      socket.send(JSON.stringify({ type: "ready", epoch: 1 }));
      socket.send(render(frames.schema));
      socket.send(render(frames.snapshot([1], [1])));
    };
    const sockets: WebSocket[] = [];
    class Noted extends WebSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    }
    const connection = open({ WebSocket: Noted as unknown as WebSocketConstructor });
    const errors: string[] = [];
    const statuses: string[] = [];
    connection.on("error", (error) => errors.push(error.code));
    connection.on("status", ({ status }) => statuses.push(status));
    await until(() => connection.view?.tick === 1);
    frames.frame([2], [2]);
    server.peers[0].socket.send(render(frames.frame([3], [3])));
    await until(() => connection.view?.tick === 4);
    expect(errors).toEqual(["gap"]);
    // The old socket's close comes late, and is nobody's concern.
    await until(() => sockets[0].readyState === WebSocket.CLOSED);
    await until(() => connection.status.status === "open");
    expect(statuses).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
    expect(server.peers[1].url).not.toContain("tick=");
  });

  test("starts anew where the host does not say which of its runs this is", async () => {
    const frames = new FrameHost();
    server.onPeer = ({ socket }) => {
      socket.send(render(frames.schema));
      socket.send(render(frames.snapshot([1], [1])));
    };
    const connection = open();
    await until(() => connection.view?.tick === 1);
    server.peers[0].socket.terminate();
    await until(() => connection.view?.tick === 2);
    expect(server.peers[1].url).not.toContain("tick=");
  });

  test("says again which part it wants to see, and does not go on from a part", async () => {
    const frames = new FrameHost();
    const connection = open();
    const interest = { component: "Body", within: { x: [0, 10] } } as const;
    // Before there is a connection.
    connection.interest(interest);
    await until(() => server.peers[0]?.binaries.length === 1);
    const request = [1, ...encodeInterest(interest)];
    expect([...server.peers[0].binaries[0]]).toEqual(request);
    const { socket } = server.peers[0];
    socket.send(JSON.stringify({ type: "ready", epoch: 1 }));
    socket.send(render(frames.schema));
    socket.send(render(frames.snapshot([1], [1])));
    await until(() => connection.view?.tick === 1);
    socket.terminate();
    await until(() => server.peers[1]?.binaries.length === 1);
    expect(server.peers[1].url).not.toContain("tick=");
    expect([...server.peers[1].binaries[0]]).toEqual(request);
    expect(() => connection.interest({ component: "Body", within: { x: [NaN, 1] } })).toThrow("is no number");
  });

  test("numbers inputs and is told which are in", async () => {
    const frames = new FrameHost();
    const connection = open();
    expect(() => connection.input(Uint8Array.of(1))).toThrow("The connection is not open.");
    await until(() => connection.status.status === "open");
    expect(connection.input(Uint8Array.of(5))).toBe(1);
    expect(connection.input(Uint8Array.of(6))).toBe(2);
    await until(() => server.peers[0].binaries.length === 2);
    expect([...server.peers[0].binaries[1]]).toEqual([1, ...encodeInput(2, Uint8Array.of(6))]);
    const answers: unknown[] = [];
    connection.on("answer", (answer) => answers.push(answer));
    const { socket } = server.peers[0];
    socket.send(render(frames.schema));
    socket.send(render(frames.snapshot([1], [1])));
    socket.send(Uint8Array.of(1, 0xd7, 1, 2, 1, 1));
    socket.send(render(frames.frame([2], [1], undefined, 2)));
    await until(() => answers.length === 2);
    expect(answers).toEqual([
      { tick: 1, input: 1 },
      { tick: 2, input: 2 },
    ]);
  });

  test("does not ask again where it is not wanted", async () => {
    server.onPeer = ({ socket }) => socket.close(4401, "not authorised");
    const connection = open();
    await until(() => connection.status.status === "closed");
    expect(connection.status).toEqual({ status: "closed", code: 4401, reason: "not authorised" });
    await expect(connection.client.ready).rejects.toThrow("disposed before initial state");
    expect(server.peers.length).toBe(1);
  });

  test("does not ask a host of another version again, and says so", async () => {
    server.onPeer = ({ socket }) => {
      const schema = render(new FrameHost().schema);
      schema[2] = 9;
      socket.send(schema);
    };
    const connection = open();
    await until(() => connection.status.status === "closed");
    expect(connection.status).toMatchObject({ reason: "the frame has version 9 of the format, this is version 1" });
    expect(server.peers.length).toBe(1);
  });

  test("waits longer each time, and not as long as the others", async () => {
    await server.close();
    const waits: number[] = [];
    const connection = open({ delay: 4, delayMax: 20, random: () => 0.5 });
    connection.on("status", (status: ConnectionStatus) => {
      if (status.status === "waiting") waits.push(status.retryIn);
    });
    await until(() => waits.length === 5);
    expect(waits).toEqual([3, 6, 12, 15, 15]);
    connection.close();
    server = new Server();
  });

  test("takes a silent host for dead, and one that does not answer", async () => {
    const connection = open({ idleTimeout: 20 });
    await until(() => server.peers.length === 2);
    connection.close();
    const reasons: string[] = [];
    // It accepts, and never speaks HTTP.
    const { createServer } = await import("node:net");
    const deaf = createServer((socket) => void socket.resume()).listen(0, "127.0.0.1");
    await new Promise((resolve) => deaf.once("listening", resolve));
    const other = connect(`ws://127.0.0.1:${(deaf.address() as AddressInfo).port}`, {
      WebSocket: WebSocket as unknown as WebSocketConstructor,
      connectTimeout: 20,
    });
    other.on("status", (status) => status.status === "waiting" && reasons.push(status.reason));
    await until(() => reasons.length > 0);
    expect(reasons[0]).toBe("the host did not answer in time");
    other.close();
    await new Promise((resolve) => deaf.close(resolve));
  });

  test("is closed by its signal", async () => {
    const abort = new AbortController();
    const connection = open({ signal: abort.signal });
    await until(() => connection.status.status === "open");
    abort.abort();
    expect(connection.status.status).toBe("closed");
    await until(() => server.peers[0].socket.readyState === WebSocket.CLOSED);
  });

  test("says when there is no WebSocket, and when an address is none", async () => {
    const found = (globalThis as { WebSocket?: unknown }).WebSocket;
    Reflect.deleteProperty(globalThis, "WebSocket");
    expect(() => connect("ws://127.0.0.1:1")).toThrow("there is no WebSocket here");
    if (found !== undefined) Object.assign(globalThis, { WebSocket: found });
    const connection = connect("nowhere", { WebSocket: WebSocket as unknown as WebSocketConstructor });
    await until(() => connection.status.status === "closed");
    expect(connection.status).toMatchObject({ reason: expect.stringContaining("Invalid URL") as string });
  });
});

test("a mirror alone can go over a WebSocket", async () => {
  const transport = createWebSocketWorkerTransport(`ws://127.0.0.1:${port}/`, {
    WebSocket: WebSocket as unknown as WebSocketConstructor,
  });
  const invalid: unknown[] = [];
  const client = createWorkerClient({ transport, onInvalidMessage: (message) => invalid.push(message) });
  await expect(client.call("a", "b")).rejects.toThrow("The connection is not open.");
  await until(() => server.peers.length === 1);
  server.peers[0].socket.send("{");
  server.peers[0].socket.send(JSON.stringify({ type: "state", sync: "snapshot", version: 4, state: {} }));
  await client.ready;
  expect(client.state.version).toBe(4);
  expect(invalid).toEqual(["{"]);
  client.dispose();
  transport.socket.close();
});

test("refusals are final, haste and breaks are not", () => {
  expect([1008, 4400, 4401, 4403].every(isFinal)).toBe(true);
  expect([1000, 1001, 1006, 1011, 1013, 4000, 4408, 4429, 4500].some(isFinal)).toBe(false);
});

test("requests have the bytes that the host reads", () => {
  const url = new URL("fixtures/replica/requests.json", import.meta.url);
  const requests = JSON.parse(readFileSync(url, "utf8")) as {
    bytes: string;
    acknowledge?: number;
    input?: number;
    payload?: number[];
    interest?: { component: string; limits: [string, number, number | null][] } | null;
  }[];
  expect(requests.length).toBeGreaterThan(6);
  for (const { bytes, acknowledge, input, payload = [], interest } of requests) {
    let encoded: Uint8Array;
    if (acknowledge !== undefined) encoded = encodeAcknowledge(acknowledge);
    else if (input !== undefined) encoded = encodeInput(input, Uint8Array.from(payload));
    else if (interest === null || interest === undefined) encoded = encodeInterest(undefined);
    else {
      const limits = interest.limits.map(([field, least, end]) => [field, [least, end ?? Infinity]]);
      encoded = encodeInterest({ component: interest.component, within: Object.fromEntries(limits) as never });
    }
    expect(Buffer.from(encoded).toString("hex")).toBe(bytes);
  }
});
