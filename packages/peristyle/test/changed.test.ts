/** What jobs are told of changes: bits of what they write are theirs to set, bits of what they read say what changed. */
import { build as esbuild } from "esbuild";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  FrameFailure,
  loadCore,
  Scheduler,
  World,
  type ComponentType,
  type Entity,
  type OffloadOptions,
  type QuerySpec,
} from "../src/index.js";
import { handle } from "./jobs/changed.js";

/** More than are run in place because they are few. */
const ROWS = 9_000;
const add = new URL("./jobs/add.mjs", import.meta.url).href;

type N = ComponentType<{ n: number }>;

const open: Scheduler[] = [];
afterEach(async () => {
  for (const scheduler of open.splice(0)) await scheduler.close();
});

/** The job, as workers of Node can import it. */
let module = "";
beforeAll(async () => {
  await loadCore("plain");
  const entryPoints = [fileURLToPath(new URL("jobs/changed.ts", import.meta.url))];
  const { outputFiles } = await esbuild({ entryPoints, bundle: true, format: "esm", write: false });
  module = `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`;
});

describe.each([
  ["shared lanes", "shared", "workers", {}],
  ["columns that are moved", "plain", "workers", {}],
  ["this thread, on the lanes' memory", "shared", "none", {}],
  ["this thread, on a plain memory", "plain", "none", {}],
  ["a function", "shared", "workers", { handle: handle as never }],
] as const)("on %s", (_, build, lanes, how) => {
  async function setup(kind: "columns" | "objects", query: (of: { Read: N; Written: N }) => QuerySpec, offload: Partial<OffloadOptions> = {}) {
    const world = new World({ core: { build } });
    const define = (name: string) =>
      kind === "columns"
        ? world.defineComponent({ name, fields: { n: "i32" } })
        : world.defineComponent<{ n: number }>({ name, defaults: () => ({ n: 0 }) });
    const Read = define("Read") as N;
    const Written = define("Written") as N;
    const Warm = world.defineComponent({ name: "Warm", fields: { n: "i32" } });
    const entities = Array.from({ length: ROWS }, (_, n) =>
      world.createEntity({ [Read.id]: { n }, [Written.id]: { n: 0 }, [Warm.id]: { n: 0 } }),
    );
    const scheduler = new Scheduler(world);
    open.push(scheduler);
    await scheduler.initPool({ size: lanes === "none" ? 0 : 1 });
    // While something runs in place beside it, a job with many rows is the workers' alone, once there are any.
    scheduler.register({ name: "beside", readsComponents: [], reads: ["nothing"], run() {} });
    if (lanes === "workers") {
      scheduler.register({ name: "warm", offload: { module: add, reads: [], writes: [Warm], extra: () => ({ C: Warm.id, by: 1 }) } });
      while ((await scheduler.runFrame()).dispatches === 0) await new Promise((resolve) => setImmediate(resolve));
      scheduler.unregister("warm");
    }
    /** Runs a frame in which the job is called, or not. */
    const frame = async (isCalled = true) => {
      expect((await scheduler.runFrame()).dispatches).toBe(lanes === "workers" && isCalled ? 1 : 0);
    };
    const layouts = [Read, Written].map(({ id }) => ({ cid: id, fields: { n: "i32" } }));
    scheduler.register({
      name: "count",
      query: query({ Read, Written }),
      offload: {
        module,
        reads: [Read],
        writes: [Written],
        extra: () => ({ READ: Read.id, WRITTEN: Written.id }),
        ...(kind === "objects" && { zeroCopy: { build: () => ({ layouts }) } }),
        ...how,
        ...offload,
      },
    });
    const counts = () => entities.map((e: Entity) => world.get(e, Written)!.n);
    return { world, Read, Written, entities, scheduler, frame, counts };
  }

  describe.each(["columns", "objects"] as const)("components of %s", (kind) => {
    test("bits of what is only read say which rows changed, if the query follows them", async () => {
      const { world, Read, entities, frame, counts } = await setup(kind, ({ Read, Written }) => ({ all: [Read, Written], changed: [Read] }));
      await frame();
      expect(counts()).toEqual(entities.map(() => 1));
      await frame(false);
      expect(counts()).toEqual(entities.map(() => 1));
      world.set(entities[7], Read, { n: -1 });
      world.set(entities[8070], Read, { n: -1 });
      await frame();
      expect(counts()).toEqual(entities.map((_, i) => (i === 7 || i === 8070 ? 2 : 1)));
      await frame(false);
      expect(counts()[7]).toBe(2);
    });

    test("those of what nobody follows say no, and are bits all the same", async () => {
      const { frame, counts, entities } = await setup(kind, ({ Read, Written }) => ({ all: [Read, Written] }));
      await frame();
      expect(counts()).toEqual(entities.map(() => 0));
    });

    test("to mark what is only read is an error, not an update that is lost", async () => {
      const { scheduler, Read } = await setup(kind, ({ Read, Written }) => ({ all: [Read, Written] }), {
        extra: () => ({ READ: 1, WRITTEN: 0 }),
      });
      const failure: unknown = await scheduler.runFrame().catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(FrameFailure);
      expect((failure as Error).message).toContain("a job marks components that its system lists in `writes`");
      expect(Read.id).toBe(0);
    });
  });
});

test("systems in place are passed over until what they follow changes", async () => {
  const world = new World();
  const C = world.defineComponent({ name: "C", fields: { n: "i32" } });
  const e = world.createEntity({ [C.id]: { n: 0 } });
  const scheduler = new Scheduler(world);
  open.push(scheduler);
  let runs = 0;
  let fails = false;
  scheduler.register({
    name: "watch",
    query: { changed: [C] },
    skipIfEmpty: true,
    run() {
      runs++;
      if (fails) throw new Error("not now");
    },
  });
  const frames = async (count: number) => {
    for (let i = 0; i < count; i++) await scheduler.runFrame().catch(() => undefined);
    return runs;
  };
  expect(await frames(3)).toBe(1);
  world.set(e, C, { n: 1 });
  expect(await frames(3)).toBe(2);
  // What a run that failed was to see is there still.
  fails = true;
  world.set(e, C, { n: 2 });
  expect(await frames(2)).toBe(4);
  fails = false;
  expect(await frames(3)).toBe(5);
});
