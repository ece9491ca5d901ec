/** The golden app in Chromium, in each kind of page. */
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { chromium, type Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { textBundle } from "../scripts/text-bundle.mjs";
import { HASH } from "./golden/hash.js";
import { serve } from "./support/server.mjs";

const files: Record<string, string> = { "/": "<!doctype html><script type=module src=/page.js></script>" };
let browser: Browser;
beforeAll(async () => {
  const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const { outputFiles } = await build({
    entryPoints: ["page", "steer.job", "age.job", "grow.job"].map((name) => here(`golden/${name}.ts`)),
    outdir: "/",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    external: ["node:*"],
    alias: { "peristyle/math": here("../src/math/index.ts"), peristyle: here("../src/index.ts") },
    plugins: [textBundle],
    write: false,
  });
  for (const { path, text } of outputFiles) files[path] = text;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
});
afterAll(() => browser?.close());

test.each([
  ["isolated", true, {}, "shared"],
  ["not isolated", false, {}, "plain"],
  ["where workers are forbidden", false, { "content-security-policy": "worker-src 'none'" }, "plain"],
] as const)("1 000 frames in a page, %s, come to the golden hash", { timeout: 300_000 }, async (_, isolated, headers, core) => {
  const server = await serve({ files, isolated, headers });
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const said: string[] = [];
  page.on("pageerror", (error) => said.push(String(error)));
  try {
    await page.goto(server.url);
    await page.waitForFunction("'golden' in globalThis");
    expect(await page.evaluate("golden(1000, 1)")).toEqual({ build: core, hash: HASH });
    expect(said).toEqual([]);
  } finally {
    await page.close();
    await server.close();
  }
});
