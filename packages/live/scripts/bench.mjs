/**
 * Measures in Chromium: what the live page's script takes per frame at Sky's peak, how long the client takes to take in an
 * update of 300 000 rows beside a copy of two columns, and what that allocates.
 *
 * `npm run bench [page | apply]`, after `cargo build -p peristyle-cli` and a build of `packages/peristyle`.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { browser, serve } from "./server.mjs";

const client = new URL("../../peristyle/", import.meta.url);
/** Milliseconds of measuring. */
const MEASURED = 15_000;

const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;

/** The live page, watching Sky at its peak, its job in Rust. */
async function page(chromium) {
  const server = await serve({ args: ["--job", "rust", "--start", "13:40", "--speed", "60"] });
  try {
    const page = await chromium.newPage({ viewport: { width: 1440, height: 860 } });
    page.setDefaultTimeout(120_000);
    await page.goto(server.url.href);
    await page.waitForFunction(() => globalThis.peristyle.connection.view?.length > 300_000);
    await page.waitForSelector("#systems tr");
    // Engines compile, and the first second is over.
    await page.waitForTimeout(3000);
    const measured = await page.evaluate(async (ms) => {
      const { script, connection } = globalThis.peristyle;
      let updates = 0;
      const stop = connection.on("frame", () => updates++);
      const [frames, drawn, began] = [script.frames, script.drawn, performance.now()];
      await new Promise((done) => setTimeout(done, ms));
      stop();
      const count = Math.min(script.frames - frames, script.times.length);
      const times = Array.from({ length: count }, (_, at) => script.times[(script.frames - 1 - at) % script.times.length]);
      const seconds = (performance.now() - began) / 1000;
      return { times, seconds, drawn: script.drawn - drawn, updates, points: connection.view.length };
    }, MEASURED);
    const { times, seconds, drawn, updates, points } = measured;
    times.sort((a, b) => a - b);
    const [half, most] = [quantile(times, 0.5), quantile(times, 0.99)].map((time) => time.toFixed(2));
    const rate = (count) => (count / seconds).toFixed(1);
    console.log(`live page, ${points} points, over ${seconds.toFixed(0)} s, drawn by software`);
    console.log(`  frames     ${rate(times.length)} a second, ${rate(drawn)} with points drawn, ${rate(updates)} updates`);
    console.log(`  script     ${half} ms half, ${most} ms 99 % a frame, updates included (4 ms at most wanted)`);
    await page.close();
  } finally {
    await server.stop();
  }
}

const HTML = `<!doctype html><script type="module">
import * as client from "/dist/client.min.js";
import { prepare, run } from "/bench/apply.mjs";
Object.assign(globalThis, { run: () => run(client), prepared: prepare(client) });
</script>`;

/** The client alone: times, then what it allocates. */
async function apply(chromium) {
  const files = ["/dist/client.min.js", "/bench/apply.mjs", "/bench/frames.mjs"];
  const server = createServer(async ({ url }, response) => {
    const name = files.find((known) => known === url);
    // Isolated pages have finer clocks.
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.setHeader("content-type", name ? "text/javascript" : "text/html");
    response.end(name ? await readFile(new URL(`.${name}`, client)) : HTML);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    const page = await chromium.newPage();
    page.setDefaultTimeout(300_000);
    page.on("pageerror", (error) => console.error(String(error)));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => globalThis.prepared);
    console.log("taking in an update of 300 000 rows (5 times a copy at most wanted)");
    for (const line of await page.evaluate(() => globalThis.run())) console.log(`  ${line}`);
    await page.evaluate(() => globalThis.prepared.apply(0, 100));
    const session = await page.context().newCDPSession(page);
    const buffers = async () => (await session.send("Runtime.getHeapUsage")).backingStorageSize;
    const before = await buffers();
    const all = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true };
    await session.send("HeapProfiler.startSampling", { samplingInterval: 64, ...all });
    const updates = await page.evaluate(() => {
      const { prepared } = globalThis;
      prepared.apply(100, prepared.frames);
      return prepared.frames - 100;
    });
    const { profile } = await session.send("HeapProfiler.stopSampling");
    const bytes = ({ callFrame, selfSize, children }) =>
      (callFrame.url.includes("client.min.js") ? selfSize : 0) + children.reduce((sum, child) => sum + bytes(child), 0);
    const [objects, grown] = [bytes(profile.head) / updates, ((await buffers()) - before) / updates];
    console.log(`  allocated  ${objects.toFixed(0)} bytes of objects an update, buffers grew by ${grown.toFixed(0)}`);
  } finally {
    server.close();
  }
}

const benches = { page, apply };
const names = process.argv.slice(2);
const unknown = names.find((name) => !(name in benches));
if (unknown !== undefined) throw new Error(`no bench ${unknown}: ${Object.keys(benches).join(", ")}`);
const chromium = await browser();
try {
  for (const [name, bench] of Object.entries(benches)) if (names.length === 0 || names.includes(name)) await bench(chromium);
} finally {
  await chromium.close();
}
