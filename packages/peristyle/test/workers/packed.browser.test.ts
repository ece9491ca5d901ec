/** A page's own worker that imports the package as it is built: its first call comes while the core is awaited. */
import { build, type BuildOptions } from "esbuild";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, bundleAll, cores } from "../../scripts/bundle.mjs";
import { textBundle } from "../../scripts/text-bundle.mjs";
import { serve } from "../support/server.mjs";

const source = (name: string): string => fileURLToPath(new URL(`pages/${name}.ts`, import.meta.url));
const options: BuildOptions = { bundle: true, format: "esm", target: "es2022", outdir: "/", write: false };
const files: Record<string, string> = { "/": "<!doctype html><script type=module src=/wiring.js></script>" };
let root: string;
let browser: Browser;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "peristyle-"));
  const dist = join(root, "dist");
  await bundleAll(dist);
  for (const { name, source } of cores) await writeFile(join(dist, `${name}.js`), await bundle(source));
  const fromPackage = (path: string, external: boolean) => ({
    name: "from-package",
    setup({ onResolve }: import("esbuild").PluginBuild) {
      onResolve({ filter: /snapshot\/bits\.js$/ }, () => ({ path, external, sideEffects: false }));
    },
  });
  const worker = async (name: string, plugin: ReturnType<typeof fromPackage>): Promise<void> => {
    const entryPoints = [source("wiring-inplace.worker")];
    const { outputFiles } = await build({ ...options, entryPoints, plugins: [plugin] });
    files[name] = outputFiles![0].text;
  };
  await worker("/raw.js", fromPackage("/dist/index.js", true));
  await worker("/bundled.js", fromPackage(join(dist, "index.js"), false));
  const { outputFiles } = await build({ ...options, entryPoints: [source("wiring")], plugins: [textBundle] });
  files["/wiring.js"] = outputFiles![0].text;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await rm(root, { recursive: true });
});

test.each([
  ["raw", true],
  ["raw", false],
  ["bundled", true],
  ["bundled", false],
])("%s, isolated: %s", async (how, isolated) => {
  const own = { ...files, "/wiring-inplace.worker.js": files[`/${how}.js`] };
  const server = await serve({ root, files: own, isolated, headers: {} });
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  try {
    await page.goto(server.url);
    await page.waitForFunction(() => "wiring" in globalThis);
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a function of the page
    const { positions, fallbacks } = await page.evaluate(() => (globalThis as any).wiring("in place", "columns"));
    expect(fallbacks).toBe(0);
    expect(positions.slice(0, 3)).toEqual([
      { x: 2.5, y: 5 },
      { x: 1, y: -1 },
      { x: 4.5, y: 3 },
    ]);
  } finally {
    await page.close();
    await server.close();
  }
});
