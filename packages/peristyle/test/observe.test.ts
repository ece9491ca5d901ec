/** What UI libraries observe: queries over a recorded stream, and where a client stands. */
import { readFileSync } from "node:fs";
import { expect, expectTypeOf, test } from "vitest";
import { Action, AppError, Module, State, createWorkerApp } from "../src/app/index.js";
import {
  PeristyleError,
  ViewWorld,
  component,
  createMemoryWorkerTransportPair,
  createWorkerClient,
  type ComponentType,
  type WorkerStatus,
  type WorkerTransport,
} from "../src/client/index.js";
import { viewWorld, World } from "../src/index.js";
import { isSameQuery, keeper, observeQuery, type WorldSource } from "../src/client/observe.js";

const bytes = new Uint8Array(readFileSync(new URL("fixtures/replica/stream.bin", import.meta.url)));
const messages: Uint8Array[] = [];
for (let at = 0; at < bytes.length; ) {
  const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true);
  messages.push(bytes.slice(at + 4, at + 4 + length));
  at += 4 + length;
}
const [schema, ...frames] = messages as [Uint8Array, ...Uint8Array[]];

/** A world that is moved on by hand. */
class Source implements WorldSource {
  view: ViewWorld | undefined;
  readonly listeners = new Set<() => void>();
  on(_: "view" | "frame", listener: () => void): () => void {
    const own = (): void => listener();
    this.listeners.add(own);
    return () => this.listeners.delete(own);
  }
  next(frame: Uint8Array): void {
    this.view ??= ViewWorld.open(schema);
    this.view.apply(frame);
    for (const listener of this.listeners) listener();
  }
}

/** The components of the recording. */
const components: ComponentType[] = ViewWorld.open(schema).schema.components.map(({ name, fields }) =>
  component(name, Object.fromEntries(fields.map(({ name, scalar }) => [name, scalar]))),
);

const queries = components.flatMap((one, at) => {
  const other = components[(at + 1) % components.length] as ComponentType;
  return [{ all: [one] }, { all: [one, other] }, { all: [one], none: [other] }, { all: [], any: [one, other] }];
});

test.each(queries.map((query, at) => [at, query] as const))("query %i follows a recorded stream", (_, query) => {
  const source = new Source();
  const followed = observeQuery(source, query);
  let told = 0;
  expect(followed.get()).toBeUndefined();
  const stop = followed.subscribe(() => told++);
  for (const frame of frames) {
    const before = followed.get();
    const toldBefore = told;
    source.next(frame);
    const after = followed.get();
    // Who comes anew sees the same.
    expect(after).toEqual(observeQuery(source, query).get());
    expect(told > toldBefore).toBe(after !== before);
    // What did not change is the same object.
    const changed = query.all.flatMap((component) => [...(source.view?.changed(component) ?? [])]);
    const quiet = (after ?? []).filter(([entity]) => !changed.includes(source.view?.row(entity) ?? -1));
    for (const row of quiet) {
      const same = before?.find(([entity]) => entity === row[0]);
      if (same) expect(row.slice(1).every((value, at) => value === same[at + 1])).toBe(true);
    }
  }
  expect(source.listeners.size).toBe(2);
  stop();
  stop();
  expect(source.listeners.size).toBe(0);
});

test("frames between a look and a subscription are told at once, and missed ones are made up for", () => {
  const source = new Source();
  const [first, second, third] = frames as [Uint8Array, Uint8Array, Uint8Array];
  const query = { all: [components[0] as ComponentType] };
  const followed = observeQuery(source, query);
  expect(followed.get()).toBeUndefined();
  source.next(first);
  let told = 0;
  followed.subscribe(() => told++)();
  expect(told).toBe(1);
  source.next(second);
  source.next(third);
  expect(followed.get()).toEqual(observeQuery(source, query).get());
  expect(told).toBe(1);
});

test("changes of what is not followed are shown with those of what is", () => {
  const world = new World();
  const Place = world.defineComponent({ name: "Place", fields: { x: "f32" } });
  const Name = world.defineComponent({ name: "Name", fields: { n: "u32" } });
  const [a, b] = world.createEntities(2, new Map<number, unknown>([[Place.id, { x: 0 }], [Name.id, (n: number) => ({ n })]])) as [number, number];
  const source = viewWorld(world);
  const query = { all: [Place, Name], changed: [Name] };
  const rows = observeQuery(source, query);
  let told = 0;
  rows.subscribe(() => told++);
  const tick = (change: () => void) => {
    const before = [told, rows.get()] as const;
    change();
    world.beginTick();
    world.endTick();
    expect(told - before[0]).toBe(rows.get() === before[1] ? 0 : 1);
    return rows.get()!.map(([, place, name]) => [(place as { x: number }).x, (name as { n: number }).n]);
  };
  const set = (entity: number, x: number) => () => world.set(entity, Place, { x });
  tick(() => {});
  const [first] = rows.get()!;
  // Of a value that moved on unseen the last one that was shown stays.
  expect(tick(set(a, 1))).toEqual([[0, 0], [0, 1]]);
  expect(tick(set(b, 2))).toEqual([[0, 0], [0, 1]]);
  expect(tick(() => world.set(b, Name, { n: 7 }))).toEqual([[0, 0], [2, 7]]);
  expect(rows.get()![0]).toBe(first);
  // The place did not change with the name: it is the same object.
  const place = rows.get()![1]![1];
  expect(tick(() => world.set(b, Name, { n: 8 }))).toEqual([[0, 0], [2, 8]]);
  expect(rows.get()![1]![1]).toBe(place);
  expect(tick(() => world.destroyEntity(a))).toEqual([[2, 8]]);
  expect(tick(() => world.removeComponent(b, Place))).toEqual([]);
  const lacking = observeQuery(source, { all: [Name], changed: [component("Nothing", { x: "f32" })] });
  expect(() => lacking.get()).toThrow("the view does not show a component `Nothing`");
  expect(isSameQuery(query, { all: [Place, Name], changed: [Name] })).toBe(true);
  expect(isSameQuery(query, { all: [Place, Name], changed: [] })).toBe(false);
  expect(isSameQuery({ all: [Place] }, { all: [Place], changed: [Place] })).toBe(true);
  expect(isSameQuery({ all: [Place] }, { all: [Place], changed: [] })).toBe(false);
});

test("a component that the host lacks is an error in words", () => {
  const source = new Source();
  source.next(frames[0] as Uint8Array);
  const query = observeQuery(source, { all: [component("Nothing", { x: "f32" })] });
  expect(() => query.get()).toThrow("the view does not show a component `Nothing`");
});

test("rows have the types of their components", () => {
  const Position = component("Position", { x: "f32", id: "u64" });
  const Seen = component("Seen", { yes: "bool" });
  const rows = observeQuery(new Source(), { all: [Position, Seen] }).get();
  type Row = NonNullable<typeof rows>[number];
  expectTypeOf<Row[0]>().toEqualTypeOf<number>();
  expectTypeOf<Row[1]>().toEqualTypeOf<Readonly<{ x: number; id: bigint }>>();
  expectTypeOf<Row[2]>().toEqualTypeOf<Readonly<{ yes: boolean }>>();
  expect(isSameQuery({ all: [Position] }, { all: [Position] })).toBe(true);
  expect(isSameQuery({ all: [Position] }, { all: [Position], none: [Seen] })).toBe(false);
});

test("a keeper gives what says the same again", () => {
  const keep = keeper<{ n: number }>((a, b) => a.n === b.n);
  const first = keep({ n: 1 });
  expect(keep({ n: 1 })).toBe(first);
  expect(keep({ n: 2 })).toEqual({ n: 2 });
});

test("a client says where it stands", async () => {
  const { client: inner, host } = createMemoryWorkerTransportPair();
  let connection: (connected: boolean) => void = () => {};
  const transport: WorkerTransport = {
    ...inner,
    onConnection: (listener) => ((connection = listener), () => {}),
  };
  const client = createWorkerClient({ transport });
  const told: WorkerStatus["status"][] = [];
  client.onStatus(({ status }) => told.push(status));
  expect(client.status).toEqual({ status: "loading" });
  const state = (version: number): object => ({ type: "state", sync: "snapshot", version, state: {} });
  host.post(state(0));
  host.post(state(1));
  connection(false);
  expect(client.status.error).toMatchObject({ code: "connection-lost" });
  connection(true);
  host.post(state(0));
  client.dispose();
  expect(told).toEqual(["ready", "offline", "ready", "closed"]);
});

test("a host that breaks down before there is state fails what waits for it; later it is not known to be gone", async () => {
  const { client: inner, host } = createMemoryWorkerTransportPair();
  let fail: (error: Error) => void = () => {};
  const client = createWorkerClient({
    transport: { ...inner, onFailure: (listener) => ((fail = listener), () => {}) },
  });
  const call = client.call("a", "b");
  const broken = new PeristyleError("worker-failed", "no script");
  fail(broken);
  await expect(call).rejects.toBe(broken);
  await expect(client.ready).rejects.toBe(broken);
  expect(client.status).toEqual({ status: "failed", error: broken });
  host.post({ type: "state", sync: "snapshot", version: 0, state: {} });
  expect(client.status.status).toBe("ready");
  fail(broken);
  expect(client.status.status).toBe("ready");
});

test("a memory pair is a list of two as well, host first", () => {
  const pair = createMemoryWorkerTransportPair();
  const [host, client] = pair;
  expect([host, client]).toEqual([pair.host, pair.client]);
});

test("decorated modules, their classes' parents included", async () => {
  class Base {
    @State accessor count = 1;
    @Action increase(): number {
      return ++this.count;
    }
  }
  @Module({ name: "counter", actions: ["reset"] })
  class Counter extends Base {
    @State name = "plain field";
    reset(): void {
      this.count = 0;
    }
    hidden(): void {}
  }
  const { host, client: transport } = createMemoryWorkerTransportPair();
  const client = createWorkerClient({ transport });
  const app = createWorkerApp({ providers: [Counter], transport: host, sync: "patch" });
  await client.ready;
  expect(client.getState()).toEqual({ counter: { count: 1, name: "plain field" } });
  const counter = client.module<Counter>("counter");
  expect(await counter.increase()).toBe(2);
  await counter.reset();
  app.app.get(Counter).name = "said at the host";
  await expect(counter.hidden()).rejects.toThrow("neither an action nor exposed");
  expect(client.getState()).toEqual({ counter: { count: 0, name: "said at the host" } });
  expect(() => {
    class Wrong {
      @Action static act(): void {}
    }
    return Wrong;
  }).toThrow(AppError);
});
