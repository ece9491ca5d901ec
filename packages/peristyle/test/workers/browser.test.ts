/** Lanes and pools in Chromium: with shared memory, without, and without workers. */
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { textBundle } from "../../scripts/text-bundle.mjs";
import { serve } from "../support/server.mjs";

const folder = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const files: Record<string, string> = { "/": "<!doctype html><script type=module src=/page.js></script>" };
let browser: Browser;

beforeAll(async () => {
  const names = ["page", "physics.worker", "patches.worker", "keeps.worker", "snap.worker"];
  const { outputFiles } = await build({
    entryPoints: [
      ...names.map((name) => ({ in: folder(`pages/${name}.ts`), out: name })),
      { in: folder("../../src/workers/worker.ts"), out: "worker" },
    ],
    outdir: "/",
    bundle: true,
    format: "esm",
    target: "es2022",
    plugins: [textBundle],
    write: false,
  });
  for (const { path, text } of outputFiles) files[path] = text;
  files["/echo.worker.js"] = "onmessage = ({ data }) => postMessage({ echo: data });";
  files["/unproven.worker.js"] = `onmessage = ({ data: { snap, extra: { mood } } }) => {
    if (mood === "close") close();
    else if (mood !== "hang") postMessage({ snap });
  };`;
  files["/jobs/throws.js"] = "export function handle() {\n  throw new RangeError('out of sorts');\n}";
  files["/jobs/ends.js"] = `export async function handle({ snap, extra }) {
    if (snap.eids[0] !== extra.at || !("WorkerGlobalScope" in globalThis)) return;
    close();
    await new Promise(() => {});
  }`;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
});
afterAll(() => browser?.close());

/** Kinds of pages, and what is expected of each. */
const pages: Kind[] = [
  { name: "isolated", isolated: true, headers: {}, way: "shared" },
  { name: "not isolated", isolated: false, headers: {}, way: "transferred" },
  {
    name: "workers of files only",
    isolated: true,
    headers: { "content-security-policy": "worker-src 'self'" },
    search: "?file",
    way: "shared",
  },
  { name: "an engine without waitAsync", isolated: true, headers: {}, init: "delete Atomics.waitAsync", way: "shared" },
  {
    name: "workers forbidden",
    isolated: true,
    headers: { "content-security-policy": "worker-src 'none'" },
    way: "local",
  },
];

/** A kind of page. */
interface Kind {
  readonly name: string;
  readonly isolated: boolean;
  readonly headers: Record<string, string>;
  readonly search?: string;
  readonly init?: string;
  readonly way: "shared" | "transferred" | "local";
}

describe.each(pages)("a page: $name", ({ isolated, headers, way, search = "", init = "" }) => {
  let server: Awaited<ReturnType<typeof serve>>;
  let page: Page;
  const said: string[] = [];

  beforeAll(async () => {
    server = await serve({ root: folder(".").replace(/\/$/, ""), files, isolated, headers });
    page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    page.on("pageerror", (error) => said.push(String(error)));
    await page.addInitScript(init);
    await page.goto(`${server.url}/${search}`);
    await page.waitForFunction(() => "tests" in globalThis);
  });
  afterAll(async () => {
    await page?.close();
    await server?.close();
    expect(said).toEqual([]);
  });

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what a page gives is what a test looks for
  const run = (name: string, ...args: unknown[]): Promise<any> =>
    page.evaluate(([name, args]) => (globalThis as any).tests[name](...args), [name, args] as [string, unknown[]]);

  test.each([undefined, "workers"])("a job in place gives the same everywhere (place %s)", async (place) => {
    const result = await run("frames", place);
    expect(result).toMatchObject({ way, marked: true, size: way === "local" ? 0 : 2 });
    // Σ row-weighted: what Node gives for the same.
    expect(result.sums).toEqual(expectedSums(10));
    if (place === "workers") expect(result.lanes.includes(0)).toBe(way === "local");
    expect(result.copied > 0).toBe(way === "transferred");
  });

  test("patches", async () => {
    const { patches, count } = await run("patches");
    expect(count).toBe(1000);
    expect(patches[1]).toEqual({ kind: "set", eid: 2 + 3 * 2 ** 32, cid: 3, value: { x: 2 + -1 * 2, y: 4 } });
  });

  test("a job that throws, and one that does not load", async () => {
    expect(await run("throws")).toMatchObject({
      failed: [0, 1],
      failure: {
        name: "JobError",
        code: "job-threw",
        cause: { name: "RangeError", message: "out of sorts", stack: /throws\.js:2/ as never },
      },
    });
    expect(await run("missing")).toMatchObject({ code: "job-load", message: /nowhere\.mjs/ as never });
  });

  test("a pool", async () => {
    const { kind, size, answers, thrown, echo } = await run("pool");
    expect({ kind, size }).toEqual(way === "local" ? { kind: "local", size: 0 } : { kind: "browser", size: 2 });
    expect(answers).toEqual([1, 2, 3]);
    expect(thrown).toMatchObject({ code: "job-threw", cause: { name: "TypeError", message: "throw" } });
    if (way === "local") expect(echo).toMatchObject({ code: "no-workers" });
    else expect(echo).toEqual({ echo: { a: 1 } });
  });

  if (way === "local") {
    test("a page's own worker is refused by type", async () => {
      expect(await run("own", "physics")).toMatchObject({ refused: { name: "SupportError", code: "no-workers" } });
    });
    return;
  }

  test("a worker that ends itself in mid-frame: its range fails, the rest and the next frame go on", async () => {
    const { failed, code, second } = await run("ends");
    expect(failed).toContain(2);
    expect(["worker-lost", "job-timeout"]).toContain(code);
    expect(second).toBe("fine");
  });

  test("a page's own worker works in place", async () => {
    const result = await run("own", "physics");
    expect(result).toMatchObject({ failed: [], count: 0, marked: 255 });
    expect(result.sums).toEqual(expectedSums(2, 1000));
  });

  test("a page's own worker returns patches", async () => {
    const result = await run("own", "patches", undefined, false);
    expect(result).toMatchObject({ failed: [], count: 500 });
    expect(result.patches[1]).toEqual({ kind: "set", eid: 2 + 3 * 2 ** 32, cid: 3, value: { x: 0, y: 4 } });
  });

  test("columns that are not given back are an error where they were moved", async () => {
    const { failure, x0 } = await run("own", "keeps");
    if (way === "shared") expect([failure, x0]).toEqual([undefined, 77]);
    else {
      expect(failure).toMatchObject({ name: "JobError", code: "job-columns", message: /markChanged/ as never });
      expect(x0).toBe(0);
    }
  });

  test("columns that are posted with the snapshot count", async () => {
    expect(await run("own", "snap")).toMatchObject({ x0: 77, marked: 1 });
  });

  test.each(["throw", "reject"])("a page's own worker that fails (%s)", async (mood) => {
    const { failure, failed, next, x0 } = await run("own", "physics", mood);
    expect(failed).toEqual([0, 1]);
    expect(failure).toMatchObject({ code: "job-threw", cause: { name: "RangeError", message: "out of sorts" } });
    expect(next).toBe("fine");
    expect(x0).toBe(0);
  });

  test.each([
    ["hang", 700, "job-timeout"],
    ["close", undefined, "worker-lost"],
  ])("a page's own worker that falls silent (%s, deadline %s) is replaced", async (mood, deadline, code) => {
    const { failure, failed, next } = await run("own", "physics", mood, true, deadline);
    expect(failed).toEqual([0, 1]);
    expect(failure).toMatchObject({ code });
    expect(next).toBe("fine");
  });

  test.each(["hang", "close"])("one that holds no lock (%s) has a bounded time to answer, and is replaced", async (mood) => {
    const { failure, failed, next } = await run("own", "unproven", mood, true, undefined, 1500);
    expect(failed).toEqual([0, 1]);
    expect(failure).toMatchObject({ name: "JobError", code: "worker-lost", message: /`markChanged`.*`deadline`/ as never });
    expect(next).toBe("fine");
  });

  test("a page's own worker that does not load, and one that there is not", async () => {
    expect((await run("own", "nowhere")).failure).toMatchObject({ code: "worker-start", message: /nowhere/ as never });
    expect(await run("own", "unheard")).toMatchObject({ refused: { code: "job-load", message: /unheard/ as never } });
  });
});

/** Sums of the columns after a time. */
function expectedSums(time: number, rows = 5000): number[] {
  const x = (row: number): number => row + ((row % 7) - 3) * time;
  const y = (row: number): number => (row % 3) * time;
  return [x, y].map((at) =>
    Array.from({ length: rows }, (_, row) => at(row) * (row % 13)).reduce((sum, n) => sum + n, 0),
  );
}
