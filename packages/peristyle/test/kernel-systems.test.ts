/** Systems whose jobs are WebAssembly kernels. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, expect, test } from "vitest";
import { FrameFailure, Scheduler, World } from "../src/index.js";
import { PLAIN, compile, root } from "./support/clang.js";

const open: Scheduler[] = [];
afterEach(async () => {
  for (const scheduler of open.splice(0)) await scheduler.close();
});

function setup() {
  const world = new World();
  const scheduler = new Scheduler(world);
  open.push(scheduler);
  return { world, scheduler };
}

/** Adds the digit that it is told; nothing without one. */
const ADD = `#include <peristyle_kernel.h>
PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  const struct peristyle_group *count = peristyle_component(call, 0);
  float *n = peristyle_write_f32(count, 0);
  float step = call->extra_bytes == 1 ? (float)(*(const char *)call->extra - '0') : 0.0f;
  for (uint32_t row = 0; row < call->rows; row++) n[row] += step;
  peristyle_mark_all(count->changed, call->rows);
}`;

test("the example in C steps a world frame after frame, until its sparks have burnt out", async () => {
  const { world, scheduler } = setup();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
  const Life = world.defineComponent({ name: "Life", fields: { seconds: "f32" } });
  const sparks = Array.from({ length: 1000 }, (_, i) =>
    world.createEntity({
      [Position.id]: { x: 0, y: 100 },
      [Velocity.id]: { x: 1, y: 0 },
      [Life.id]: { seconds: i < 400 ? 0.5 : 10 },
    }),
  );
  const kernel = pathToFileURL(compile(join(root, "examples/kernel-c/kernel.c"), PLAIN));
  scheduler.register({ name: "sparks", offload: { kernel, reads: [], writes: [Position, Velocity, Life], despawns: true } });
  for (let frame = 0; frame < 4; frame++) await scheduler.runFrame(0.25);
  expect(sparks.map((spark) => world.isAlive(spark))).toEqual(sparks.map((_, i) => i >= 400));
  expect(world.get(sparks[999], Position)!.x).toBe(1);
});

test("a kernel is told its `extra` of each frame; one that cannot be made fails its system alone", async () => {
  const { world, scheduler } = setup();
  const Count = world.defineComponent({ name: "Count", fields: { n: "f32" } });
  const entity = world.createEntity({ [Count.id]: { n: 0 } });
  const other = { frames: 0 };
  let extra: () => unknown = () => 3;
  scheduler.register({
    name: "add",
    offload: { kernel: pathToFileURL(compile(ADD, PLAIN)), reads: [], writes: [Count], extra: () => extra() },
  });
  scheduler.register({ name: "other", run: () => void other.frames++ });
  const n = () => world.get(entity, Count)!.n;
  await scheduler.runFrame(1);
  expect(n()).toBe(3);
  extra = () => 4;
  await scheduler.runFrame(1);
  expect(n()).toBe(7);
  extra = () => undefined;
  await scheduler.runFrame(1);
  expect(n()).toBe(7);
  extra = () => {
    throw new RangeError("no step today");
  };
  const failed = await scheduler.runFrame(1).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(FrameFailure);
  expect((failed as FrameFailure).failures.map(({ system, cause }) => [system, String(cause)])).toEqual([
    ["add", "RangeError: no step today"],
  ]);
  expect([n(), other.frames]).toEqual([7, 4]);
});
