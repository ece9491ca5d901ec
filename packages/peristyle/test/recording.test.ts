/** What a scheduler's timeline shows of its frames. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { gantt, loadCore, Scheduler, statistics, Timeline, World, type LaneSpans } from "../src/index.js";

const add = new URL("./jobs/add.mjs", import.meta.url).href;
const open: Scheduler[] = [];
afterEach(async () => {
  for (const scheduler of open.splice(0)) await scheduler.close();
});
beforeAll(() => loadCore("plain"));

const ROWS = 40_000;

function setup(build: "shared" | "plain", timeline = new Timeline()) {
  const world = new World({ core: { build } });
  const C = world.defineComponent({ name: "C", fields: { n: "i32" } });
  world.createEntities(ROWS, new Map([[C.id, { n: 0 }]]));
  const scheduler = new Scheduler(world, { timeline });
  open.push(scheduler);
  scheduler.register({ name: "begin", stage: "startup", run() {} });
  scheduler.register({
    name: "job",
    offload: { module: add, reads: [], writes: [C], extra: () => ({ C: C.id, by: 1 }) },
  });
  // It keeps the caller's thread from the job's ranges, once there are workers.
  scheduler.register({ name: "beside", reads: ["nothing"], run: ({ cmd }) => void cmd.createEntity() });
  scheduler.register({ name: "late", stage: "late", async run() {} });
  return { world, scheduler, timeline };
}

/** What lanes have of kinds of spans, as `kind name`. */
const said = (lanes: readonly LaneSpans[], ...kinds: string[]) =>
  lanes.map(({ spans }) => spans.filter(({ kind }) => kinds.includes(kind)).map(({ kind, name }) => `${kind} ${name}`));

describe.each(["shared", "plain"] as const)("on the %s build", (build) => {
  test("frames, stages, systems, ranges, merges and waits are on the lanes where they were", async () => {
    const { scheduler, timeline } = setup(build);
    await scheduler.initPool({ size: 1 });
    expect(timeline.lanes).toBe(2);
    while ((await scheduler.runFrame()).dispatches === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(timeline.read().map(({ spans }) => spans.length)).toEqual([0, 0]);
    timeline.setEnabled(true);
    const { tick, dispatches } = await scheduler.runFrame(1);
    timeline.setEnabled(false);
    expect(dispatches).toBe(1);
    const lanes = timeline.read();
    const [frame, worker] = lanes;
    expect(said(lanes, "frame", "stage")).toEqual([["stage update", "stage late", "frame frame"], []]);
    expect(said(lanes, "system")).toEqual([["system beside", "system late"], []]);
    expect(said(lanes, "commit")).toEqual([["commit update", "commit late"], []]);
    expect(said(lanes, "range")).toEqual([[], ["range job", "range job", "range job"]]);
    // The rows of each chunk, on the worker, once.
    const ranges = [...worker.spans].sort((a, b) => a.detail - b.detail);
    expect(ranges.map(({ rows, detail }) => [rows, detail])).toEqual([[16_384, 0], [16_384, 1], [ROWS - 32_768, 2]]);
    const of = (kind: string, name: string) => frame.spans.find((span) => span.kind === kind && span.name === name)!;
    const whole = of("frame", "frame");
    expect(whole.detail).toBe(tick);
    expect(of("commit", "update").rows).toBe(1);
    // Clocks of threads differ a little.
    for (const { start, end } of frame.spans.filter(({ kind }) => kind !== "wait")) {
      expect(start).toBeLessThanOrEqual(end);
      expect(start).toBeGreaterThanOrEqual(whole.start);
      expect(end).toBeLessThanOrEqual(whole.end);
    }
    // Who waited, waited for the worker's last range.
    const waits = frame.spans.filter(({ kind }) => kind === "wait");
    expect(waits.every(({ name, end }) => name === "job" && end === Math.max(...ranges.map((range) => range.end)))).toBe(true);
    const svg = gantt(lanes);
    for (const name of ["beside", "job", "late", "worker 1"]) expect(svg).toContain(name);
    expect(statistics(lanes).systems.find(({ name }) => name === "job")).toMatchObject({ rows: ROWS, spans: 3, stage: "update" });
  });

  test("without workers ranges are on the frame's lane, and nobody waits", async () => {
    const { scheduler, timeline } = setup(build);
    await scheduler.initPool({ size: 0 });
    timeline.setEnabled(true);
    await scheduler.runFrame(1);
    const lanes = timeline.read();
    expect(said(lanes, "stage")).toEqual([["stage startup", "stage update", "stage late"]]);
    expect(said(lanes, "range")).toEqual([["range job", "range job", "range job"]]);
    expect(said(lanes, "wait")).toEqual([[]]);
  });
});

test("a clock of another origin is kept to, and what fails is shown, too", async () => {
  const timeline = new Timeline({ clock: () => performance.now() + 1e9 });
  const world = new World();
  const scheduler = new Scheduler(world, ["update"], { timeline, onFailure() {} });
  open.push(scheduler);
  timeline.setEnabled(true);
  const fail = () => {
    throw new Error("no");
  };
  scheduler.register({ name: "fails", reads: ["nothing"], run: fail });
  scheduler.register({ name: "rejects", reads: ["nothing"], run: async () => fail() });
  await scheduler.runFrame();
  const [{ spans }] = timeline.read();
  expect(spans.map(({ kind, name }) => `${kind} ${name}`)).toEqual(
    expect.arrayContaining(["system fails", "system rejects", "stage update", "frame frame"]),
  );
  expect(spans.every(({ start }) => start >= 1e9)).toBe(true);
});
