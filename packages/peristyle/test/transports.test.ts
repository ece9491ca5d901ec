/** Each transport carries a conversation, and drops what is not for it. */
import { afterEach, describe, expect, test } from "vitest";
import {
  createBroadcastWorkerTransport,
  createMemoryBroadcastChannel,
  createMemoryWorkerTransportPair,
  createPostMessageWorkerTransport,
  createWorkerClient,
  type BroadcastChannelLike,
  type MessageEventLike,
} from "../src/client/index.js";
import { createDataTransportWorkerTransport } from "../src/client/transports/data-transport.js";
import { CounterHost } from "./support/host.js";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

describe("a memory pair", () => {
  test("gives each listener a copy of its own", () => {
    const { client, host } = createMemoryWorkerTransportPair();
    const heard: { list: number[] }[] = [];
    client.subscribe(() => {
      throw new Error("harms nobody");
    });
    const leave = client.subscribe((message) => heard.push(message as { list: number[] }));
    client.subscribe((message) => heard.push(message as { list: number[] }));
    const sent = { list: [1] };
    host.post(sent);
    heard[0].list.push(2);
    expect([sent.list, heard[1].list]).toEqual([[1], [1]]);
    leave();
    host.post(sent);
    expect(heard.length).toBe(3);
    expect(() => host.post(() => {})).toThrow();
  });
});

describe("postMessage", () => {
  test("carries a conversation over ports", async () => {
    const { port1, port2 } = new MessageChannel();
    cleanups.push(() => port1.close());
    const host = new CounterHost(createPostMessageWorkerTransport(port2 as never));
    const client = createWorkerClient({ transport: createPostMessageWorkerTransport(port1 as never) });
    host.greet();
    await client.ready;
    expect(await client.call("counter", "add", 5)).toBe(5);
    client.dispose();
  });

  /** A window: events from anywhere. */
  class FakeWindow {
    readonly listeners = new Set<(event: MessageEventLike) => void>();
    readonly sent: unknown[][] = [];
    addEventListener(_: "message", listener: (event: MessageEventLike) => void): void {
      this.listeners.add(listener);
    }
    removeEventListener(_: "message", listener: (event: MessageEventLike) => void): void {
      this.listeners.delete(listener);
    }
    postMessage(...message: unknown[]): void {
      if (message[0] === undefined) throw new Error("cannot be cloned");
      this.sent.push(message);
    }
    hear(event: MessageEventLike): void {
      for (const listener of this.listeners) listener(event);
    }
  }

  test("drops what comes from elsewhere, and shows what is no message", () => {
    const window = new FakeWindow();
    const frame = new FakeWindow();
    const heard: unknown[] = [];
    const invalid: unknown[] = [];
    const transport = createPostMessageWorkerTransport(frame, {
      source: window,
      targetOrigin: "https://host.example",
      allowedOrigins: ["https://host.example"],
      expectedSource: frame,
      onInvalidMessage: (message) => invalid.push(message),
    });
    const leave = transport.subscribe((message) => heard.push(message));
    const ready = { type: "ready" };
    window.hear({ data: ready, origin: "https://host.example", source: frame });
    window.hear({ data: ready, origin: "https://evil.example", source: frame });
    window.hear({ data: ready, origin: "https://host.example", source: window });
    window.hear({ data: ready, source: frame });
    window.hear({ data: { type: "no" }, origin: "https://evil.example", source: frame });
    window.hear({ data: { type: "no" }, origin: "https://host.example", source: frame });
    expect(heard).toEqual([ready]);
    expect(invalid).toEqual([{ type: "no" }]);
    transport.post({ type: "sync", id: 1 });
    expect(frame.sent).toEqual([[{ type: "sync", id: 1 }, "https://host.example"]]);
    leave();
    expect(window.listeners.size).toBe(0);
  });

  test("tells of what cannot be sent", () => {
    const errors: unknown[] = [];
    const transport = createPostMessageWorkerTransport(new FakeWindow(), {
      onError: (error, message) => errors.push([(error as Error).message, message]),
    });
    transport.post(undefined);
    expect(errors).toEqual([["cannot be cloned", undefined]]);
  });

  test("takes every origin where all are allowed", () => {
    const window = new FakeWindow();
    const heard: unknown[] = [];
    createPostMessageWorkerTransport(window, { allowedOrigins: ["*"] }).subscribe((message) => heard.push(message));
    window.hear({ data: { type: "ready" }, origin: "https://any.example" });
    window.hear({ data: { type: "ready" } });
    expect(heard.length).toBe(1);
  });
});

describe.each(["in memory", "of Node"])("a broadcast channel %s", (kind) => {
  function channels(count: number): BroadcastChannelLike[] {
    if (kind === "in memory") {
      const channel = createMemoryBroadcastChannel();
      return Array.from({ length: count }, () => channel);
    }
    const opened = Array.from({ length: count }, () => new BroadcastChannel("peristyle:test"));
    cleanups.push(() => opened.forEach((channel) => channel.close()));
    return opened as never;
  }

  test("takes answers to whoever asked", async () => {
    const [a, b, c] = channels(3);
    const host = new CounterHost(createBroadcastWorkerTransport(a, { peerId: "host" }));
    const clients = [b, c].map((channel, at) => {
      const transport = createBroadcastWorkerTransport(channel, { peerId: `client ${at}`, targetPeerId: "host" });
      return createWorkerClient({ transport, extensions: { syncOnOpen: true } });
    });
    await Promise.all(clients.map((client) => client.ready));
    // Both ask under the same ids.
    const answers = await Promise.all(clients.map((client, at) => client.call("counter", "add", at + 1)));
    expect(new Set(answers)).toEqual(new Set(answers[0] === 1 ? [1, 3] : [2, 3]));
    expect(host.count).toBe(3);
    for (const client of clients) client.dispose();
  });

  test("keeps logical channels and tokens apart", async () => {
    const [a, b, c, d] = channels(4);
    const host = createBroadcastWorkerTransport(a, { peerId: "host", authToken: "secret" });
    const heard: unknown[] = [];
    const invalid: unknown[] = [];
    host.subscribe((message) => heard.push(message));
    const guest = createBroadcastWorkerTransport(d, {
      peerId: "guest",
      onInvalidMessage: (message) => invalid.push(message),
    });
    guest.subscribe(() => {});
    const post = (channel: BroadcastChannelLike, options: object): void =>
      createBroadcastWorkerTransport(channel, { peerId: "client", ...options }).post({ type: "sync", id: 4 });
    post(b, { authToken: "wrong" });
    post(b, {});
    post(b, { authToken: "secret", channel: "another" });
    post(b, { authToken: "secret", targetPeerId: "somebody" });
    c.postMessage("noise");
    c.postMessage({ type: "cosystem:worker", channel: "cosystem:worker", source: 3, message: { type: "ready" } });
    c.postMessage({ type: "cosystem:worker", channel: "cosystem:worker", source: "x", message: { type: "no" } });
    post(c, { authToken: "secret" });
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    // Under an id of the host's own.
    expect(heard).toEqual([{ type: "sync", id: 1 }]);
    expect(invalid.length).toBe(2);
  });

  test("names who a snapshot is for, and says no more of the question", async () => {
    const [a, b] = channels(2);
    const envelopes: { target?: string; message: object }[] = [];
    b.addEventListener("message", ({ data }) => envelopes.push(data as never));
    const host = createBroadcastWorkerTransport(a, { peerId: "host" });
    const asked: { id: number }[] = [];
    host.subscribe((message) => asked.push(message as never));
    createBroadcastWorkerTransport(b, { peerId: "client" }).post({ type: "sync", id: 77 });
    while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    host.post({ type: "state", sync: "snapshot", version: 1, state: {}, syncId: asked[0].id });
    host.post({ type: "state", sync: "snapshot", version: 2, state: {}, syncId: asked[0].id });
    const fromHost = (): typeof envelopes =>
      envelopes.filter((envelope) => "source" in envelope && envelope.source === "host");
    while (fromHost().length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    const [first, second] = fromHost();
    expect([first.target, second.target]).toEqual(["client", undefined]);
    expect(first.message).not.toHaveProperty("syncId");
  });
});

describe("a data-transport bridge", () => {
  test("uses one name for each type, and listens only while somebody does", async () => {
    const listeners = new Map<string, (message: unknown) => unknown>();
    const emitted: [object, unknown][] = [];
    const invalid: unknown[] = [];
    const transport = createDataTransportWorkerTransport(
      {
        emit: (options, message) => void emitted.push([options, message]),
        listen: (name, listener) => {
          listeners.set(name, listener);
          return () => listeners.delete(name);
        },
      },
      { onInvalidMessage: (message) => invalid.push(message) },
    );
    expect(listeners.size).toBe(0);
    const heard: unknown[] = [];
    const leave = [transport.subscribe((message) => heard.push(message)), transport.subscribe(() => {})];
    expect([...listeners.keys()].sort()).toEqual(["call", "ready", "result", "state", "sync"]);
    listeners.get("ready")?.({ type: "ready" });
    listeners.get("state")?.({ type: "ready" });
    transport.post({ type: "sync", id: 1 });
    expect(heard).toEqual([{ type: "ready" }]);
    expect(invalid).toEqual([{ type: "ready" }]);
    expect(emitted).toEqual([
      [
        { name: "sync", respond: false },
        { type: "sync", id: 1 },
      ],
    ]);
    leave[0]();
    leave[0]();
    expect(listeners.size).toBe(5);
    leave[1]();
    expect(listeners.size).toBe(0);
  });
});
