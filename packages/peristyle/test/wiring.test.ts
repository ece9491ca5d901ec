/**
 * The surface that users of earlier designs know, in Node: apps written to it run with nothing but their import paths
 * changed. Pages are tested in `test/browser`.
 */
import { afterEach, describe, expect, test } from "vitest";
import {
  allocColumns,
  applyPatches,
  buildSnapshot,
  canUseSAB,
  commitSnapshot,
  createPortablePool,
  isChanged,
  makeBlueprint,
  markChanged,
  ParallelScheduler,
  Scheduler,
  spawn,
  World,
  ZCScheduler,
  type Entity,
} from "../src/index.js";

const patchesJob = new URL("./jobs/move.patches.mjs", import.meta.url).href;
const inPlaceJob = new URL("./jobs/move.inplace.mjs", import.meta.url).href;

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

/** The example's world: components of objects. */
function objects() {
  const world = new World();
  const CPos = world.defineComponent<{ x: number; y: number }>({ name: "Pos", defaults: () => ({ x: 0, y: 0 }) });
  const CVel = world.defineComponent<{ x: number; y: number }>({ name: "Vel", defaults: () => ({ x: 0, y: 0 }) });
  return { world, CPos, CVel };
}

/** The same with columns. */
function columns() {
  const world = new World();
  const CPos = world.defineComponent({ name: "Pos", fields: { x: "f32", y: "f32" } });
  const CVel = world.defineComponent({ name: "Vel", fields: { x: "f32", y: "f32" } });
  return { world, CPos, CVel };
}

type Made = ReturnType<typeof objects> | ReturnType<typeof columns>;

function populate({ world, CPos, CVel }: Made, count = 100): Entity[] {
  return Array.from({ length: count }, (_, i) => {
    const init: Record<number, unknown> = { [CPos.id]: { x: i, y: -i } };
    if (i % 2 === 0) init[CVel.id] = { x: 1, y: 2 };
    return world.createEntity(init);
  });
}

/** The example's system, on workers or by its fallback. */
function physics({ world, CPos, CVel }: Made, offload: object, Class = ParallelScheduler): Scheduler {
  const sched = new Class(world);
  open.push(sched);
  sched.register({
    name: "physics",
    stage: "update",
    query: () => ({ all: [CPos, CVel] }),
    offload: { reads: [CVel, CPos], writes: [CPos], extra: () => ({ POS: CPos.id, VEL: CVel.id }), ...offload },
    run({ world: w, dt }) {
      const q = w.makeQuery({ all: [CPos, CVel] });
      for (const [e, , p, v] of w.iter(q, CPos as ReturnType<typeof objects>["CPos"], CVel as ReturnType<typeof objects>["CVel"])) {
        w.set(e, CPos as ReturnType<typeof objects>["CPos"], { x: p.x + v.x * dt, y: p.y + v.y * dt });
      }
    },
  });
  return sched;
}

const zeroCopy = ({ CPos, CVel }: Made) => ({
  build: () => ({
    types: { [CPos.id]: CPos, [CVel.id]: CVel },
    layouts: [
      { cid: CPos.id, fields: { x: "f32", y: "f32" } as const },
      { cid: CVel.id, fields: { x: "f32", y: "f32" } as const },
    ],
  }),
});

function expectMoved({ world, CPos }: Made, entities: Entity[], frames: number, dt: number): void {
  entities.forEach((e, i) => {
    const moved = i % 2 === 0 ? frames * dt : 0;
    expect(world.get(e, CPos as ReturnType<typeof objects>["CPos"])).toEqual({ x: i + moved, y: -i + 2 * moved });
  });
}

describe.each([
  ["objects", objects],
  ["columns", columns],
] as const)("components of %s", (_, make) => {
  test.each([
    ["patches", () => ({ nodeModule: patchesJob })],
    ["in place", (made: Made) => ({ nodeModule: inPlaceJob, zeroCopy: zeroCopy(made) })],
    ["the fallback", () => ({ browserJobName: "physics" })],
  ] as const)("moved by %s", async (__, offload) => {
    const made = make();
    const entities = populate(made);
    const sched = physics(made, offload(made), ZCScheduler);
    await sched.initPool({ size: 1 });
    for (let i = 0; i < 8; i++) await sched.runFrame(0.25, i);
    expectMoved(made, entities, 8, 0.25);
  });

  test("moved on a timer, with the first offload starting the workers", async () => {
    const made = make();
    const entities = populate(made);
    const sched = physics(made, { nodeModule: patchesJob });
    let frames = 0;
    await new Promise<void>((resolve, reject) => {
      const timer = setInterval(() => {
        if (frames++ < 5) return void sched.runFrame(0.5, Date.now()).catch(reject);
        clearInterval(timer);
        resolve();
      }, 1);
    });
    await sched.runFrame(0.5, Date.now(), { parallel: false });
    expectMoved(made, entities, 6, 0.5);
  });

  test("read and written by snapshots", async () => {
    const made = make();
    const { world, CPos, CVel } = made;
    const entities = populate(made);
    const spec = zeroCopy(made).build();
    const { snap, transfer } = buildSnapshot(world, spec, world.makeQuery({ all: [CPos, CVel] }));
    expect(snap.rows).toBe(50);
    expect(snap.shared).toBe(canUseSAB());
    expect(Array.isArray(transfer)).toBe(true);
    const pos = snap.comps[CPos.id];
    const vel = snap.comps[CVel.id];
    for (let i = 0; i < snap.rows; i++) {
      if (i === 7) continue;
      (pos.fields.x as Float32Array)[i] += (vel.fields.x as Float32Array)[i];
      markChanged(pos.changed, i);
    }
    expect([isChanged(pos.changed, 6), isChanged(pos.changed, 7)]).toEqual([true, false]);
    commitSnapshot(world, spec, snap);
    entities.forEach((e, i) => {
      const moved = i % 2 === 0 && i !== 14 ? 1 : 0;
      expect(world.get(e, CPos as ReturnType<typeof objects>["CPos"])).toEqual({ x: i + moved, y: -i });
    });
  });

  test("changed by patches", () => {
    const made = make();
    const { world, CPos, CVel } = made;
    const [a, b, c] = populate(made, 3);
    applyPatches(world, [
      { kind: "set", eid: a, cid: CPos.id, value: { x: 5, y: 5 } },
      { kind: "add", eid: b, cid: CVel.id, value: { x: 6, y: 6 } },
      { kind: "remove", eid: a, cid: CVel.id },
      { kind: "destroy", eid: c },
    ]);
    expect(world.get(a, CPos as ReturnType<typeof objects>["CPos"])).toEqual({ x: 5, y: 5 });
    expect(world.get(b, CVel as ReturnType<typeof objects>["CVel"])).toEqual({ x: 6, y: 6 });
    expect([world.has(a, CVel), world.isAlive(c)]).toEqual([false, false]);
  });
});

test("columns are allocated by their layout", () => {
  const { fields, changed } = allocColumns(100, { x: "f32", n: "u16", big: "i64" }, canUseSAB());
  expect(fields.x).toBeInstanceOf(Float32Array);
  expect(fields.n).toBeInstanceOf(Uint16Array);
  expect(fields.big).toBeInstanceOf(BigInt64Array);
  expect([fields.x.length, fields.n.length, changed.length >= 13]).toEqual([100, 100, true]);
  expect(fields.x.buffer instanceof SharedArrayBuffer).toBe(true);
  expect(allocColumns(4, { x: "f32" }, false).fields.x.buffer).toBeInstanceOf(ArrayBuffer);
});

test("a portable pool runs modules", async () => {
  const pool = await createPortablePool({ size: 1 });
  open.push(pool);
  const input = { eids: [1, 2], cols: { 0: [{ x: 1, y: 1 }, { x: 2, y: 2 }], 1: [{ x: 4, y: 4 }, null] }, dt: 0.5, extra: { POS: 0, VEL: 1 } };
  expect(await pool.run(patchesJob, input)).toEqual([{ kind: "set", eid: 1, cid: 0, value: { x: 3, y: 3 } }]);
});

test("ticks, blueprints and resources are as they were", async () => {
  const { world, CPos, CVel } = objects();
  const bird = makeBlueprint("bird", [
    { c: CPos, v: (i: number) => ({ x: i, y: i }) },
    { c: CVel, v: { x: 1, y: 1 } },
  ]);
  expect(spawn(world, bird, 3).map((e) => world.get(e, CPos)!.x)).toEqual([0, 1, 2]);
  const cmd = world.beginTick();
  const made = cmd.createEntity();
  cmd.add(made, CPos, { x: 9, y: 9 });
  cmd.set(made, CPos, { x: 10, y: 10 });
  cmd.remove(made, CPos);
  cmd.destroyEntity(made);
  cmd.flush();
  world.endTick();
  expect(world.size).toBe(3);
  const sched = new Scheduler(world, ["startup", "update", "late", "render", "cleanup"]);
  open.push(sched);
  const bag = sched.resourcesBag();
  bag.define("gravity", 9.81);
  bag.set("gravity", 1.62);
  expect([bag.has("gravity"), bag.get("gravity")]).toEqual([true, 1.62]);
  const stages: string[] = [];
  for (const stage of ["cleanup", "render", "late", "update", "startup"] as const) {
    sched.register({ name: stage, stage, reads: ["gravity"], run: (ctx) => void stages.push(`${ctx.stage} ${ctx.resources.get("gravity")}`) });
  }
  const { stages: order, batchesByStage, topoOrder } = sched.compile();
  expect(topoOrder).toEqual(order);
  expect(batchesByStage.update).toEqual([["update"]]);
  await sched.runFrame(0.016, Date.now(), { parallel: true });
  expect(stages).toEqual(order.map((stage) => `${stage} 1.62`));
});
