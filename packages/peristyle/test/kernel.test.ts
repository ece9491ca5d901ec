/** WebAssembly kernels that a scheduler runs: the same bits as the job in TypeScript, and what hosts refuse that cannot. */
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeAll, expect, test } from "vitest";
import { FrameFailure, Scheduler, World, loadCore, type JobError } from "../src/index.js";
import { SPARKS } from "./kernel/hash.js";
import { sparks, type SparksOptions } from "./kernel/sparks.js";
import { PLAIN, compile, folder, root } from "./support/clang.js";

const SOURCE = join(root, "examples/kernel-c/kernel.c");
let kernel: URL;
let module: URL;
beforeAll(async () => {
  await loadCore("plain");
  kernel = pathToFileURL(compile(SOURCE, PLAIN));
  const outfile = join(folder, "sparks.job.mjs");
  await build({ entryPoints: [fileURLToPath(new URL("kernel/sparks.job.ts", import.meta.url))], outfile });
  module = pathToFileURL(outfile);
}, 60_000);

const shared = { world: { core: { build: "shared" } } } as const;
const plain = { world: { core: { build: "plain" } } } as const;

test.each<[string, () => SparksOptions]>([
  ["TypeScript on two workers", () => ({ job: { module }, ...shared, pool: { size: 2 } })],
  ["a kernel on two workers", () => ({ job: { kernel }, ...shared, pool: { size: 2 } })],
  ["a kernel on the caller's thread", () => ({ job: { kernel }, ...shared, pool: { size: 0 } })],
  ["a kernel given as bytes", () => ({ job: { kernel: readFileSync(kernel) }, ...shared })],
  ["a kernel for a memory that is not shared", () => {
    const file = compile(SOURCE, PLAIN, false);
    return { job: { kernel: pathToFileURL(file) }, ...plain, pool: { size: 2 } };
  }],
])("%s comes to the same bits", async (_, options) => {
  expect(await sparks(options())).toBe(SPARKS);
});

/** Multiplies `Reading.value` by a number of the resource `Gains`, and adds the length of `extra`. */
const GAIN = `#include <peristyle_kernel.h>
PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  const double *gain = peristyle_read_f64(peristyle_resource(call, 0), 0);
  const uint32_t *channel = peristyle_read_u32(peristyle_component(call, 0), 0);
  const struct peristyle_group *out = peristyle_component(call, 1);
  double *value = peristyle_write_f64(out, 0);
  for (uint32_t row = 0; row < call->rows; row++) {
    value[row] = value[row] * gain[channel[row]] + call->extra_bytes;
    if (row % 2 == 0) peristyle_mark(out->changed, row);
  }
}
`;

let scheduler: Scheduler;
afterEach(() => scheduler?.close());

function readings(world: World) {
  const Channel = world.defineComponent({ name: "Channel", fields: { index: "u32" } });
  const Reading = world.defineComponent({ name: "Reading", fields: { value: "f64" } });
  const entities = [0, 1, 2, 1].map((index) => {
    return world.createEntity({ [Channel.id]: { index }, [Reading.id]: { value: 100 + index } });
  });
  scheduler = new Scheduler(world);
  return { Channel, Reading, values: () => entities.map((e) => world.get(e, Reading)!.value) };
}

test("a kernel sees what is read before what is written, resources and the text of `extra`, and marks rows", async () => {
  const world = new World();
  const { Channel, Reading, values } = readings(world);
  const Gains = world.defineResource({ name: "Gains", fields: { by: "f64" }, rows: 3 });
  Gains.columns.by.set([2, 3, 0.5]);
  let extra: unknown = [1];
  const kernel = pathToFileURL(compile(GAIN, PLAIN));
  scheduler.register({
    name: "gain",
    offload: { kernel, reads: [Channel, Gains], writes: [Reading], extra: () => extra },
  });
  const changed = world.makeQuery({ all: [Reading], changed: [Reading] });
  await scheduler.runFrame(1);
  expect(values()).toEqual([203, 306, 54, 306]);
  expect([...world.iter(changed, Reading)].length).toBe(4);
  extra = [1, 2, 3];
  await scheduler.runFrame(1);
  expect(values()).toEqual([413, 925, 34, 925]);
  expect([...world.iter(changed, Reading)].length).toBe(2);
});

test("where the memory is not shared, the system fails by an error that says so and why", async () => {
  const world = new World(plain.world);
  const { Channel, Reading, values } = readings(world);
  const kernel = pathToFileURL(compile(GAIN, PLAIN));
  scheduler.register({ name: "gain", offload: { kernel, reads: [Channel], writes: [Reading] } });
  const failure = await scheduler.runFrame(1).then(
    () => expect.fail("it cannot run"),
    (error: FrameFailure) => error,
  );
  expect(failure).toBeInstanceOf(FrameFailure);
  const cause = failure.failures[0].cause as JobError;
  expect(cause).toMatchObject({ name: "JobError", code: "job-shared" });
  expect(cause.message).toBe(
    "kernel `gain` imports a shared memory, and this world's is not shared: it was asked for",
  );
  expect(values()).toEqual([100, 101, 102, 101]);
});
