/** The example in Chromium: served by Vite while it is developed, and built and previewed. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, createServer, preview } from "vite";

const options = {
  root: fileURLToPath(new URL("..", import.meta.url)),
  logLevel: "error",
  server: { port: 0, host: "127.0.0.1", watch: null },
  preview: { port: 0, host: "127.0.0.1" },
};

/** Starts a server; gives its address and what ends it. */
const SERVERS = {
  async dev() {
    const server = await createServer(options);
    await server.listen();
    return { url: `http://127.0.0.1:${server.httpServer.address().port}`, close: () => server.close() };
  },
  async preview() {
    // A server for developing leaves another mode behind.
    process.env.NODE_ENV = "production";
    await build(options);
    const server = await preview(options);
    return { url: `http://127.0.0.1:${server.httpServer.address().port}`, close: () => server.close() };
  },
};

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
});
after(() => browser?.close());

for (const [name, start] of Object.entries(SERVERS)) {
  describe(name, () => {
    let server, page;
    const errors = [];
    const shows = (id, text) =>
      page.waitForFunction(([id, text]) => document.getElementById(id)?.textContent === text, [id, text]);

    before(async () => {
      server = await start();
      page = await browser.newPage();
      page.setDefaultTimeout(60_000);
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      await page.goto(server.url);
      await shows("status", "ready");
    });
    after(async () => {
      await page?.close();
      await server?.close();
    });

    test("the page is isolated, and so is whatever it loads", async () => {
      assert.equal(await page.evaluate(() => crossOriginIsolated), true);
      const { headers } = await fetch(`${server.url}/no/such/file.js`);
      assert.equal(headers.get("cross-origin-embedder-policy"), "require-corp");
      assert.equal(headers.get("cross-origin-opener-policy"), "same-origin");
      assert.equal(headers.get("cross-origin-resource-policy"), "same-origin");
    });

    test("the counter counts in the worker", async () => {
      await shows("increase", "0");
      await page.click("#increase");
      await page.click("#increase");
      await shows("increase", "2");
    });

    test("the table follows what is done to it, and tells what is refused", async () => {
      const worth = () => page.textContent("#worth").then(Number);
      const before = await worth();
      assert.equal(before, 276);
      await page.click("#items tr:nth-child(2) button:text('sell')");
      await shows("worth", String(before - 17));
      await page.click("#items tr:nth-child(1) button:text('remove')");
      await shows("worth", String(before - 27));
      assert.equal(await page.locator("#items tr").count(), 7);
      await page.click("#raise");
      await page.waitForFunction((worth) => Number(document.getElementById("worth").textContent) > worth, before - 27);
      await page.click("#spoil");
      await page.waitForFunction(() => document.getElementById("refusal").textContent.includes("positive factor"));
    });

    test("the world is stepped in workers that share its memory, and shown", async () => {
      assert.equal(await page.textContent("#core"), "shared");
      const places = () =>
        page.evaluate(() => Array.from(document.querySelectorAll("#ships text"), (ship) => [ship.getAttribute("x"), ship.getAttribute("y")]));
      const before = await places();
      assert.equal(before.length, 10);
      await page.waitForFunction(
        (before) => document.querySelector("#ships text")?.getAttribute("x") !== before,
        before[0][0],
      );
      await page.waitForFunction(() => {
        const ys = Array.from(document.querySelectorAll("#ships text"), (ship) => Number(ship.getAttribute("y")));
        return ys.every((y) => y > 0.01);
      });
      // Ships stay on their circles.
      for (const [at, [x, y]] of (await places()).entries()) {
        assert.ok(Math.abs(Math.hypot(x, y) - (0.2 + 0.08 * at)) < 0.02, `ship ${at} is at ${x}, ${y}`);
      }
      await page.click("#pause");
      await page.waitForFunction(() => document.getElementById("pause").textContent === "go on");
    });

    test("nothing went wrong", () => assert.deepEqual(errors, []));
  });
}
