/** The portable pool in Node. */
import { spawnSync } from "node:child_process";
import { writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { build } from "esbuild";
import { textBundle } from "../../scripts/text-bundle.mjs";
import { createPortablePool, type PortablePool, type PortablePoolOptions } from "../../src/workers/index.js";

const calls = new URL("jobs/calls.mjs", import.meta.url);
const open: PortablePool[] = [];
async function poolOf(options: PortablePoolOptions): Promise<PortablePool> {
  const pool = await createPortablePool(options);
  open.push(pool);
  return pool;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close()));
});

describe.each([2, 0])("with %i workers", (size) => {
  test("calls are answered, whatever can be cloned", async () => {
    const pool = await poolOf({ size });
    expect(pool).toMatchObject({ size, kind: size === 0 ? "local" : "node" });
    const inputs = [1, "two", { three: new Map([[3, 3n]]) }, undefined, new Float32Array([4])];
    const answers = await Promise.all(inputs.map((input) => pool.run(calls, { do: "echo", input })));
    expect(answers).toEqual(inputs);
    expect(await pool.run<number>(calls.href, { do: "sum", input: Array.from({ length: 1000 }, (_, i) => i) })).toBe(
      499_500,
    );
  });

  test("an input is a copy: what a job does to it stays there", async () => {
    const pool = await poolOf({ size });
    const input = { do: "spoil", list: [1] };
    expect(await pool.run(calls, input)).toEqual([1, 2]);
    expect(input.list).toEqual([1]);
  });

  test("what a job throws has its name, message and stack", async () => {
    const pool = await poolOf({ size });
    for (const how of ["throw", "reject"]) {
      const error: unknown = await pool.run(calls, { do: how }).catch((error: unknown) => error);
      expect(error).toMatchObject({ name: "JobError", code: "job-threw", cause: { name: "TypeError", message: how } });
      expect(((error as Error).cause as Error).stack).toContain("calls.mjs");
    }
    expect(await pool.run(calls, { do: "echo", input: 1 })).toBe(1);
  });

  test("modules that do not load, inputs and answers that cannot be sent", async () => {
    const pool = await poolOf({ size });
    await expect(pool.run(new URL("nowhere.mjs", import.meta.url))).rejects.toMatchObject({ code: "job-load" });
    await expect(pool.run(new URL("jobs/empty.mjs", import.meta.url))).rejects.toMatchObject({ code: "job-handle" });
    await expect(pool.run(calls, () => {})).rejects.toMatchObject({ code: "job-unclonable" });
    await expect(pool.run(calls, { do: "function" })).rejects.toMatchObject({ code: "job-unclonable" });
    expect(await pool.run(calls, { do: "echo", input: 1 })).toBe(1);
  });

  test("closing twice while a call runs ends both times", async () => {
    const pool = await poolOf({ size });
    const last = pool.run(calls, { do: "echo", input: "last" });
    await Promise.all([pool.close(), pool.close()]);
    expect(await last).toBe("last");
  });

  test("a closed pool refuses, after what was asked is done", async () => {
    const pool = await poolOf({ size });
    const last = pool.run(calls, { do: "echo", input: "last" });
    await pool.close();
    expect(await last).toBe("last");
    await expect(pool.run(calls)).rejects.toMatchObject({ code: "pool-closed" });
  });
});

test("a worker that ends fails its call alone, and is replaced", async () => {
  const pool = await poolOf({ size: 2 });
  const outcomes = await Promise.allSettled([
    pool.run(calls, { do: "exit" }),
    ...Array.from({ length: 20 }, (_, i) => pool.run(calls, { do: "echo", input: i })),
  ]);
  expect(outcomes[0]).toMatchObject({ status: "rejected", reason: { code: "worker-lost" } });
  expect(outcomes.slice(1).map((outcome) => "value" in outcome && outcome.value)).toEqual(
    Array.from({ length: 20 }, (_, i) => i),
  );
});

test("a call that takes too long is ended, a full queue refuses", async () => {
  const pool = await poolOf({ size: 1, deadline: 3000, queue: 2 });
  await pool.run(calls, { do: "echo", input: 0 });
  const hangs = pool.run(calls, { do: "hang" });
  const waiting = [pool.run(calls, { do: "echo", input: 1 }), pool.run(calls, { do: "echo", input: 2 })];
  await expect(pool.run(calls, { do: "echo", input: 3 })).rejects.toMatchObject({ code: "queue-full" });
  await expect(hangs).rejects.toMatchObject({ code: "job-timeout" });
  expect(await Promise.all(waiting)).toEqual([1, 2]);
});

test("a worker that takes too much memory is ended by its limits", async () => {
  const pool = await poolOf({ size: 1, limits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 8 } });
  await expect(pool.run(calls, { do: "hoard" })).rejects.toMatchObject({
    code: "worker-lost",
    message: /memory/i as never,
  });
  expect(await pool.run(calls, { do: "echo", input: 1 })).toBe(1);
});

test("a process that forgot to close its pool ends, after what it waits for; stacks are source-mapped if it maps them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "peristyle-"));
  const entry = new URL("../../src/workers/index.ts", import.meta.url).pathname;
  await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    platform: "neutral",
    plugins: [textBundle],
    outfile: join(folder, "peristyle.mjs"),
  });
  const job = `export interface In { readonly n: number }\n\nexport function handle({ n }: In): never {\n  throw new Error("n is " + n);\n}\n`;
  writeFileSync(join(folder, "job.ts"), job);
  await build({
    entryPoints: [join(folder, "job.ts")],
    sourcemap: true,
    format: "esm",
    outfile: join(folder, "job.mjs"),
  });
  writeFileSync(
    join(folder, "main.mjs"),
    `import { createPortablePool } from "./peristyle.mjs";
     const pool = await createPortablePool({ size: 1 });
     const error = await pool.run(new URL("job.mjs", import.meta.url), { n: 7 }).catch((error) => error);
     console.log(error.cause.stack);`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--enable-source-maps", join(folder, "main.mjs")], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(stdout).toContain("n is 7");
  expect(stdout).toMatch(/job\.ts:4:/);
});

test("a path is that of a file, whatever its characters", async () => {
  const folder = mkdtempSync(join(tmpdir(), "peristyle 100%20#1? ä-"));
  writeFileSync(join(folder, "job #2?.mjs"), "export const handle = (n) => n + 1;");
  const pool = await poolOf({ size: 1 });
  expect(await pool.run(join(folder, "job #2?.mjs"), 1)).toBe(2);
  expect(await pool.run(`./${relative(process.cwd(), join(folder, "job #2?.mjs"))}`, 2)).toBe(3);
});
