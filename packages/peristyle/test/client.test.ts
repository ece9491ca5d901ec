/** What the vectors do not say of the mirror client: proxies, observers that throw, disposal, broken connections. */
import { describe, expect, test, vi } from "vitest";
import {
  RemoteError,
  createMemoryWorkerTransportPair,
  createWorkerClient,
  type WorkerClient,
  type WorkerClientOptions,
  type WorkerTransport,
} from "../src/client/index.js";
import { CounterHost } from "./support/host.js";

interface State {
  counter: { count: number };
}

class Counter {
  count = 0;
  add(by: number): number {
    return (this.count += by);
  }
  fail(): void {}
}

function pair(options: Partial<WorkerClientOptions> = {}): { client: WorkerClient<State>; host: CounterHost } {
  const { client: near, host: far } = createMemoryWorkerTransportPair();
  const client = createWorkerClient<State>({ transport: near, ...options });
  return { client, host: new CounterHost(far) };
}

describe("a client", () => {
  test("mirrors state and calls methods of modules", async () => {
    const { client, host } = pair();
    expect(client.getState()).toBeUndefined();
    expect(() => client.select((state) => state.counter)).toThrow("Worker client state is not ready.");
    host.greet();
    await client.ready;
    const counter = client.module<Counter>("counter");
    expect(await counter.add(2)).toBe(2);
    expect(client.select((state) => state.counter.count)).toBe(2);
    expect(client.state.version).toBe(1);
    await expect(counter.fail()).rejects.toThrow(RemoteError);
    await expect(counter.fail()).rejects.toMatchObject({
      name: "RangeError",
      message: "Remote worker error: no method fail",
    });
  });

  test("gives modules that are no promises", async () => {
    const { client } = pair();
    const counter = client.module<Counter>("counter");
    expect(await counter).toBe(counter);
    expect(client.module<Counter>("counter")).toBe(counter);
    expect(counter.add).toBe(counter.add);
    expect(String(Reflect.get(counter, Symbol.toPrimitive))).toBe("undefined");
  });

  test("keeps what patches do not touch", async () => {
    const { client: transport, host } = createMemoryWorkerTransportPair();
    const client = createWorkerClient({ transport });
    host.post({ type: "state", sync: "snapshot", version: 0, state: { a: { n: 1 }, b: { n: 1 } } });
    const before = client.getState();
    host.post({ type: "state", sync: "patch", version: 1, patches: [{ op: "replace", path: "/a/n", value: 2 }] });
    const after = client.getState();
    expect(after).toEqual({ a: { n: 2 }, b: { n: 1 } });
    expect(before).toEqual({ a: { n: 1 }, b: { n: 1 } });
    expect(after?.b).toBe(before?.b);
  });

  test("lets no observer disturb another, nor calls", async () => {
    const { client, host } = pair({
      onConflict: () => {
        throw new Error("conflict");
      },
    });
    const seen: number[] = [];
    client.subscribe(() => {
      throw new Error("listener");
    });
    client.subscribe(async () => Promise.reject(new Error("later")));
    client.watch(
      () => {
        throw new Error("selector");
      },
      () => {},
    );
    client.watch(
      (state) => state.counter.count,
      () => {
        throw new Error("watch");
      },
    );
    const unwatch = client.watch(
      (state) => state.counter.count,
      (count) => seen.push(count),
      { immediate: true },
    );
    host.greet();
    await client.ready;
    await client.call("counter", "add", 3);
    unwatch();
    expect(await client.call("counter", "add", 4)).toBe(7);
    expect(seen).toEqual([0, 3]);
  });

  test("is disposed by its signal, once", async () => {
    const abort = new AbortController();
    const { client: transport, host } = createMemoryWorkerTransportPair();
    const client = createWorkerClient({ transport, signal: abort.signal });
    const call = client.call("counter", "slow");
    abort.abort();
    client.dispose();
    await expect(client.ready).rejects.toThrow("Worker client disposed before initial state.");
    await expect(call).rejects.toThrow("Worker client disposed before response.");
    await expect(client.call("counter", "add", 1)).rejects.toThrow("Worker client has been disposed.");
    host.post({ type: "state", sync: "snapshot", version: 0, state: {} });
    expect(client.getState()).toBeUndefined();
    const late = pair({ signal: AbortSignal.abort() });
    await expect(late.client.ready).rejects.toThrow("disposed before initial state");
  });

  test("throws what leaving the transport throws, after the rest is done", async () => {
    const transport: WorkerTransport = {
      post: () => {},
      subscribe: () => () => {
        throw new Error("cannot leave");
      },
    };
    const client = createWorkerClient({ transport });
    const call = client.call("a", "b");
    expect(() => client.dispose()).toThrow("cannot leave");
    await expect(call).rejects.toThrow("Worker client disposed before response.");
    expect(() => client.dispose()).not.toThrow();
  });

  test("refuses time-outs that are none", () => {
    const { client: transport } = createMemoryWorkerTransportPair();
    expect(() => createWorkerClient({ transport, requestTimeout: NaN })).toThrow("finite, non-negative");
    expect(() => pair().client.callWithOptions("a", "b", [], { timeout: Infinity })).toThrow("finite, non-negative");
  });

  test("waits for longer than a timer can", async () => {
    vi.useFakeTimers();
    try {
      const { client: transport } = createMemoryWorkerTransportPair();
      const client = createWorkerClient({ transport });
      let isOver = false;
      client.callWithOptions("a", "b", [], { timeout: 2 ** 40 }).catch(() => (isOver = true));
      await vi.advanceTimersByTimeAsync(2 ** 30);
      expect(isOver).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  test("asks for state on opening where it is told to", async () => {
    const { client: transport, host: far } = createMemoryWorkerTransportPair();
    const host = new CounterHost(far);
    host.version = 7;
    const client = createWorkerClient({ transport, extensions: { syncOnOpen: true } });
    await client.ready;
    expect(client.state.version).toBe(7);
    expect(host.heard).toEqual([{ type: "sync", id: 1, stateVersion: 0 }]);
  });

  test("fails what waits when the connection breaks, and starts anew with the next", async () => {
    const { client: near, host: far } = createMemoryWorkerTransportPair();
    let tell: (connected: boolean) => void = () => {};
    const transport: WorkerTransport = {
      ...near,
      onConnection: (listener) => {
        tell = listener;
        return () => {};
      },
    };
    const conflicts: string[] = [];
    const client = createWorkerClient<State>({ transport, onConflict: ({ reason }) => conflicts.push(reason) });
    far.post({ type: "state", sync: "snapshot", version: 50, state: { counter: { count: 1 } } });
    const call = client.call("counter", "add", 1);
    tell(false);
    await expect(call).rejects.toThrow("The connection was lost before the response.");
    expect(client.getState()?.counter.count).toBe(1);
    tell(true);
    // A host that restarted begins again at a low version.
    far.post({ type: "state", sync: "snapshot", version: 2, state: { counter: { count: 9 } } });
    expect(client.state.version).toBe(2);
    expect(client.getState()?.counter.count).toBe(9);
    expect(conflicts).toEqual([]);
  });
});
