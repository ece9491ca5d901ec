/** The examples of the older wirings in Chromium: in every kind of page the same result. */
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { textBundle } from "../../scripts/text-bundle.mjs";
import { serve } from "../support/server.mjs";

const files: Record<string, string> = { "/": "<!doctype html><script type=module src=/wiring.js></script>" };
let browser: Browser;

beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: ["wiring", "wiring-patches.worker", "wiring-inplace.worker"].map((name) =>
      fileURLToPath(new URL(`pages/${name}.ts`, import.meta.url)),
    ),
    outdir: "/",
    bundle: true,
    format: "esm",
    target: "es2022",
    plugins: [textBundle],
    write: false,
  });
  for (const { path, text } of outputFiles) files[path] = text;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
}, 120_000);
afterAll(() => browser?.close());

const pages = [
  { name: "isolated", isolated: true, headers: {}, build: "shared", falls: false },
  { name: "not isolated", isolated: false, headers: {}, build: "plain", falls: false },
  {
    name: "workers forbidden",
    isolated: true,
    headers: { "content-security-policy": "worker-src 'none'" },
    build: "shared",
    falls: true,
  },
] as const;

describe.each(pages)("a page: $name", ({ isolated, headers, build, falls }) => {
  let server: Awaited<ReturnType<typeof serve>>;
  let page: Page;
  const said: string[] = [];

  beforeAll(async () => {
    server = await serve({ files, isolated, headers });
    page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    page.on("pageerror", (error) => said.push(String(error)));
    await page.goto(server.url);
    await page.waitForFunction(() => "wiring" in globalThis);
  }, 120_000);
  afterAll(async () => {
    await page?.close();
    await server?.close();
    expect(said).toEqual([]);
  });

  test.each([
    ["patches", "objects"],
    ["patches", "columns"],
    ["in place", "objects"],
    ["in place", "columns"],
  ])("%s, components of %s", async (form, kind) => {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a function of the page
    const result = await page.evaluate(([form, kind]) => (globalThis as any).wiring(form, kind), [form, kind]);
    const positions = Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0 ? { x: i + 2.5, y: -i + 5 } : { x: i, y: -i },
    );
    expect(result.positions).toEqual(positions);
    expect(result.build).toBe(build);
    expect(result.fallbacks).toBe(falls ? 10 : 0);
  });
});
