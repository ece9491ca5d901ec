import { describe, expect, it, vi } from "vitest";
import { ABI_HASH, HEADER, NEXT, STATUS } from "../src/core/abi.js";
import { coreInfo, createCore, loadCore } from "../src/core/index.js";
import { NATIVE } from "../src/core/native.js";
import { CoreInstance } from "../src/core/instance.js";
import type { Core } from "../src/core/core.js";
import { CoreError, EntityError, PeristyleError, ScheduleError, TickError } from "../src/errors.js";

await loadCore("plain");

/** The error that a call throws. */
function thrown(call: () => unknown): PeristyleError {
  try {
    call();
  } catch (error) {
    if (error instanceof PeristyleError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

function component(core: Core, text: string): number {
  return core.check(core.abi.define_component(core.writeText(text)));
}

function table(core: Core, ...components: number[]): number {
  return core.check(core.abi.table(core.writeWords(components)));
}

/** The columns of one chunk by component, as offsets, and what else is known of it. */
function chunk(core: Core, number: number) {
  const words = core.readWords(core.check(core.abi.chunk(number)));
  const [of, rows, capacity, eids, despawn, count] = words;
  const columns = new Map<number, number[]>();
  const live = new Map<number, number>();
  for (let at = 6, left = count; left > 0; left--) {
    columns.set(words[at], [...words.slice(at + 3, at + 3 + words[at + 2])]);
    live.set(words[at], words[at + 1]);
    at += 3 + words[at + 2];
  }
  return { of, rows, capacity, eids, despawn, columns, live };
}

const f32 = (core: Core, offset: number, rows: number) => new Float32Array(core.buffer, offset, rows);

function query(core: Core, spec: { all?: number[]; any?: number[]; none?: number[]; changed?: number[]; added?: number[] }) {
  const lists = [spec.all, spec.any, spec.none, spec.changed, spec.added].map((list) => list ?? []);
  return core.check(core.abi.query(core.writeWords(lists.flatMap((list) => [list.length, ...list]))));
}

describe.each(["shared", "plain"] as const)("the %s build", (build) => {
  const make = (options = {}) => createCore({ build, ...options });

  it("is what it says, and its memory too", () => {
    const core = make();
    expect(core.build).toBe(build);
    expect(core.isShared).toBe(build === "shared");
    expect(core.buffer instanceof SharedArrayBuffer).toBe(build === "shared");
    expect(core.abi.abi_hash()).toBe(ABI_HASH);
  });

  it("spawns, finds, moves and destroys", () => {
    const core = make();
    const [pos, vel] = [component(core, "Pos\nx:f32\ny:f32"), component(core, "Vel\nx:f32")];
    const [both, one] = [table(core, vel, pos), table(core, pos)];
    const entity = core.check(core.abi.spawn(one));
    expect(Number.isSafeInteger(entity) && entity >= 2 ** 32).toBe(true);
    const at = core.header(HEADER.chunk);
    f32(core, chunk(core, at).columns.get(pos)![1], 1)[core.header(HEADER.row)] = 2.5;
    const place = core.check(core.abi.relocate(entity, both));
    expect(core.check(core.abi.locate(entity))).toBe(place);
    expect(core.check(core.abi.table_of(entity))).toBe(both);
    const moved = chunk(core, Math.floor(place / 16384));
    expect(f32(core, moved.columns.get(pos)![1], 1)[0]).toBe(2.5);
    expect(f32(core, moved.columns.get(vel)![0], 1)[0]).toBe(0);
    expect(core.header(HEADER.entities)).toBe(1);
    core.check(core.abi.destroy(entity));
    expect(core.abi.is_alive(entity)).toBe(0);
    expect(core.header(HEADER.entities)).toBe(0);
    expect(thrown(() => core.check(core.abi.locate(entity)))).toMatchObject({ code: "entity-destroyed" });
    expect(thrown(() => core.check(core.abi.destroy(entity)))).toBeInstanceOf(EntityError);
  });

  it("does not use a freed index again before the next tick", () => {
    const core = make();
    const of = table(core, component(core, "Tag"));
    const index = (entity: number) => entity % 2 ** 32;
    core.abi.begin_tick();
    const first = core.check(core.abi.spawn(of));
    core.abi.destroy(first);
    expect(index(core.abi.spawn(of))).not.toBe(index(first));
    core.abi.end_tick();
    core.abi.begin_tick();
    const again = core.abi.spawn(of);
    expect(index(again)).toBe(index(first));
    expect(again).not.toBe(first);
    expect(core.abi.is_alive(first)).toBe(0);
  });

  it("grows to a million rows and replaces no full chunk", () => {
    const core = make();
    const pos = component(core, "Pos\nx:f32\ny:f32");
    const of = table(core, pos);
    core.check(core.abi.spawn_many(of, 20_000));
    const layout = core.header(HEADER.layoutVersion);
    const first = core.readWords(core.check(core.abi.table_chunks(of)))[0];
    const [x] = chunk(core, first).columns.get(pos)!;
    const view = f32(core, x, 16_384);
    view[16_383] = 7;
    for (let rows = 20_000; rows < 1_000_000; rows += 70_000) core.check(core.abi.spawn_many(of, 70_000));
    expect(core.header(HEADER.layoutVersion)).toBe(layout);
    expect(chunk(core, first).columns.get(pos)![0]).toBe(x);
    expect(core.readWords(core.check(core.abi.table_chunks(of))).length).toBe(Math.ceil(1_000_000 / 16_384));
    expect(f32(core, x, 16_384)[16_383]).toBe(7);
    // What is shared stays seen; what is not was replaced as a whole, and the generation says so.
    expect(view[16_383]).toBe(build === "shared" ? 7 : undefined);
    expect(core.generation > 0).toBe(build === "plain");
  });

  it("lists handles and destroys them in bulk", () => {
    const core = make();
    const of = table(core, component(core, "Pos\nx:f32"));
    core.check(core.abi.spawn_many(of, 40_000));
    const handles = core.readNumbers(40_000);
    const [start] = core.readWords(core.check(core.abi.table_chunks(of)));
    expect(core.check(core.abi.handles(start, 100, 3))).toBe(3);
    expect([...core.readNumbers(3)]).toEqual([...handles.slice(100, 103)]);
    core.writeNumbers(handles.slice(0, 30_000));
    expect(core.check(core.abi.destroy_many(30_000))).toBe(30_000);
    core.writeNumbers(handles);
    expect(core.check(core.abi.locate_many(40_000))).toBe(10_000);
    const places = core.readNumbers(40_000);
    expect([places[0], places[29_999]]).toEqual([-1, -1]);
    expect(new Set(places.slice(30_000)).size).toBe(10_000);
    expect(core.abi.query_rows(query(core, { all: [] }))).toBe(10_000);
  });

  it("tells each consumer what changed, once", () => {
    const core = make();
    const pos = component(core, "Pos\nx:f32");
    const of = table(core, pos);
    core.check(core.abi.spawn_many(of, 1000));
    const [changed, added] = [query(core, { changed: [pos] }), query(core, { added: [pos] })];
    const [number] = core.readWords(core.check(core.abi.chunks(changed)) * 2);
    expect(core.check(core.abi.pending(changed, number))).toBe(1000);
    for (const of of [changed, added]) core.check(core.abi.clear_pending(of, number, 0, 1000));
    expect(core.check(core.abi.chunks(changed))).toBe(0);
    core.check(core.abi.mark(number, pos, 70, 2));
    expect(core.check(core.abi.pending(changed, number))).toBe(2);
    const bits = core.readWords(4);
    expect([...bits]).toEqual([0, 0, (1 << 6) | (1 << 7), 0]);
    expect(core.check(core.abi.query_rows(added))).toBe(0);
    core.check(core.abi.spawn(of));
    expect(core.check(core.abi.query_rows(added))).toBe(1);
    expect(core.check(core.abi.query_rows(changed))).toBe(3);
  });

  it("remembers who lost a component", () => {
    const core = make();
    const [pos, vel] = [component(core, "Pos\nx:f32"), component(core, "Vel\nx:f32")];
    const both = table(core, pos, vel);
    const cursor = core.check(core.abi.removals(vel));
    const [a, b] = [core.abi.spawn(both), core.abi.spawn(both)];
    core.check(core.abi.relocate(a, core.check(core.abi.table_without(both, vel))));
    core.check(core.abi.destroy(b));
    expect([...core.readNumbers(core.check(core.abi.removals_read(cursor)))]).toEqual([a, b]);
    expect(core.abi.removals_read(cursor)).toBe(0);
  });

  it("runs a frame: plan, leases, marks, despawns", () => {
    const core = make();
    const { abi } = core;
    const [pos, vel] = [component(core, "Pos\nx:f32"), component(core, "Vel\nx:f32")];
    const both = table(core, pos, vel);
    core.check(abi.spawn_many(both, 20_000));
    const handles = core.readNumbers(20_000);
    const watcher = query(core, { changed: [pos] });
    const system = (text: string) => core.check(abi.system(core.writeText(text)));
    const rows = query(core, { all: [pos, vel] });
    const physics = system(`name physics\nstage update\nreads ${vel} ${pos}\nwrites ${pos}\nquery ${rows}\nshape rows\nflags despawns`);
    const paint = system(`name paint\nstage render\nreads ${pos}`);
    const brakes = system(`name brakes\nafter physics\nwrites ${vel}`);
    core.check(abi.ranges(physics, 4096));
    expect([...core.readWords(core.check(abi.compile()) * 3)]).toEqual([physics, 1, 0, brakes, 1, 1, paint, 3, 0]);
    expect(core.readText(core.check(abi.plan_text()))).toContain("brakes  after physics (constraint)");
    core.writeNumbers([]);
    for (let chunks = core.check(abi.chunks(watcher)), listed = core.readWords(chunks * 2), i = 0; i < chunks; i++) {
      core.check(abi.clear_pending(watcher, listed[i * 2], 0, listed[i * 2 + 1]));
    }
    expect(core.check(abi.frame_begin(0.5, 3, 0))).toBe(1);
    expect(thrown(() => core.check(abi.frame_begin(0.5, 3, 0)))).toBeInstanceOf(TickError);
    expect(abi.next()).toBe(NEXT.run);
    expect([core.header(HEADER.system), core.header(HEADER.rows), core.header(HEADER.oneLane)]).toEqual([physics, 20_000, 0]);
    expect(abi.next()).toBe(NEXT.wait);
    expect(thrown(() => core.check(abi.spawn(both)))).toMatchObject({ code: "frame-running" });
    const list = core.header(HEADER.list) / 4;
    const words = core.u32();
    const [cursor, count, done] = words.slice(list, list + 3);
    expect([cursor, count, done]).toEqual([0, 5, 0]);
    let seen = 0;
    for (let at = 0; at < count; at++) {
      const descriptor = words[list + 4 + at];
      const view = new DataView(core.buffer, descriptor, 56);
      expect([view.getUint32(0, true), view.getFloat64(8, true), view.getFloat64(16, true)]).toEqual([1, 0.5, 3]);
      const [n, groups] = [view.getUint32(4, true), view.getUint32(32, true) / 4];
      // Components come in the order in which they were named first: velocity, then position, which is written.
      expect([words[groups], words[groups + 1], words[groups + 6], words[groups + 7]]).toEqual([vel, 0, pos, 1]);
      expect(words[groups + 2]).toBe(0);
      const x = f32(core, words[words[groups + 9] / 4], n);
      x.fill(seen);
      new Uint8Array(core.buffer, words[groups + 8], 1)[0] = 0b101;
      if (at === 1) new Uint8Array(core.buffer, view.getUint32(28, true), 1)[0] = 0b10;
      seen += n;
    }
    expect(seen).toBe(20_000);
    core.check(abi.settle(physics, core.writeWords([3])));
    expect(thrown(() => core.check(abi.settle(physics, 0)))).toMatchObject({ code: "tick-none" });
    expect([abi.next(), core.header(HEADER.system), core.header(HEADER.list)]).toEqual([NEXT.run, brakes, 0]);
    core.check(abi.settle(brakes, 0));
    expect(abi.next()).toBe(NEXT.merge);
    expect([...core.readNumbers(core.check(abi.merge()))]).toEqual([handles[4096 + 1]]);
    expect(abi.next()).toBe(NEXT.run);
    expect(core.header(HEADER.system)).toBe(paint);
    core.check(abi.settle(paint, 0));
    expect([abi.next(), abi.merge(), abi.next()]).toEqual([NEXT.merge, 0, NEXT.done]);
    core.check(abi.frame_end());
    // Two rows of each range, and all of the one that failed.
    const failed = 16_384 - 3 * 4096;
    expect(core.check(abi.query_rows(watcher))).toBe(2 * 4 + failed);
    expect(thrown(() => core.check(abi.next()))).toMatchObject({ code: "tick-none" });
  });

  it("hands out one system at a time in serial mode", () => {
    const core = make();
    for (const name of ["b", "a"]) core.check(core.abi.system(core.writeText(`name ${name}`)));
    core.check(core.abi.frame_begin(0, 0, 0));
    expect([core.abi.next(), core.abi.next(), core.abi.next()]).toEqual([NEXT.run, NEXT.run, NEXT.wait]);
    core.check(core.abi.frame_end());
    core.check(core.abi.frame_begin(0, 0, 1));
    expect([core.abi.next(), core.header(HEADER.system), core.abi.next()]).toEqual([NEXT.run, 1, NEXT.wait]);
    core.check(core.abi.frame_end());
  });

  it("mirrors the world to clients who follow", () => {
    const core = make();
    const { abi } = core;
    const of = table(core, component(core, "Pos\nx:f32"));
    core.check(abi.spawn_many(of, 10));
    const mirror = core.check(abi.mirror(core.writeText("component Pos\nquantised x 0.01\nepoch 7")));
    const client = core.check(abi.mirror_open(mirror, -1, -1));
    const take = () => core.check(abi.mirror_take(mirror, client));
    core.check(abi.mirror_publish(mirror, 1));
    const schema = take();
    expect(schema).toBe(core.check(abi.mirror_schema(mirror)));
    expect([take() > 0, take()]).toEqual([true, 0]);
    expect(thrown(() => core.check(abi.mirror_publish(mirror, 1)))).toMatchObject({ code: "core-refused" });
    core.check(abi.mirror_publish(mirror, 2));
    expect(take() > 0).toBe(true);
    const garbage = () => core.check(abi.mirror_receive(mirror, client, core.writeText("nonsense")));
    expect(thrown(garbage)).toMatchObject({ code: "serve-frame" });
    core.check(abi.mirror_close(mirror, client));
    expect(thrown(take)).toMatchObject({ code: "serve-frame" });
    const unknown = () => core.check(abi.mirror(core.writeText("component Nobody")));
    expect(thrown(unknown)).toMatchObject({ code: "serve-component" });
  });

  it("names what is wrong with what it is told", () => {
    const core = make();
    const { abi } = core;
    component(core, "Pos\nx:f32");
    expect(thrown(() => component(core, "Pos"))).toMatchObject({ code: "component-taken" });
    expect(thrown(() => component(core, "Odd\nx:f33")).message).toContain("`f33`");
    expect(thrown(() => core.check(abi.spawn(99))).message).toContain("table 99");
    expect(thrown(() => core.check(abi.table(core.writeWords([5])))).message).toContain("component 5");
    expect(thrown(() => core.check(abi.destroy_many(1e9)))).toMatchObject({ code: "core-refused" });
    const system = (text: string) => core.check(abi.system(core.writeText(text)));
    system("name a\nafter b");
    expect(thrown(() => core.check(abi.compile()))).toMatchObject({ code: "system-unknown" });
    expect(thrown(() => system("name a"))).toMatchObject({ code: "system-taken" });
    system("name b\nafter a");
    expect(thrown(() => core.check(abi.compile()))).toBeInstanceOf(ScheduleError);
    expect(thrown(() => system("name c\nstage tea"))).toMatchObject({ code: "stage-unknown" });
    expect(thrown(() => system("name c\nspeed 9")).message).toContain("speed 9");
  });

  it("refuses what the memory has no room for, and goes on", () => {
    const core = make({ maxBytes: 16 << 20 });
    const of = table(core, component(core, "Pos\nx:f64\ny:f64"));
    const error = thrown(() => core.check(core.abi.spawn_many(of, 5_000_000)));
    expect(error).toBeInstanceOf(CoreError);
    expect(error.code).toBe("memory-exhausted");
    expect(core.header(HEADER.entities)).toBe(0);
    core.check(core.abi.spawn_many(of, 1000));
    let spawned = 1000;
    try {
      for (;;) spawned += core.check(core.abi.spawn_many(of, 16_384));
    } catch (error) {
      expect(error).toMatchObject({ code: "memory-exhausted" });
    }
    expect(core.header(HEADER.entities)).toBe(spawned);
    expect(core.check(core.abi.query_rows(query(core, {})))).toBe(spawned);
    core.check(core.abi.destroy(core.check(core.abi.entity(0))));
  });

  it("gives the host zeroed memory of its own, and takes it back", () => {
    const core = make();
    const at = core.allocate(1000);
    expect(at % 64).toBe(0);
    expect(new Uint8Array(core.buffer, at, 1000).every((byte) => byte === 0)).toBe(true);
    core.release(at);
    expect(thrown(() => core.release(at))).toMatchObject({ code: "core-refused" });
  });

  it("shows the records of entities", () => {
    const core = make();
    const of = table(core, component(core, "Tag"));
    const entity = core.check(core.abi.spawn(of));
    const record = new BigUint64Array(core.buffer, core.entities() + 8 * (entity % 2 ** 32), 1)[0];
    expect(Number(record >> 44n)).toBe(Math.floor(entity / 2 ** 32));
  });

  it("carries any text both ways", () => {
    const core = make();
    const text = "kläng 🚀 \u0000 ".repeat(20_000);
    expect(core.readText(core.writeText(text))).toBe(text);
  });

  it("turns a trap into an error, for ever", () => {
    const core = make();
    const broken = breakOff(core);
    expect(broken).toBeInstanceOf(CoreError);
    expect(broken.code).toBe("core-trap");
    expect(thrown(() => core.abi.memory_used())).toBe(broken);
  });
});

/** Breaks a core by writing over what is its own. */
function breakOff(core: Core): PeristyleError {
  const of = table(core, component(core, "Pos\nx:f32"));
  core.check(core.abi.spawn_many(of, 100));
  // The records of entities name chunks that there are not.
  new Uint8Array(core.buffer, core.entities(), 8).set([5, 0, 0, 0], 0);
  const first = core.check(core.abi.entity(1)) - 1;
  return thrown(() => core.abi.destroy(first));
}

describe("the loader", () => {
  it("takes the shared build in Node, and says why", () => {
    expect(coreInfo()).toEqual({ build: "shared", reason: "memory can be shared with workers", hash: ABI_HASH });
    expect(createCore().build).toBe("shared");
  });

  it("refuses memories that cannot be", () => {
    expect(thrown(() => createCore({ maxBytes: 1 }))).toMatchObject({ code: "core-refused" });
    expect(thrown(() => createCore({ maxBytes: 2 ** 33 }))).toMatchObject({ code: "core-refused" });
  });

  it("refuses a core of another version", () => {
    const { abi, memory, build, reason } = createCore();
    const other = { ...abi, abi_hash: () => 1 };
    const error = thrown(() => new CoreInstance(other, memory, build, reason));
    expect(error).toMatchObject({ code: "core-mismatch" });
    expect(error.message).toContain(ABI_HASH.toString(16));
  });

  it("takes the core that the host brings along", async () => {
    const host = globalThis as { [NATIVE]?: unknown };
    const asked: number[] = [];
    const create = (maxBytes: number) => {
      asked.push(maxBytes);
      return createCore();
    };
    host[NATIVE] = { create };
    try {
      vi.resetModules();
      const again = await import("../src/core/index.js");
      expect(again.coreInfo().build).toBe("native");
      const core = again.createCore({ maxBytes: 2 ** 30 });
      expect(core.build).toBe("native");
      core.check(core.abi.spawn(core.check(core.abi.table(0))));
      expect([asked, core.header(HEADER.entities)]).toEqual([[2 ** 30], 1]);
    } finally {
      delete host[NATIVE];
    }
  });

  it("knows a status for each number", () => {
    expect(STATUS[1]).toBe("stale");
    expect(new Set(STATUS).size).toBe(STATUS.length);
  });
});
