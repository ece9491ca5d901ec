/**
 * `pos += vel * dt` as a WebAssembly kernel with SIMD, tracking on, against the loop over four `Float32Array`s in the same
 * run: a part of `npm run bench`, after a build. clang compiles the kernel, `bench/jobs/move.c`.
 *
 * Medians of frames, in turns with the loop; a ratio below 1 is time saved.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const DT = 0.016;
const TURNS = 40;
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** Compiles the kernel into a folder. */
function compile(folder) {
  const llvm = "/usr/lib/llvm-19/bin";
  const out = join(folder, "move.wasm");
  const flags = "--target=wasm32 -std=c11 -O3 -msimd128 -mbulk-memory -matomics -nostdlib".split(" ");
  const link = "-Wl,--no-entry,--import-memory,--shared-memory,--max-memory=4294967296,--export=__stack_pointer";
  const files = ["-I", path("../../../crates/kernel/include"), path("../bench/jobs/move.c"), "-o", out];
  const clang = existsSync(`${llvm}/clang`) ? `${llvm}/clang` : "clang";
  execFileSync(clang, [...flags, link, ...files], { env: { ...process.env, PATH: `${llvm}:${process.env.PATH}` } });
  return pathToFileURL(out);
}

/** The loop by hand. */
function byHand(rows) {
  const [px, py, vx, vy] = Array.from({ length: 4 }, (_, i) => new Float32Array(rows).fill(i));
  return () => {
    for (let i = 0; i < rows; i++) {
      px[i] += vx[i] * DT;
      py[i] += vy[i] * DT;
    }
  };
}

/** A scheduler whose frames run the kernel, on the caller's thread and so many workers. */
async function scheduled({ Scheduler, World }, rows, kernel, size) {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
  world.createEntities(rows, new Map([[Position.id, { x: 0, y: 0 }], [Velocity.id, { x: 1, y: 2 }]]));
  const scheduler = new Scheduler(world);
  scheduler.register({ name: "move", offload: { kernel, reads: [Velocity], writes: [Position] } });
  await scheduler.initPool({ size });
  return scheduler;
}

/**
 * Medians in milliseconds of calls that take turns, so that what the machine does meanwhile meets all of them: each has some
 * calls in a row, of which the first do not count, or it would find the others' rows in the cache.
 */
async function medians(calls) {
  const times = calls.map(() => []);
  for (let turn = -TURNS; turn < TURNS; turn++) {
    for (const [at, call] of calls.entries()) {
      for (let round = -4; round < 16; round++) {
        const start = performance.now();
        await call();
        if (turn >= 0 && round >= 0) times[at].push(performance.now() - start);
      }
    }
  }
  return times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
}

/** Gives the lines of the bench. */
export async function run(peristyle) {
  const folder = await mkdtemp(join(tmpdir(), "peristyle-bench-"));
  const lines = [];
  try {
    const kernel = compile(folder);
    for (const rows of [100_000, 1_000_000]) {
      // One after the other: workers look for work for a while, which costs whoever shares their core.
      const raw = byHand(rows);
      const [ofOne, ofTwo] = [[], []];
      for (const [size, of] of [[0, ofOne], [1, ofTwo]]) {
        const scheduler = await scheduled(peristyle, rows, kernel, size);
        of.push(...(await medians([raw, () => scheduler.runFrame(DT)])));
        await scheduler.close();
      }
      lines.push(`pos += vel * dt, ${rows} rows: four Float32Arrays by hand ${ofOne[0].toFixed(3)} ms`);
      for (const [lanes, [byHandMs, ms]] of [["one lane", ofOne], ["two lanes", ofTwo]]) {
        lines.push(`  WebAssembly SIMD kernel, ${lanes.padEnd(9)} ${ms.toFixed(3).padStart(8)} ms  ${(ms / byHandMs).toFixed(2)}x by hand`);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return lines;
}
