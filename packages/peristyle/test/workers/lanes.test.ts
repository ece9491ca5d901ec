/** Lanes in Node: real worker threads on a real memory. */
import { afterEach, describe, expect, test } from "vitest";
import { createLanes, type Lanes, type LaneMemory, type LanesOptions } from "../../src/workers/index.js";
import { particles } from "../support/leases.js";

const job = (name: string) => ({ kind: "module", url: new URL(`jobs/${name}`, import.meta.url) }) as const;

const open: Lanes[] = [];
async function lanesOf(memory: LaneMemory, options: LanesOptions = {}): Promise<Lanes> {
  const lanes = await createLanes(memory, { size: 2, ...options });
  open.push(lanes);
  await lanes.ready;
  return lanes;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((lanes) => lanes.close()));
});

/** The ways, each with a memory and a size that lead to it. */
const ways = [
  { way: "shared", isShared: true, size: 2 },
  { way: "transferred", isShared: false, size: 2 },
  { way: "local", isShared: true, size: 0 },
] as const;
const places = ["any", "workers", "caller"] as const;

describe.each(ways)("$way", ({ way, isShared, size }) => {
  test.each(places)("a job in place, run by %s", async (place) => {
    const world = particles(isShared, 5000);
    const lanes = await lanesOf(world, { size });
    expect(lanes.way).toBe(way);
    const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
    const list = world.lease(512);
    for (let frame = 0; frame < 20; frame++) {
      world.reset(list);
      const [result] = await lanes.run([{ job: physics, list, dt: 0.5, time: 2, place }]);
      expect(result).toMatchObject({ patches: [], failed: [], ranges: 10 });
      expect(result.failure).toBeUndefined();
    }
    const x = world.column("Pos.x");
    const y = world.column("Pos.y");
    for (let row = 0; row < world.rows; row++) {
      expect(x[row]).toBe(row + ((row % 7) - 3) * 10);
      expect(y[row]).toBe((row % 3) * 10);
    }
    expect(
      world
        .bits(3)
        .subarray(0, 625)
        .every((byte) => byte === 255),
    ).toBe(true);
    expect(world.bits(7).every((byte) => byte === 0)).toBe(true);
  });

  test("patches come in the order of ranges, and name entities by their handles", async () => {
    const world = particles(isShared, 2000);
    const lanes = await lanesOf(world, { size });
    const patches = await lanes.load(job("patches.mjs"), world.shape([3]));
    const tasks = [0.5, 2].map((dt) => ({ job: patches, list: world.lease(512), dt, time: 0, extra: { POS: 3 } }));
    const results = await lanes.run(tasks);
    for (const [at, { dt }] of tasks.entries()) {
      const expected = Array.from({ length: 1000 }, (_, i) => i * 2).map((row) => ({
        kind: "set",
        eid: world.handle(row),
        cid: 3,
        value: { x: row + ((row % 7) - 3) * dt, y: (row % 3) * dt },
      }));
      expect(results[at].patches).toEqual(expected);
    }
  });

  test("a range that throws fails alone, with name, message and stack", async () => {
    const world = particles(isShared, 2000);
    const lanes = await lanesOf(world, { size });
    const moody = await lanes.load(job("moody.mjs"), world.shape([3]));
    const extra = { at: 512, mood: "throw" };
    const [result] = await lanes.run([{ job: moody, list: world.lease(512), dt: 0, time: 0, extra }]);
    expect(result.failed).toEqual([1]);
    expect(result.failure).toMatchObject({ name: "JobError", code: "job-threw" });
    expect(result.failure?.message).toContain("threw RangeError: out of sorts");
    expect(result.failure?.cause).toMatchObject({ name: "RangeError", message: "out of sorts" });
    expect((result.failure?.cause as Error).stack).toContain("moody.mjs:6");
    // What it wrote before stays.
    expect(world.column("Pos.x")[512]).toBe(-1);
    expect(world.bits(3)[0]).toBe(255);
    expect(world.bits(3)[64]).toBe(0);
  });

  test("a promise that settles later is waited for", async () => {
    const world = particles(isShared, 2000);
    const lanes = await lanesOf(world, { size });
    const moody = await lanes.load(job("moody.mjs"), world.shape([3]));
    const extra = { at: 0, mood: "late" };
    const [result] = await lanes.run([{ job: moody, list: world.lease(512), dt: 0, time: 0, extra }]);
    expect(result.failed).toEqual([]);
    expect(
      world
        .bits(3)
        .subarray(0, 250)
        .every((byte) => byte === 255),
    ).toBe(true);
  });

  test("what is no patch is refused", async () => {
    const world = particles(isShared, 1000);
    const lanes = await lanesOf(world, { size });
    const moody = await lanes.load(job("moody.mjs"), world.shape([3]));
    const run = async (mood: string) =>
      (
        await lanes.run([
          { job: moody, list: world.lease(512), dt: 0, time: 0, extra: { at: 0, mood }, place: "workers" },
        ])
      )[0];
    expect((await run("list")).failure).toMatchObject({ code: "job-patch" });
    // A value that cannot be sent is one only where it is sent.
    if (way !== "local") expect((await run("function")).failure).toMatchObject({ code: "job-unclonable" });
  });

  test("values of components without fields are given as they are", async () => {
    const world = particles(isShared, 1024);
    const lanes = await lanesOf(world, { size });
    const shape = world.shape([9]);
    const tags = await lanes.load(job("tags.mjs"), {
      ...shape,
      components: [...shape.components, { id: 9, name: "Tag" }],
    });
    const values = (range: number) => ({
      9: Array.from({ length: 512 }, (_, i) => ({ at: range * 512 + i, set: new Set([i]) })),
    });
    const [result] = await lanes.run([{ job: tags, list: world.lease(512), dt: 0, time: 0, values }]);
    expect(result.failure).toBeUndefined();
    expect(result.patches).toEqual([
      { kind: "set", eid: world.handle(0), cid: 9, value: { at: 511, set: new Set([511]) } },
      { kind: "set", eid: world.handle(512), cid: 9, value: { at: 1023, set: new Set([511]) } },
    ]);
  });

  test("values that only a message carries come to all ranges", async () => {
    const world = particles(isShared, 1024);
    const lanes = await lanesOf(world, { size });
    const shape = world.shape([9]);
    const sums = await lanes.load(job("sums.mjs"), {
      ...shape,
      components: [...shape.components, { id: 9, name: "Shared" }],
    });
    const shared = (number: number) => {
      const numbers = new Int32Array(new SharedArrayBuffer(4)).fill(number);
      return { shared: numbers.buffer };
    };
    const values = (range: number) => ({ 9: Array.from({ length: 512 }, (_, i) => shared(range * 512 + i)) });
    const [result] = await lanes.run([{ job: sums, list: world.lease(512), dt: 0, time: 0, values }]);
    expect(result.failure).toBeUndefined();
    expect(result.patches.map((patch) => "value" in patch && patch.value)).toEqual([
      [0, 511],
      [512, 1023],
    ]);
  });

  test("closing twice while leases run ends both times", async () => {
    const world = particles(isShared, 2000);
    const lanes = await lanesOf(world, { size });
    const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
    const run = lanes.run([{ job: physics, list: world.lease(512), dt: 1, time: 0, place: "workers" }]);
    await Promise.all([lanes.close(), lanes.close()]);
    expect((await run)[0]).toMatchObject({ failed: [], ranges: 4 });
  });

  test("`extra` is whatever can be cloned, and cannot be changed by a job", async () => {
    const world = particles(isShared, 512);
    const lanes = await lanesOf(world, { size });
    const echo = await lanes.load(job("echo.mjs"), world.shape([3]));
    const run = async (extra: unknown) =>
      (await lanes.run([{ job: echo, list: world.lease(512), dt: 0.25, time: 8, extra, place: "workers" }]))[0];
    for (const extra of [
      undefined,
      { a: [1, { b: null }] },
      new Map([["k", 1n]]),
      { nan: NaN, minus: -0 },
      "text",
      { ids: new Uint8Array([1, 2]) },
    ]) {
      const { patches, failure } = await run(extra);
      expect(failure).toBeUndefined();
      expect(patches).toEqual([{ kind: "set", eid: 0, cid: 3, value: { extra, dt: 0.25, time: 8, writes: [3] } }]);
    }
    expect((await run({ change: true })).failure?.message).toContain("TypeError");
    expect((await run({ not: () => {} })).failure).toMatchObject({ code: "job-unclonable" });
  });

  test("modules that do not load, or have no handler, are refused with their name", async () => {
    const world = particles(isShared, 512);
    const lanes = await lanesOf(world, { size });
    const load = (name: string) => lanes.load(job(name), world.shape());
    await expect(load("nowhere.mjs")).rejects.toMatchObject({ name: "JobError", code: "job-load" });
    await expect(load("nowhere.mjs")).rejects.toThrow("nowhere.mjs");
    await expect(load("broken.mjs")).rejects.toThrow("broken.mjs does not load: ");
    await expect(load("empty.mjs")).rejects.toMatchObject({ code: "job-handle" });
    await expect(lanes.load({ kind: "worker", name: "physics" }, world.shape())).rejects.toMatchObject({
      name: /(Job|Support)Error/ as never,
    });
    const [{ failure }] = await lanes.run([{ job: 99 as never, list: world.lease(), dt: 0, time: 0 }]);
    expect(failure).toMatchObject({ code: "job-load" });
  });

  test("functions run on the caller's thread", async () => {
    const world = particles(isShared, 1000);
    const lanes = await lanesOf(world, { size });
    const seen: number[] = [];
    const handle = ({ snap }: { snap: { rows: number; entity(row: number): number } }): void =>
      void seen.push(snap.rows, snap.entity(1));
    const id = await lanes.load({ kind: "function", name: "seen", handle: handle as never }, world.shape());
    await lanes.run([{ job: id, list: world.lease(512), dt: 0, time: 0 }]);
    expect(seen).toEqual([512, world.handle(1), 488, world.handle(513)]);
  });

  test("spans say when and where ranges ran", async () => {
    const world = particles(isShared, 5000);
    const lanes = await lanesOf(world, { size, spans: true });
    const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
    const before = performance.now();
    const [{ spans }] = await lanes.run([{ job: physics, list: world.lease(512), dt: 0, time: 0 }]);
    expect(spans.map(({ range }) => range).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const { lane, start, end } of spans) {
      expect(lane).toBeLessThanOrEqual(size);
      expect(end).toBeGreaterThanOrEqual(start);
      expect(start).toBeGreaterThanOrEqual(before - 2);
    }
  });
});

describe.each(ways.slice(0, 2))("workers that die, $way", ({ isShared }) => {
  test.each(["exit", "hang"])(
    "%s in mid-frame: its range fails by type, the rest goes on, the next frame works",
    async (mood) => {
      const world = particles(isShared, 4096);
      const lanes = await lanesOf(world, { size: 2 });
      const moody = await lanes.load(job("moody.mjs"), world.shape([3]));
      const list = world.lease(512);
      const task = { job: moody, list, dt: 0, time: 0, place: "workers" } as const;
      for (let frame = 0; frame < 3; frame++) {
        world.reset(list);
        world.bits(3).fill(0);
        const deadline = mood === "hang" ? { deadline: 200 } : {};
        const [result] = await lanes.run([{ ...task, extra: { at: 1024, mood }, ...deadline }]);
        // Other ranges of the same worker may be lost with it: their promises had not settled.
        expect(result.failed).toContain(2);
        expect(result.failure?.code).toBe(mood === "hang" ? "job-timeout" : "worker-lost");
        for (let range = 0; range < 8; range++) {
          if (!result.failed.includes(range)) expect(world.bits(3)[range * 64]).toBe(255);
        }
        world.reset(list);
        const [fine] = await lanes.run([{ ...task, extra: { at: -1 } }]);
        expect(fine.failure).toBeUndefined();
        expect(
          world
            .bits(3)
            .subarray(0, 512)
            .every((byte) => byte === 255),
        ).toBe(true);
      }
    },
  );
});

test("more leases at a time than the board has slots", async () => {
  const world = particles(true, 1000);
  const lanes = await lanesOf(world);
  const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
  const tasks = Array.from({ length: 300 }, () => ({
    job: physics,
    list: world.lease(512),
    dt: 1,
    time: 0,
    place: "workers" as const,
  }));
  const results = await Promise.all([lanes.run(tasks.slice(0, 150)), lanes.run(tasks.slice(150))]);
  expect(results.flat().every(({ failed, ranges }) => failed.length === 0 && ranges === 2)).toBe(true);
});

test("leases run beside each other, and a memory that grows in between is seen", async () => {
  const world = particles(true, 4096);
  const lanes = await lanesOf(world);
  const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
  const list = world.lease(512);
  await lanes.run([{ job: physics, list, dt: 1, time: 0, place: "workers" }]);
  world.memory.grow(64);
  // Lies where there was nothing before.
  while (world.allocate(64) < 256 * 65_536);
  await lanes.run([{ job: physics, list: world.lease(512), dt: 1, time: 0, place: "workers" }]);
  expect(world.column("Pos.x")[4]).toBe(6);
});

test.each(ways)("closed lanes refuse, after what runs is over ($way)", async ({ isShared, size }) => {
  const world = particles(isShared, 2048);
  const lanes = await lanesOf(world, { size });
  const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
  const last = lanes.run([{ job: physics, list: world.lease(512), dt: 1, time: 0 }]);
  await lanes.close();
  expect((await last)[0]).toMatchObject({ failed: [], ranges: 4 });
  const [{ failure }] = await lanes.run([{ job: physics, list: world.lease(512), dt: 1, time: 0 }]);
  expect(failure).toMatchObject({ code: "pool-closed" });
});

test("a frame like the one before gives the same objects and views", async () => {
  const world = particles(true, 512);
  const lanes = await lanesOf(world);
  const seen: unknown[][] = [];
  const handle = (input: {
    snap: { comps: Record<string, { fields: Record<string, unknown>; changed: unknown }>; eids: unknown };
  }): void => {
    const { comps, eids } = input.snap;
    seen.push([input, eids, comps, comps.Pos.fields.x, comps.Pos.changed]);
  };
  const id = await lanes.load({ kind: "function", name: "seen", handle: handle as never }, world.shape());
  const list = world.lease();
  for (let frame = 0; frame < 3; frame++) {
    world.reset(list);
    await lanes.run([{ job: id, list, dt: 0, time: frame }]);
  }
  expect(seen).toHaveLength(3);
  for (const [at, object] of seen[0].entries())
    expect([seen[1][at] === object, seen[2][at] === object]).toEqual([true, true]);
});

test("an empty lease is over at once", async () => {
  const world = particles(true, 512);
  const lanes = await lanesOf(world);
  const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
  const list = world.allocate(64);
  const [result] = await lanes.run([{ job: physics, list, dt: 1, time: 0 }]);
  expect(result).toMatchObject({ ranges: 0, failed: [], patches: [] });
});

test("a job that gives its moved columns away fails its range by type, and the next frame works", async () => {
  const world = particles(false, 512);
  const lanes = await lanesOf(world, { size: 1 });
  const gives = await lanes.load(job("gives-away.mjs"), world.shape([3]));
  const run = async (away: boolean) =>
    (await lanes.run([{ job: gives, list: world.lease(512), dt: 0, time: 0, extra: { away }, place: "workers" }]))[0];
  expect(await run(true)).toMatchObject({ failed: [0], failure: { code: "job-columns" } });
  expect(world.column("Pos.x")[511]).toBe(511);
  expect((await run(false)).failed).toEqual([]);
});
