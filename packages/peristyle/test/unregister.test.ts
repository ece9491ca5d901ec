/** Systems that are taken out again. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { FrameFailure, loadCore, ScheduleError, Scheduler, World, type Query } from "../src/index.js";
import { createLanes } from "../src/workers/index.js";

const add = new URL("./jobs/add.mjs", import.meta.url).href;
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});
beforeAll(() => loadCore("plain"));

function setup(build: "shared" | "plain" = "shared") {
  const world = new World({ core: { build } });
  const C = world.defineComponent({ name: "C", fields: { n: "i32" } });
  const e = world.createEntity({ [C.id]: { n: 0 } });
  const scheduler = new Scheduler(world);
  open.push(scheduler);
  const n = () => world.get(e, C)!.n;
  const job = (name: string, by: number) =>
    scheduler.register({ name, offload: { module: add, reads: [], writes: [C], extra: () => ({ C: C.id, by }) } });
  return { world, C, e, scheduler, n, job };
}

test("a system that is taken out runs no more, and its name and its place in the plan are free", async () => {
  const { scheduler, C } = setup();
  const ran: string[] = [];
  const say = (name: string, more: object = {}) =>
    scheduler.register({ name, writesComponents: [C], run: () => void ran.push(name), ...more });
  say("a");
  say("b", { after: "a" });
  say("c", { after: "b" });
  await scheduler.runFrame();
  scheduler.unregister("c").unregister("a");
  // `b` is ordered by `a` still.
  await expect(scheduler.runFrame()).rejects.toMatchObject({ name: "ScheduleError", code: "system-unknown" });
  say("a", { run: () => void ran.push("another a") });
  expect(scheduler.plan().topoOrder).toEqual(["a", "b"]);
  expect(scheduler.plan().batchesByStage.update).toEqual([["a"], ["b"]]);
  expect(scheduler.plan().text).not.toMatch(/\bc\b/);
  await scheduler.runFrame();
  expect(ran).toEqual(["a", "b", "c", "another a", "b"]);
  scheduler.unregister("b").unregister("a");
  expect((await scheduler.runFrame()).applied).toBe(0);
  expect(scheduler.plan().topoOrder).toEqual([]);
});

test("who is unknown is an error that names who is known", () => {
  const { scheduler } = setup();
  scheduler.register({ name: "one", run() {} });
  for (const name of ["two", "", undefined as never]) {
    let thrown: unknown;
    try {
      scheduler.unregister(name);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ScheduleError);
    expect(thrown).toMatchObject({ code: "system-unknown", message: expect.stringContaining("one") });
  }
  scheduler.unregister("one");
  expect(() => scheduler.unregister("one")).toThrow(/there are: none/);
});

test("in a frame that runs it is the next one that is without it", async () => {
  const { scheduler, C } = setup();
  const ran: string[] = [];
  scheduler.register({
    name: "first",
    writesComponents: [C],
    async run() {
      ran.push("first");
      scheduler.unregister("first").unregister("second");
      await Promise.resolve();
    },
  });
  scheduler.register({ name: "second", after: "first", writesComponents: [C], run: () => void ran.push("second") });
  await scheduler.runFrame();
  // Nothing is ordered by anything any more.
  await scheduler.runFrame();
  expect(ran).toEqual(["first", "second"]);
});

test("one that was never in a frame goes without a trace", async () => {
  const { scheduler, n, job } = setup();
  job("job", 1).unregister("job");
  job("job", 10).compile();
  scheduler.unregister("job");
  job("job", 100);
  await scheduler.runFrame();
  expect(n()).toBe(100);
});

describe.each(["shared", "plain"] as const)("on the %s build", (build) => {
  test("jobs are taken out and put in again, and the memory stays as large as it was", async () => {
    const { world, scheduler, n, job } = setup(build);
    await scheduler.initPool({ size: 1 });
    const used: number[] = [];
    for (let i = 0; i < 40; i++) {
      job("job", 1);
      await scheduler.runFrame();
      scheduler.unregister("job");
      await scheduler.runFrame();
      used.push(world.core.abi.memory_used());
    }
    expect(n()).toBe(40);
    expect(used.slice(2).every((bytes) => bytes === used[1])).toBe(true);
  });

  test("columns that were made of objects are given back", async () => {
    const { world, scheduler } = setup(build);
    const Made = world.defineComponent<{ n: number }>({ name: "Made" });
    for (let n = 0; n < 1000; n++) world.createEntity({ [Made.id]: { n } });
    await scheduler.initPool({ size: 0 });
    scheduler.register({ name: "nothing", run() {} });
    await scheduler.runFrame();
    const before = world.core.abi.memory_used();
    const zeroCopy = { build: () => ({ layouts: [{ cid: Made.id, fields: { n: "f64" } }] }) };
    scheduler.register({ name: "staged", query: { all: [Made], changed: [Made] }, offload: { handle: () => undefined, reads: [Made], zeroCopy } });
    await scheduler.runFrame();
    const during = world.core.abi.memory_used();
    expect(during - before).toBeGreaterThan(8000);
    scheduler.unregister("staged");
    await scheduler.runFrame();
    expect(world.core.abi.memory_used() - before).toBeLessThan(8000);
  });

  test("lanes forget a job: who asks for it is refused, and others go on", async () => {
    const world = new World({ core: { build } });
    const lanes = await createLanes(world.core, { size: 1 });
    open.push(lanes);
    await lanes.ready;
    const shape = { components: [], writes: [] };
    const gone = await lanes.load({ kind: "module", url: add }, shape);
    const stays = await lanes.load({ kind: "function", name: "stays", handle: () => [] }, shape);
    lanes.unload(gone);
    const list = world.core.allocate(64);
    world.core.u32().set([0, 1, 0, 0, list + 32], list / 4);
    const run = async (job: typeof gone) => {
      world.core.u32().set([0, 1, 0, 0], list / 4);
      const [{ failure }] = await lanes.run([{ job, list, dt: 0, time: 0 }]);
      return failure?.message;
    };
    expect(await run(gone)).toContain(`there is no job ${gone}`);
    expect(await run(stays)).not.toContain("there is no job");
    expect(await lanes.load({ kind: "module", url: add }, shape)).not.toBe(gone);
  });
});

test("queries that follow changes end with their system; another of its name sees everything", async () => {
  const { scheduler, C, world } = setup();
  const seen: number[] = [];
  let kept: Query | undefined;
  const watch = () =>
    scheduler.register({
      name: "watch",
      readsComponents: [C],
      run: () => void seen.push([...world.iter((kept = world.makeQuery({ changed: [C] })))].length),
    });
  watch();
  await scheduler.runFrame();
  await scheduler.runFrame();
  const first = kept!;
  scheduler.unregister("watch");
  watch();
  await scheduler.runFrame();
  expect(seen).toEqual([1, 0, 1]);
  expect(kept).not.toBe(first);
  expect(() => [...world.iter(first)]).toThrow(/no query/);
});

test("a job that fails to load can be replaced", async () => {
  const { scheduler, C, n, job } = setup();
  scheduler.register({ name: "job", offload: { module: new URL("./jobs/nowhere.mjs", import.meta.url), reads: [C] } });
  await expect(scheduler.runFrame()).rejects.toBeInstanceOf(FrameFailure);
  scheduler.unregister("job");
  job("job", 5);
  await scheduler.runFrame();
  expect(n()).toBe(5);
});
