/** Schedulers: plans, frames, systems in place and on workers. */
import { afterEach, describe, expect, test } from "vitest";
import {
  FrameFailure,
  JobError,
  loadCore,
  markChanged,
  ParallelScheduler,
  ScheduleError,
  Scheduler,
  SystemError,
  TickError,
  World,
  ZCScheduler,
  type Entity,
  type JobInput,
  type Stage,
  type SystemOptions,
} from "../src/index.js";

const job = (name: string) => new URL(`./jobs/${name}.mjs`, import.meta.url).href;
const open: Scheduler[] = [];
afterEach(async () => {
  for (const scheduler of open.splice(0)) await scheduler.close();
});

function setup(stages?: Stage[]) {
  const world = new World();
  const C = world.defineComponent({ name: "C", fields: { n: "i32" } });
  const D = world.defineComponent({ name: "D", fields: { n: "i32" } });
  const Tag = world.defineComponent<string>({ name: "Tag" });
  const scheduler = new Scheduler(world, stages);
  open.push(scheduler);
  const make = (count: number) => world.createEntities(count, new Map([[C.id, (n: number) => ({ n })]]));
  return { world, C, D, Tag, scheduler, make };
}

const values = (world: World, C: Parameters<World["get"]>[1], entities: Entity[]) =>
  entities.map((e) => (world.get(e, C) as { n: number } | undefined)?.n);

function failureOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

async function failure(frame: Promise<unknown>): Promise<FrameFailure> {
  const error = await frame.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FrameFailure);
  return error as FrameFailure;
}

describe("plans", () => {
  test("order systems by stage, by what they say, by what they touch, then by name", () => {
    const { scheduler, C, D } = setup();
    const run = () => {};
    scheduler
      .register({ name: "draw", stage: "render", run, readsComponents: [C] })
      .register({ name: "b", run, writesComponents: [C] })
      .register({ name: "a", run, writesComponents: [D] })
      .register({ name: "c", run, readsComponents: [C], after: ["b"] })
      .register({ name: "first", run, writesComponents: [C], before: "b" });
    const plan = scheduler.compile();
    expect(plan.stages).toEqual(["startup", "update", "late", "render", "cleanup"]);
    expect(plan.batchesByStage.render).toEqual([["draw"]]);
    expect(plan.batchesByStage.update).toEqual([["a", "first"], ["b"], ["c"]]);
    expect(plan.batchesByStage.late).toEqual([]);
    expect(plan.topoOrder).toHaveLength(5);
    expect(plan.topoOrder.indexOf("first")).toBeLessThan(plan.topoOrder.indexOf("b"));
    expect(plan.topoOrder.at(-1)).toBe("draw");
    expect(scheduler.plan()).toBe(plan);
    expect(plan.text).toContain("first");
  });

  test("take systems that are added later", async () => {
    const { scheduler } = setup();
    const ran: string[] = [];
    scheduler.register({ name: "one", run: () => void ran.push("one") });
    await scheduler.runFrame(1);
    scheduler.register({ name: "two", after: "one", run: () => void ran.push("two") });
    await scheduler.runFrame(1);
    expect(ran).toEqual(["one", "one", "two"]);
  });

  test("have the stages that the scheduler is told, in its order", async () => {
    const { scheduler } = setup(["render", "update"]);
    const ran: string[] = [];
    for (const stage of ["update", "render"] as const) {
      scheduler.register({ name: `in ${stage}`, stage, run: (ctx) => void ran.push(ctx.stage) });
    }
    expect(() => scheduler.register({ name: "late", stage: "late", run: () => {} })).toThrow(ScheduleError);
    await scheduler.runFrame(1);
    expect(ran).toEqual(["render", "update"]);
  });

  test("refuse what cannot be", () => {
    const { scheduler, world, C, D } = setup();
    const run = () => {};
    const code = (options: object) => {
      try {
        scheduler.register(options as SystemOptions);
      } catch (error) {
        expect(error).toBeInstanceOf(ScheduleError);
        return (error as ScheduleError).code;
      }
      return undefined;
    };
    expect(code({ name: "", run })).toBe("system-name");
    expect(code({ name: "two\nlines", run })).toBe("system-name");
    expect(code({ name: "x" })).toBe("system-options");
    expect(code({ name: "x", run: 5 })).toBe("system-options");
    expect(code({ name: "x", run, stage: "lunch" })).toBe("stage-unknown");
    expect(code({ name: "x", offload: { module: "x" } })).toBe("system-options");
    expect(code({ name: "x", run })).toBeUndefined();
    expect(code({ name: "x", run })).toBe("system-taken");
    scheduler.register({ name: "y", run, after: ["z"] });
    expect(() => scheduler.compile()).toThrow(/`y` is ordered by `z`, and no system has this name/);
    const other = new Scheduler(world);
    open.push(other);
    other.register({ name: "w", query: { all: [D] }, offload: { handle: () => [], reads: [C] } });
    const refused = failureOf(() => other.compile());
    expect(refused).toBeInstanceOf(ScheduleError);
    expect(refused).toMatchObject({ code: "system-options", message: expect.stringContaining("system `w` uses `C`") });
    scheduler.register({ name: "z", run, after: ["y"] });
    expect(() => scheduler.compile()).toThrow(ScheduleError);
    expect(() => new Scheduler(world, ["late", "update", "late"])).toThrow(ScheduleError);
    expect(() => new Scheduler(world, ["lunch" as never])).toThrow(ScheduleError);
  });
});

describe("frames", () => {
  test("give systems their tick, and systems of startup run once", async () => {
    const { scheduler, world } = setup();
    const told: unknown[] = [];
    scheduler.register({ name: "start", stage: "startup", run: ({ resources }) => resources.set("started", true) });
    scheduler.register({
      name: "tell",
      run: ({ dt, time, stage, world: own, resources }) =>
        void told.push([dt, time, stage, own === world, resources.get("started")]),
    });
    let starts = 0;
    scheduler.register({ name: "count", stage: "startup", run: () => void starts++ });
    await scheduler.runFrame(0.5, 10);
    await scheduler.runFrame(0.25, 11);
    expect(told).toEqual([
      [0.5, 10, "update", true, true],
      [0.25, 11, "update", true, true],
    ]);
    expect(starts).toBe(1);
    expect(scheduler.resourcesBag()).toBe(world.resources);
  });

  test("add up time unless they are told it", async () => {
    const { scheduler } = setup();
    const times: number[] = [];
    scheduler.register({ name: "tell", run: ({ time }) => void times.push(time) });
    for (const dt of [0.5, 0.25, 0.25]) await scheduler.runFrame(dt);
    expect(times).toEqual([0.5, 0.75, 1]);
    await expect(scheduler.runFrame(NaN)).rejects.toThrow(ScheduleError);
  });

  test("wait for systems that are asynchronous, and for each other", async () => {
    const { scheduler } = setup();
    const ran: string[] = [];
    let frame = 0;
    scheduler.register({
      name: "slow",
      run: async () => {
        const mine = ++frame;
        ran.push(`begin ${mine}`);
        await new Promise((resolve) => setImmediate(resolve));
        ran.push(`end ${mine}`);
      },
    });
    scheduler.register({ name: "then", after: "slow", run: () => void ran.push(`then ${frame}`) });
    await Promise.all([scheduler.runFrame(1), scheduler.runFrame(1)]);
    expect(ran).toEqual(["begin 1", "end 1", "then 1", "begin 2", "end 2", "then 2"]);
  });

  test("merge commands when a stage ends, in the plan's order", async () => {
    const { scheduler, world, C } = setup();
    const made: Entity[] = [];
    const seen: number[] = [];
    for (const name of ["b", "a"]) {
      scheduler.register({
        name,
        readsComponents: [C],
        run: async ({ cmd }) => {
          if (name === "a") await new Promise((resolve) => setImmediate(resolve));
          made.push(cmd.createEntity({ [C.id]: { n: name === "a" ? 1 : 2 } }));
          seen.push(world.size);
        },
      });
    }
    scheduler.register({ name: "look", stage: "late", run: () => void seen.push(world.size) });
    const report = await scheduler.runFrame(1);
    expect(seen).toEqual([0, 0, 2]);
    expect(report.applied).toBe(2);
    // `a` was slower, and comes first all the same.
    expect(Array.from(world.iter(world.makeQuery({ all: [C] }), C), ([, , c]) => c.n)).toEqual([1, 2]);
    expect(made.map((e) => world.get(e, C)!.n).sort()).toEqual([1, 2]);
  });

  test("go on when systems fail, and tell of each", async () => {
    const { scheduler, world, C } = setup();
    const ran: string[] = [];
    scheduler.register({
      name: "bad",
      run: ({ cmd }) => {
        cmd.createEntity({ [C.id]: { n: 1 } });
        throw new RangeError("no");
      },
    });
    scheduler.register({ name: "good", after: "bad", run: () => void ran.push("good") });
    scheduler.register({ name: "rejects", stage: "late", run: () => Promise.reject(new Error("later")) });
    scheduler.register({ name: "last", stage: "cleanup", run: () => void ran.push("last") });
    const error = await failure(scheduler.runFrame(1));
    expect(ran).toEqual(["good", "last"]);
    expect(error.failures.map(({ system }) => system)).toEqual(["bad", "rejects"]);
    expect(error.failures[0]).toBeInstanceOf(SystemError);
    expect(error.failures[0].cause).toBeInstanceOf(RangeError);
    expect(error.message).toContain("system `bad` failed: RangeError: no");
    expect(world.size).toBe(1);
    const told: string[] = [];
    const lenient = new Scheduler(new World(), undefined, { onFailure: ({ system }) => void told.push(system) });
    lenient.register({ name: "bad", run: () => { throw new Error("x"); } });
    await lenient.runFrame(1);
    expect(told).toEqual(["bad"]);
    await lenient.close();
  });

  test("go on when hooks throw while changes are made, and tell whose changes they were", async () => {
    const { scheduler, world, C, make } = setup();
    const no = () => {
      throw new TypeError("no");
    };
    const Adds = world.defineComponent<number>({ name: "Adds", onAdd: no });
    const Removes = world.defineComponent<number>({ name: "Removes", onRemove: no });
    const [e, stays, goes] = make(3);
    world.addComponent(e, Removes, 1);
    world.addComponent(stays, Removes, 1);
    const ran: string[] = [];
    scheduler
      .register({
        name: "a records",
        readsComponents: [C],
        run: ({ cmd }) => {
          cmd.createEntity({ [Adds.id]: 1 });
          cmd.createEntity();
        },
      })
      .register({
        name: "b patches",
        offload: {
          handle: () => [
            { kind: "remove", eid: e, cid: Removes.id },
            { kind: "set", eid: e, cid: C.id, value: { n: 7 } },
          ],
          reads: [C],
          split: false,
        },
      })
      .register({
        name: "c marks",
        offload: {
          handle: (({ snap }: { snap: { despawn: Uint8Array; eids: Int32Array } }) => {
            snap.eids.forEach((eid, row) => void (eid === e >>> 0 || (snap.despawn[row >> 3] |= 1 << (row & 7))));
          }) as never,
          reads: [C],
          despawns: true,
        },
      })
      .register({ name: "d records", readsComponents: [C], run: ({ cmd }) => void cmd.createEntity() })
      .register({ name: "later", stage: "late", run: () => void ran.push("later") });
    let ticks = 0;
    world.onTick(() => ticks++);
    const { failures } = await failure(scheduler.runFrame(1));
    expect(failures.map(({ system }) => system)).toEqual(["a records", "b patches", "c marks"]);
    expect(failures.every(({ cause }) => cause instanceof TypeError)).toBe(true);
    expect([ran, ticks]).toEqual([["later"], 1]);
    expect(world.get(e, C)).toEqual({ n: 7 });
    expect([world.has(e, Removes), world.isAlive(stays), world.isAlive(goes)]).toEqual([true, true, false]);
    // Of the frame's three entities all are there; the first, too, was made before its hook was told.
    expect(world.size).toBe(5);
  });

  test("pass over systems whose query is empty, if asked", async () => {
    const { scheduler, world, C } = setup();
    let runs = 0;
    scheduler.register({ name: "s", query: () => ({ all: [C] }), skipIfEmpty: true, run: () => void runs++ });
    await scheduler.runFrame(1);
    expect(runs).toBe(0);
    world.createEntity({ [C.id]: { n: 0 } });
    await scheduler.runFrame(1);
    expect(runs).toBe(1);
  });

  test("let a system's queries follow changes from one of its runs to the next", async () => {
    const { scheduler, world, C, make } = setup();
    const entities = make(3);
    const shown: number[] = [];
    scheduler.register({
      name: "watch",
      run: ({ world: w }) => void shown.push([...w.iter(w.makeQuery({ changed: [C] }))].length),
    });
    await scheduler.runFrame(1);
    await scheduler.runFrame(1);
    world.set(entities[1], C, { n: 5 });
    await scheduler.runFrame(1);
    expect(shown).toEqual([3, 0, 1]);
  });

  test("are refused once the scheduler is closed", async () => {
    const { scheduler } = setup();
    const frame = scheduler.runFrame(1);
    await scheduler.close();
    await frame;
    await expect(scheduler.runFrame(1)).rejects.toThrow(TickError);
    await scheduler.close();
  });

  test("run under the older names", () => {
    expect(ParallelScheduler).toBe(Scheduler);
    expect(ZCScheduler).toBe(Scheduler);
  });
});

describe("offloaded systems", () => {
  test("work in place on all lanes, and their marks count", async () => {
    const { scheduler, world, C, make } = setup();
    const entities = make(50_000);
    const changed = world.makeQuery({ changed: [C] });
    expect([...world.iter(changed)].length).toBe(50_000);
    scheduler.register({
      name: "add",
      offload: { module: job("add"), reads: [], writes: [C], extra: ({ dt }) => ({ C: C.id, by: dt }) },
    });
    for (let i = 0; i < 4; i++) await scheduler.runFrame(3);
    expect(values(world, C, entities)).toEqual(entities.map((_, i) => i + 12));
    expect([...world.iter(changed)].length).toBe(50_000);
    expect([...world.iter(changed)].length).toBe(0);
  });

  test("give the same world whether in parallel or one after the other", async () => {
    const run = async (parallel: boolean, size: number) => {
      const { scheduler, world, C, D } = setup();
      const entities = world.createEntities(
        20_000,
        new Map<number, unknown>([
          [C.id, (n: number) => ({ n })],
          [D.id, (n: number) => ({ n: -n })],
        ]),
      );
      await scheduler.initPool({ size });
      const add = (name: string, c: typeof C, by: number) =>
        scheduler.register({ name, offload: { module: job("add"), reads: [], writes: [c], extra: () => ({ C: c.id, by }) } });
      add("c", C, 1);
      add("d", D, 2);
      add("c again", C, 10);
      for (let i = 0; i < 5; i++) await scheduler.runFrame(1, i, { parallel });
      return [values(world, C, entities), values(world, D, entities)];
    };
    const expected = await run(false, 0);
    expect(expected[0][7]).toBe(7 + 55);
    expect(await run(true, 2)).toEqual(expected);
    expect(await run(false, 2)).toEqual(expected);
  });

  test("see only rows that changed, if they ask for that", async () => {
    const { scheduler, world, C, make } = setup();
    const entities = make(10);
    scheduler.register({
      name: "watch",
      query: { all: [C], changed: [C] },
      skipIfEmpty: true,
      offload: {
        handle: (({ snap }: { snap: { rows: number } }) => void seen.push(snap.rows)) as never,
        reads: [C],
      },
    });
    const seen: number[] = [];
    await scheduler.runFrame(1);
    await scheduler.runFrame(1);
    expect(seen).toEqual([10]);
    world.set(entities[3], C, { n: 1 });
    await scheduler.runFrame(1);
    expect(seen.length).toBe(2);
  });

  test("may return every kind of patch; what is not there is told", async () => {
    const { scheduler, world, C, Tag, make } = setup();
    const entities = make(6);
    scheduler.register({
      name: "kinds",
      offload: { nodeModule: job("kinds"), reads: [C], writes: [C], extra: () => ({ TAG: Tag.id }) },
    });
    const { skipped, applied } = await scheduler.runFrame(1);
    expect(applied).toBe(4);
    expect(world.get(entities[0], C)).toEqual({ n: 100 });
    expect(world.get(entities[1], Tag)).toBe("tagged");
    expect(world.has(entities[2], C)).toBe(false);
    expect(world.isAlive(entities[3])).toBe(false);
    expect(world.get(entities[4], C)).toEqual({ n: 4 });
    expect(skipped.map(({ code }) => code)).toEqual(["patch-entity", "patch-value", "patch-component"]);
    expect(skipped[2].message).toContain("system `kinds`, patch 6: there is no component with the id 999");
  });

  test("patch who has an index when they return, not who has it afterwards", async () => {
    const { scheduler, world, C, D, make } = setup();
    const [a, b] = make(2);
    const heirs: Entity[] = [];
    const set = (eid: number, cid: unknown = C.id) => ({ kind: "set", eid, cid, value: { n: 100 } });
    scheduler.register({
      name: "patch",
      offload: { handle: () => [set(a >>> 0), set(1.7), set(-4294967295), set(b, "length"), set(b >>> 0)], reads: [C], split: false },
    });
    scheduler.register({
      name: "replace",
      after: "patch",
      writesComponents: [D],
      run: () => {
        heirs.push(world.createEntity({ [C.id]: { n: 5 } }));
      },
    });
    // Its index is free from the next tick on, and the job still knows it.
    world.destroyEntity(a);
    const { applied, skipped } = await scheduler.runFrame(1);
    expect(heirs[0] >>> 0).toBe(a >>> 0);
    expect(values(world, C, [heirs[0], b])).toEqual([5, 100]);
    expect(applied).toBe(1);
    expect(skipped.map(({ code }) => code)).toEqual(["patch-entity", "patch-entity", "patch-entity", "patch-component"]);
  });

  test("that return something else than patches fail, and nothing of it is done", async () => {
    const { scheduler, world, C, make } = setup();
    const entities = make(3);
    scheduler.register({ name: "nonsense", offload: { nodeModule: job("nonsense"), reads: [C], writes: [C] } });
    const { failures } = await failure(scheduler.runFrame(1));
    expect((failures[0].cause as JobError).code).toBe("job-patch");
    expect(entities.every((e) => world.isAlive(e))).toBe(true);
  });

  test("may mark rows to be destroyed", async () => {
    const { scheduler, world, C, make } = setup();
    const entities = make(20_000);
    const gone: number[] = [];
    const Watched = world.defineComponent<number>({ name: "Watched", onRemove: (_, __, value) => gone.push(value) });
    world.addComponent(entities[5], Watched, 55);
    world.addComponent(entities[6], Watched, 66);
    scheduler.register({
      name: "despawn",
      offload: { module: job("despawn"), reads: [C], despawns: true, extra: () => ({ C: C.id }) },
    });
    await scheduler.runFrame(1);
    expect(world.size).toBe(10_000);
    expect(entities.every((e, i) => world.isAlive(e) === (i % 2 === 0))).toBe(true);
    expect(gone).toEqual([55]);
  });

  test("work on columns that are made of objects, whatever these hold", async () => {
    const { scheduler, world } = setup();
    const Made = world.defineComponent<object | null>({ name: "Made" });
    const objects = [{ on: true, wide: 5n, n: 1, note: "kept" }, { wide: 7 }, null, { on: false, n: 2n }];
    const entities = objects.map((value) => world.createEntity({ [Made.id]: value }));
    type Lent = { snap: { rows: number; comps: Record<number, { fields: Record<string, unknown[]>; changed: Uint8Array }> } };
    const seen: unknown[] = [];
    scheduler.register({
      name: "staged",
      offload: {
        handle: (({ snap }: Lent) => {
          const { fields, changed } = snap.comps[Made.id];
          for (let i = 0; i < snap.rows; i++) seen.push([fields.on[i], fields.wide[i], fields.n[i]]);
          changed[0] = 0b11;
        }) as never,
        reads: [],
        writes: [Made],
        zeroCopy: { build: () => ({ layouts: [{ cid: Made.id, fields: { on: "bool", wide: "i64", n: "f64" } }] }) },
      },
    });
    const ran: string[] = [];
    scheduler.register({ name: "later", stage: "late", run: () => void ran.push("later") });
    await scheduler.runFrame(1);
    expect(seen).toEqual([[1, 5n, 1], [0, 7n, 0], [0, 0n, 0], [0, 0n, 2]]);
    expect(entities.map((e) => world.get(e, Made))).toEqual([
      { on: true, wide: 5n, n: 1, note: "kept" },
      { on: false, wide: 7n, n: 0 },
      null,
      { on: false, n: 2n },
    ]);
    // What fits no column fails its system, and nothing else.
    world.set(entities[2], Made, { wide: 1.5 });
    const { failures } = await failure(scheduler.runFrame(1));
    expect(failures.map(({ message }) => message)).toEqual([
      "system `staged` failed: ValueError: `Made.wide` must be a whole number for a column of `i64`, and is 1.5",
    ]);
    world.set(entities[2], Made, {});
    // Nor does an object that cannot be copied.
    world.set(entities[0], Made, { wide: 1n, get bad() { throw new TypeError("no"); } });
    expect((await failure(scheduler.runFrame(1))).failures.map(({ cause }) => cause)).toEqual([new TypeError("no")]);
    expect(ran).toHaveLength(3);
  });

  test("work on columns that are made of objects where the memory grows for another system of their wave", async () => {
    await loadCore("plain");
    const world = new World({ core: { build: "plain" } });
    const scheduler = new Scheduler(world);
    open.push(scheduler);
    await scheduler.initPool({ size: 0 });
    const Small = world.defineComponent<{ n: number }>({ name: "Small" });
    const Large = world.defineComponent<object>({ name: "Large" });
    const Column = world.defineComponent({ name: "Column", fields: { n: "i32" } });
    const small = world.createEntity({ [Small.id]: { n: 1 }, [Column.id]: { n: 1 } });
    for (let i = 0; i < 40_000; i++) world.createEntity({ [Large.id]: {} });
    const seen = world.makeQuery({ changed: [Column] });
    expect([...world.iter(seen)]).toHaveLength(1);
    const staged = (name: string, components: object[], fields: Record<string, string>, handle: unknown) =>
      scheduler.register({
        name,
        query: { all: components } as never,
        offload: {
          handle: handle as never,
          reads: [],
          writes: components as never,
          zeroCopy: { build: () => ({ layouts: [{ cid: (components[0] as typeof Small).id, fields }] }) },
        },
      });
    staged("a", [Small, Column], { n: "f64" }, ({ snap }: JobInput) => {
      const { Small: made, Column: lent } = snap.comps;
      for (const { fields, changed } of [made, lent]) {
        (fields.n as Float64Array)[0] += 41;
        markChanged(changed, 0);
      }
    });
    const before = world.core.buffer;
    staged("b", [Large], Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`f${i}`, "f64"])), () => undefined);
    expect(scheduler.plan().batchesByStage.update).toEqual([["a", "b"]]);
    await scheduler.runFrame();
    expect(world.core.buffer).not.toBe(before);
    expect([world.get(small, Small), world.get(small, Column)]).toEqual([{ n: 42 }, { n: 42 }]);
    expect([...world.iter(seen)]).toHaveLength(1);
  });

  test("see resources that lie in columns", async () => {
    const { scheduler, world, C, make } = setup();
    make(100);
    make(50);
    const grid = world.defineResource({ name: "grid", fields: { heat: "f32" }, rows: 128 });
    scheduler.register({
      name: "heat",
      offload: { module: job("heat"), reads: [C], writes: [grid], extra: () => ({ C: C.id }) },
    });
    await scheduler.runFrame(1);
    await scheduler.runFrame(1);
    expect(Array.from(grid.columns.heat.slice(48, 52))).toEqual([4, 4, 2, 2]);
  });

  test("fail alone: the frame goes on, and says which", async () => {
    const { scheduler, world, C, D, make } = setup();
    const entities = make(100);
    world.addComponent(entities[0], D, { n: 1 });
    const add = (name: string, c: typeof C, failAt?: number) =>
      scheduler.register({
        name,
        offload: { module: job("add"), reads: [], writes: [c], extra: () => ({ C: c.id, by: 1, failAt }) },
      });
    add("fails", C, 50);
    add("works", D);
    scheduler.register({ name: "missing", offload: { module: job("missing"), reads: [C] } });
    scheduler.register({ name: "broken", offload: { module: job("broken"), reads: [C] } });
    scheduler.register({ name: "nothing", offload: { module: job("nothing"), reads: [C] } });
    scheduler.register({ name: "extra", offload: { module: job("add"), reads: [C], extra: () => { throw new Error("x"); } } });
    for (let frame = 1; frame <= 2; frame++) {
      const { failures } = await failure(scheduler.runFrame(1));
      const codes = Object.fromEntries(failures.map(({ system, cause }) => [system, (cause as JobError).code]));
      expect(codes).toEqual({ fails: "job-threw", missing: "job-load", broken: "job-load", nothing: "job-handle", extra: undefined });
      expect(failures.find(({ system }) => system === "fails")!.message).toContain("found 50");
      expect(world.get(entities[0], D)).toEqual({ n: 1 + frame });
    }
  });

  test("run in place by `run` where their job is not for this host", async () => {
    const { scheduler, world, C, make } = setup();
    const entities = make(3);
    scheduler.register({
      name: "for pages",
      query: () => ({ all: [C] }),
      offload: { browserJobName: "physics", reads: [C], writes: [C] },
      run({ world: w }) {
        for (const [e, , c] of w.iter(w.makeQuery({ all: [C] }), C)) w.set(e, C, { n: c.n * 2 });
      },
    });
    await scheduler.runFrame(1);
    expect(values(world, C, entities)).toEqual([0, 2, 4]);
    scheduler.register({ name: "nowhere", offload: { browserJobName: "none", reads: [C] } });
    const { failures } = await failure(scheduler.runFrame(1));
    expect(failures.map(({ cause }) => (cause as JobError).code)).toEqual(["job-load"]);
  });

  test("64 small ones take at most two round trips a frame", async () => {
    const { scheduler, world } = setup();
    await scheduler.initPool({ size: 2 });
    const components = Array.from({ length: 64 }, (_, i) => world.defineComponent({ name: `S${i}`, fields: { n: "i32" } }));
    const entities = components.map((c) => world.createEntity({ [c.id]: { n: 0 } }));
    components.forEach((c, i) =>
      scheduler.register({
        name: `small ${i}`,
        offload: { module: job("add"), reads: [], writes: [c], extra: () => ({ C: c.id, by: i }) },
      }),
    );
    for (let i = 1; i <= 20; i++) expect((await scheduler.runFrame(1)).dispatches).toBeLessThanOrEqual(2);
    expect(components.map((c, i) => world.get(entities[i], c)!.n)).toEqual(components.map((_, i) => i * 20));
  });

  test("get workers when frames follow one another without a pause", async () => {
    const { scheduler, world } = setup();
    const Many = world.defineComponent({ name: "Many", fields: { n: "i32" } });
    world.createEntities(20_000, new Map([[Many.id, { n: 0 }]]));
    await scheduler.initPool({ size: 1 });
    scheduler.register({
      name: "many",
      offload: { module: job("add"), reads: [], writes: [Many], extra: () => ({ C: Many.id, by: 1 }) },
    });
    let dispatches = 0;
    for (let frames = 0; frames < 100_000 && dispatches === 0; frames++) ({ dispatches } = await scheduler.runFrame(1));
    expect(dispatches).toBe(1);
  });

  test("keep rows from moving while they are lent; commands are the way", async () => {
    const { scheduler, world, C, D, make } = setup();
    make(10);
    const codes: unknown[] = [];
    scheduler.register({
      name: "job",
      offload: {
        handle: (async () => {
          await new Promise((resolve) => setImmediate(resolve));
        }) as never,
        reads: [C],
      },
    });
    scheduler.register({
      name: "beside",
      readsComponents: [D],
      run: ({ cmd }) => {
        try {
          world.createEntity();
        } catch (error) {
          codes.push((error as TickError).code);
        }
        cmd.createEntity();
      },
    });
    await scheduler.runFrame(1);
    expect(codes).toEqual(["frame-running"]);
    expect(world.size).toBe(11);
  });

  test("keep rows from moving until all of their wave is over, however fast they are", async () => {
    const { scheduler, world, D } = setup();
    let codes: unknown[] = [];
    const tryIt = () => codes.push((failureOf(() => world.createEntity()) as TickError | undefined)?.code);
    await scheduler.initPool({ size: 0 });
    // Of columns that are made of objects the core knows nothing, so it is not the core that refuses.
    const Made = world.defineComponent<object>({ name: "Made" });
    world.createEntity({ [Made.id]: {} });
    const zeroCopy = { build: () => ({ layouts: [{ cid: Made.id, fields: { n: "f64" } }] }) };
    scheduler.register({ name: "job", offload: { handle: () => undefined, reads: [Made], zeroCopy } });
    scheduler.register({
      name: "beside",
      readsComponents: [D],
      run: async () => {
        tryIt();
        // The job is long over.
        for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
        tryIt();
      },
    });
    scheduler.register({ name: "after", after: ["job", "beside"], run: () => void tryIt() });
    await scheduler.runFrame(1);
    expect(codes).toEqual(["frame-running", "frame-running", undefined]);
    codes = [];
    tryIt();
    expect(codes).toEqual([undefined]);
  });
});
