/** WebAssembly kernels in lanes, and what is no kernel. Compiled by clang, from the example in C and from pieces. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { createLanes, type Lanes } from "../../src/workers/index.js";
import { PLAIN, RELATIVE, compile, root } from "../support/clang.js";
import { HandWorld } from "../support/leases.js";

const open: Lanes[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((lanes) => lanes.close()));
});

async function setUp(rows: number, size = 2, isShared = true): Promise<{ world: HandWorld; lanes: Lanes }> {
  const world = new HandWorld(isShared, rows, [
    { id: 0, name: "Position", fields: { x: "f32", y: "f32" }, write: true },
    { id: 1, name: "Velocity", fields: { x: "f32", y: "f32" }, write: true },
    { id: 2, name: "Life", fields: { seconds: "f32" }, write: true },
  ]);
  const lanes = await createLanes(world, { size });
  open.push(lanes);
  await lanes.ready;
  return { world, lanes };
}

test("the example in C steps rows on all lanes, marks them and despawns", async () => {
  const { world, lanes } = await setUp(5000);
  const x = world.column("Position.x");
  const seconds = world.column("Life.seconds");
  for (let row = 0; row < 5000; row++) {
    world.column("Velocity.x")[row] = row % 4;
    world.column("Position.y")[row] = 100;
    seconds[row] = row % 10;
  }
  const source = {
    kind: "kernel",
    name: "sparks",
    module: pathToFileURL(compile(join(root, "examples/kernel-c/kernel.c"), PLAIN)),
  } as const;
  const sparks = await lanes.load(source, world.shape([0, 1, 2]));
  for (const place of ["workers", "caller", "any"] as const) {
    const [result] = await lanes.run([{ job: sparks, list: world.lease(512, 0.25, 0), dt: 0.25, time: 0, place }]);
    expect(result).toMatchObject({ failed: [], ranges: 10 });
  }
  const fall = Math.fround(Math.fround(-9.81) * 0.25);
  for (let row = 0; row < 5000; row++) {
    expect(x[row]).toBe((row % 4) * 0.75);
    expect(world.column("Velocity.y")[row]).toBeCloseTo(fall * 3, 4);
    expect(seconds[row]).toBe((row % 10) - 0.75);
    expect((world.despawn()[row >> 3] >> (row & 7)) & 1).toBe(row % 10 < 1 ? 1 : 0);
  }
  expect(
    world
      .bits(0)
      .subarray(0, 625)
      .every((byte) => byte === 255),
  ).toBe(true);
});

const TABLE = `#include <peristyle_kernel.h>
static volatile float table[] = {1, 2, 3, 5};
PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  const struct peristyle_group *life = peristyle_component(call, 2);
  float *seconds = peristyle_write_f32(life, 0);
  for (uint32_t row = 0; row < call->rows; row++) seconds[row] = table[row & 3];
}
`;

const DEEP = `#include <peristyle_kernel.h>
static __attribute__((noinline)) uint32_t deep(uint32_t n) {
  volatile uint32_t room[256];
  for (int i = 0; i < 256; i++) room[i] = n;
  return n == 0 ? 0 : deep(n - 1) + room[n & 255];
}
PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  float *seconds = peristyle_write_f32(peristyle_component(call, 2), 0);
  uint32_t depth = (uint32_t)seconds[0];
  if (depth == 9999) __builtin_trap();
  seconds[0] = (float)deep(depth);
}
`;

test("static data of a position-independent kernel lies in a block of its lane", async () => {
  const { world, lanes } = await setUp(2048);
  const module = readFileSync(compile(TABLE, RELATIVE));
  const table = await lanes.load({ kind: "kernel", name: "table", module }, world.shape());
  const [result] = await lanes.run([{ job: table, list: world.lease(512), dt: 0, time: 0, place: "workers" }]);
  expect(result.failure).toBeUndefined();
  expect([...(world.column("Life.seconds") as Float32Array).subarray(1020, 1030)]).toEqual([
    1, 2, 3, 5, 1, 2, 3, 5, 1, 2,
  ]);
  await lanes.close();
  // Stacks of three lanes, and data of at least four numbers for each.
  expect(world.released).toBeGreaterThanOrEqual(3 * (262_144 + 16));
});

test.each(["workers", "caller"] as const)(
  "a kernel that traps, or overruns its stack, fails its range alone (%s)",
  async (place) => {
    const { world, lanes } = await setUp(1536);
    const deep = await lanes.load(
      { kind: "kernel", name: "deep", module: readFileSync(compile(DEEP, PLAIN)) },
      world.shape(),
    );
    const seconds = world.column("Life.seconds");
    const run = async (...depths: number[]) => {
      for (const [at, depth] of depths.entries()) seconds[at * 512] = depth;
      return (await lanes.run([{ job: deep, list: world.lease(512), dt: 0, time: 0, place }]))[0];
    };
    const trapped = await run(10, 9999, 3);
    expect(trapped.failed).toEqual([1]);
    expect(trapped.failure).toMatchObject({ code: "job-threw", cause: { name: "RuntimeError" } });
    expect([seconds[0], seconds[1024]]).toEqual([55, 6]);
    const overrun = await run(10, 255, 3);
    expect(overrun.failed).toEqual([1]);
    expect(overrun.failure?.message).toContain("kernel `deep` overran its stack of 262144 bytes");
    const fine = await run(10, 4, 3);
    expect(fine.failure).toBeUndefined();
    expect(seconds[512]).toBe(10);
  },
);

describe("what is no kernel is refused when it is loaded", () => {
  const handle = '__attribute__((export_name("handle")))';
  const cases: [what: string, source: string, flags: string[], message: RegExp][] = [
    [
      "static data at a fixed address",
      TABLE,
      PLAIN,
      /kernel `it` has a data segment \.data at a fixed address \(\d+\)/,
    ],
    [
      "a hidden stack pointer",
      DEEP,
      [],
      /stack pointer \(global \d+\) that cannot be set: link with --export=__stack_pointer/,
    ],
    [
      "no handler",
      '__attribute__((export_name("run")))\nvoid run(int at) { (void)at; }\n',
      PLAIN,
      /exports no function `handle`/,
    ],
    [
      "a handler of another type",
      `${handle}\ndouble handle(double x) { return x; }\n`,
      PLAIN,
      /exports `handle` as \(f64\) -> f64/,
    ],
    [
      "imported functions",
      `__attribute__((import_module("env"), import_name("now")))\nextern int now(void);\n${handle} void handle(int at) { *(int *)at = now(); }\n`,
      PLAIN,
      /cannot import env\.now: kernels are offered no functions/,
    ],
  ];
  test.each(cases)("%s", async (_, source, flags, message) => {
    const { world, lanes } = await setUp(512, 0);
    const loading = lanes.load(
      { kind: "kernel", name: "it", module: readFileSync(compile(source, flags)) },
      world.shape(),
    );
    await expect(loading).rejects.toMatchObject({ name: "JobError", code: "job-load", message });
  });

  test("what is not WebAssembly, is cut short, or is not there", async () => {
    const { world, lanes } = await setUp(512, 0);
    const load = (module: Uint8Array<ArrayBuffer> | string) =>
      lanes.load({ kind: "kernel", name: "it", module }, world.shape());
    const whole = new Uint8Array(readFileSync(compile(DEEP, PLAIN)));
    await expect(load(new Uint8Array([1, 2, 3]))).rejects.toThrow("kernel `it` is not WebAssembly");
    for (let bytes = 8; bytes < whole.length; bytes += 37) {
      // A cut between two of the last sections leaves a whole module.
      if (WebAssembly.validate(whole.slice(0, bytes))) continue;
      await expect(load(whole.slice(0, bytes))).rejects.toMatchObject({ name: "JobError" });
    }
    await expect(load(pathToFileURL(join(root, "nowhere.wasm")).href)).rejects.toThrow(/nowhere\.wasm/);
  });

  test("a memory of the other kind", async () => {
    const shared = await setUp(512, 0);
    const plain = await setUp(512, 0, false);
    const of = (isShared: boolean) =>
      ({ kind: "kernel", name: "it", module: readFileSync(compile(DEEP, PLAIN, isShared)) }) as const;
    await expect(shared.lanes.load(of(false), shared.world.shape())).rejects.toMatchObject({ code: "job-shared" });
    await expect(plain.lanes.load(of(true), plain.world.shape())).rejects.toMatchObject({ code: "job-shared" });
    const deep = await plain.lanes.load(of(false), plain.world.shape());
    plain.world.column("Life.seconds")[0] = 4;
    expect(
      (await plain.lanes.run([{ job: deep, list: plain.world.lease(), dt: 0, time: 0 }]))[0].failure,
    ).toBeUndefined();
    expect(plain.world.column("Life.seconds")[0]).toBe(10);
  });
});
