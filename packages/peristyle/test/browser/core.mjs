// The loader in a real page: isolated, not isolated, and where WebAssembly may not be compiled.
//
//   node --test test/browser/core.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { bundle, cores, withoutCores } from "../../scripts/bundle.mjs";
import { serve } from "../support/server.mjs";

const here = new URL(".", import.meta.url).pathname;

/** What runs in the page: makes a world, and tells what came of it. */
const PAGE = `
  import { coreInfo, createCore, loadCore } from "../../src/core/index.ts";
  const caught = (call) => { try { call(); return "nothing"; } catch (error) { return error.code ?? String(error); } };
  window.told = (async () => {
    const told = { isolated: crossOriginIsolated, info: coreInfo(), shared: caught(() => createCore({ build: "shared" })) };
    await loadCore("plain");
    told.plain = caught(() => createCore({ build: "plain" }));
    told.auto = caught(() => createCore());
    if (told.auto !== "nothing") return told;
    const core = createCore();
    const { abi } = core;
    const component = core.check(abi.define_component(core.writeText("Pos\\nx:f32")));
    const table = core.check(abi.table(core.writeWords([component])));
    core.check(abi.spawn_many(table, 200_000));
    const handles = core.readNumbers(3);
    core.check(abi.destroy(handles[1]));
    told.alive = [...handles].map((handle) => abi.is_alive(handle));
    told.stale = caught(() => core.check(abi.locate(handles[1])));
    if (core.isShared) {
      const source = "onmessage = ({ data: { memory, at } }) => { Atomics.store(new Int32Array(memory.buffer), at, 42); postMessage(0); }";
      const worker = new Worker(URL.createObjectURL(new Blob([source])));
      const at = core.allocate(64) / 4;
      worker.postMessage({ memory: core.memory, at });
      await new Promise((answered) => { worker.onmessage = answered; });
      told.written = core.u32()[at];
    }
    return told;
  })();
`;

let browser;
let server;

before(async () => {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: here, loader: "ts" },
    bundle: true,
    format: "esm",
    target: "es2022",
    plugins: [withoutCores],
    write: false,
  });
  const files = { "/page.js": outputFiles[0].contents, "/page.html": `<!doctype html><script type="module" src="/page.js"></script>` };
  for (const { name, source } of cores) files[`/${name}.js`] = await bundle(source);
  server = await serve({ files });
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/** What a page tells under some headers. */
async function told(options) {
  Object.assign(server.options, { isolated: false, headers: {} }, options);
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  await page.goto(`${server.url}/page.html`);
  const answer = await page.waitForFunction(() => window.told).catch((error) => {
    throw new Error([error.message, ...wrong].join("\n"));
  });
  const result = await answer.jsonValue();
  await page.close();
  return result;
}

test("an isolated page shares its memory with workers", async () => {
  const page = await told({ isolated: true });
  assert.equal(page.isolated, true);
  assert.equal(page.info.build, "shared");
  assert.equal(page.shared, "nothing");
  assert.equal(page.plain, "nothing");
  assert.deepEqual(page.alive, [1, 0, 1]);
  assert.equal(page.stale, "entity-destroyed");
  assert.equal(page.written, 42);
});

test("a page that is not isolated has a memory of its own, and says what it lacks", async () => {
  const page = await told({ isolated: false });
  assert.equal(page.isolated, false);
  assert.equal(page.info.build, "plain");
  assert.match(page.info.reason, /Cross-Origin-Opener-Policy/);
  assert.equal(page.shared, "no-shared-memory");
  assert.equal(page.auto, "nothing");
  assert.deepEqual(page.alive, [1, 0, 1]);
  assert.equal(page.stale, "entity-destroyed");
});

test("a policy that forbids WebAssembly is named", async () => {
  const page = await told({ headers: { "content-security-policy": "script-src 'self'" } });
  assert.equal(page.auto, "no-wasm");
  assert.match(page.info.reason, /may not be compiled/);
});
