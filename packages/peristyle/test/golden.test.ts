/**
 * The golden app, run the same way whatever its workers see: one memory, buffers that move, or no workers at all. The
 * native runtime and pages run the same files, and must come to the same hash.
 */
import { build } from "esbuild";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadCore } from "../src/index.js";
import { golden, type GoldenOptions } from "./golden/app.js";
import { HASH } from "./golden/hash.js";

let folder: string;
beforeAll(async () => {
  await loadCore("plain");
  folder = await mkdtemp(join(tmpdir(), "golden-"));
  const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  await build({
    entryPoints: ["steer", "age", "grow"].map((name) => source(`golden/${name}.job.ts`)),
    bundle: true,
    format: "esm",
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    alias: { "peristyle/math": source("../src/math/index.ts") },
  });
});
afterAll(() => rm(folder, { recursive: true }));

async function run(options: Omit<GoldenOptions, "job">, frames: number, parallel = true): Promise<string> {
  const app = golden({ job: (name) => pathToFileURL(join(folder, `${name}.job.mjs`)), ...options });
  try {
    for (let i = 0; i < frames; i++) await app.scheduler.runFrame(0.016, i, { parallel });
    return app.hash();
  } finally {
    await app.scheduler.close();
  }
}

test.each<[string, Omit<GoldenOptions, "job">]>([
  ["with one memory", { world: { core: { build: "shared" } }, pool: { size: 2 } }],
  ["with buffers that move", { world: { core: { build: "plain" } }, pool: { size: 2 } }],
  ["without workers", { world: { core: { build: "plain" } }, pool: { size: 0 } }],
])("1 000 frames %s come to the golden hash", { timeout: 300_000 }, async (_, options) => {
  expect(await run(options, 1_000)).toBe(HASH);
});

test("one system after the other gives the same as side by side", async () => {
  const few = { count: 2_000, world: { core: { build: "shared" } } } as const;
  const expected = await run({ ...few, pool: { size: 0 } }, 60, false);
  expect(await run({ ...few, pool: { size: 2 } }, 60)).toBe(expected);
  expect(await run({ ...few, pool: { size: 2 } }, 61)).not.toBe(expected);
});
