/** The elementary functions in Chromium: the same hashes as in `crates/math/vectors/golden.json`. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { serve } from "../support/server.mjs";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

test("bits are those of Rust", async () => {
  const script = `import { goldenHash } from "./golden.ts"; globalThis.result = goldenHash();`;
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: here("../fixtures/math") },
    bundle: true,
    format: "esm",
    write: false,
  });
  const page = `<!doctype html><script type="module" src="/golden.js"></script>`;
  const server = await serve({ files: { "/": page, "/golden.js": outputFiles[0]!.contents } });
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const tab = await browser.newPage();
    tab.setDefaultTimeout(60_000);
    const problems: string[] = [];
    tab.on("pageerror", ({ message }) => problems.push(message));
    await tab.goto(server.url);
    const result = await tab.waitForFunction(() => (globalThis as { result?: string }).result);
    expect(problems).toEqual([]);
    expect(await result.jsonValue()).toBe(readFileSync(here("../../../../crates/math/vectors/golden.json"), "utf8"));
  } finally {
    await browser.close();
    await server.close();
  }
});
