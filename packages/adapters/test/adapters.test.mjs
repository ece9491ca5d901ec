/** Each adapter in its framework: in Chromium with an app in a worker, and on a server. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "../../peristyle/test/support/server.mjs";
import { bundle } from "./bundle.mjs";

const ADAPTERS = { react: "tsx", vue: "ts", svelte: "ts", solid: "tsx", angular: "ts" };

let browser, server, folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "peristyle-adapters-"));
  const entries = Object.entries(ADAPTERS).map(([name, ending]) => `${name}/main.${ending}`);
  const scripts = await bundle(["counter.worker.ts", ...entries]);
  const files = Object.fromEntries(Object.entries(scripts).map(([name, text]) => [`/${name}`, text]));
  for (const name of Object.keys(ADAPTERS)) {
    const page = `<!doctype html><div id="app"></div><script type="module" src="${name}.main.js"></script>`;
    files[`/${name}.html`] = page;
  }
  files["/throws.js"] = `throw new Error("no start");`;
  server = await serve({ files });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
});
after(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Opens an adapter's page; what goes wrong in it is collected. */
async function open(name, query = "") {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const errors = [];
  const broken = new Promise((_, reject) => page.on("pageerror", (error) => (errors.push(String(error)), reject(error))));
  broken.catch(() => {});
  await page.goto(`${server.url}/${name}.html${query}`);
  // What a worker throws is shown as an error of its page, too.
  await Promise.race([page.waitForSelector("#status"), ...(query === "" ? [broken] : [])]);
  const shows = (id, text) =>
    page.waitForFunction(([id, text]) => document.getElementById(id)?.textContent.trim() === text, [id, text]);
  const draws = () => page.evaluate(() => globalThis.page.draws());
  return { page, errors, shows, draws };
}

for (const name of Object.keys(ADAPTERS)) {
  describe(name, () => {
    test("shows loading, then what the worker's app says, and calls it", async () => {
      const { page, errors, shows } = await open(name);
      await shows("status", "loading");
      await shows("count", "…");
      await page.evaluate(() => globalThis.page.begin());
      await shows("status", "ready");
      await shows("count", "0");
      await page.click("#count");
      await shows("count", "1");
      await shows("parity", "true");
      const failed = page.evaluate(() => globalThis.page.client.call("counter", "fail").catch((error) => [error.name, error.code]));
      assert.deepEqual(await failed, ["RangeError", "remote-error"]);
      assert.deepEqual(errors, []);
      await page.close();
    });

    test("draws again what changed, and nothing else", async () => {
      const { page, shows, draws } = await open(name);
      await page.evaluate(() => globalThis.page.begin());
      await shows("count", "0");
      await shows("parity", "false");
      const first = await draws();
      const call = (method, ...args) =>
        page.evaluate(([method, args]) => globalThis.page.client.call("counter", method, ...args), [method, args]);
      await call("touch");
      await call("increase", 2);
      await shows("count", "2");
      await call("increase", 2);
      await shows("count", "4");
      assert.deepEqual(await draws(), { ...first, count: first.count + 2 });
      await call("increase", 1);
      await shows("parity", "true");
      await shows("count", "5");
      assert.deepEqual(await draws(), { ...first, count: first.count + 3, parity: first.parity + 1 });
      await page.close();
    });

    test("shows a world's entities, frame by frame", async () => {
      const { page, draws } = await open(name);
      assert.equal(await page.locator("#ships li").count(), 0);
      const shown = () => page.locator("#ships li").allTextContents();
      const next = async (before) => {
        await page.evaluate(() => globalThis.page.ships.next());
        await page.waitForFunction(
          (before) => {
            const texts = [...document.querySelectorAll("#ships li")].map(({ textContent }) => textContent);
            return texts.length === 3 && texts.join() !== before;
          },
          before.join(),
        );
        return shown();
      };
      const first = await next([]);
      const latitudes = () =>
        page.evaluate(() => Array.from(globalThis.page.ships.view.column("Position", "latitude"), (value) => value.toFixed(3)));
      assert.deepEqual(first, await latitudes());
      assert.equal(await page.textContent("#still"), "3");
      const { ships, still } = await draws();
      const second = await next(first);
      assert.deepEqual(second, await latitudes());
      // Ships move in every frame, and none comes or goes: who follows no component is not drawn again.
      assert.deepEqual(await draws().then((now) => [now.ships, now.still]), [ships + 1, still]);
      await page.close();
    });

    test("listens while it is shown, and leaves nobody behind", async () => {
      const { page, errors, shows } = await open(name);
      await page.evaluate(() => globalThis.page.begin());
      await shows("count", "0");
      const listening = (expected) => page.waitForFunction((expected) => globalThis.page.listeners() === expected, expected);
      const count = await page.evaluate(() => globalThis.page.listeners());
      assert.ok(count >= 4, `${count} listen`);
      for (let i = 0; i < 3; i++) {
        await page.click("#toggle");
        await page.waitForSelector("#status", { state: "detached" });
        await listening(0);
        await page.click("#toggle");
        await shows("count", "0");
        await listening(count);
      }
      await page.evaluate(() => globalThis.page.unmount());
      await listening(0);
      await page.evaluate(() => globalThis.page.client.call("counter", "increase", 1));
      assert.deepEqual(errors, []);
      await page.close();
    });

    test("says that a worker fails, whether it is missing or throws", async () => {
      for (const script of ["missing.js", "throws.js"]) {
        const { page, shows } = await open(name, `?worker=${script}`);
        await shows("status", "failed");
        await shows("count", "…");
        assert.match(await page.getAttribute("#status", "title"), /^the worker broke off: /);
        const code = page.evaluate(() => globalThis.page.client.ready.catch(({ code }) => code));
        assert.equal(await code, "worker-failed");
        await page.close();
      }
    });

    test("says that a client was disposed, and shows its last state", async () => {
      const { page, shows } = await open(name);
      await page.evaluate(() => globalThis.page.begin());
      await shows("count", "0");
      await page.evaluate(() => globalThis.page.client.dispose());
      await shows("status", "closed");
      await shows("count", "0");
      await page.close();
    });

    test("is rendered on a server, before there is state and after", async () => {
      const [text] = Object.values(await bundle([`${name}/server.${ADAPTERS[name]}`], "server"));
      const file = join(folder, `${name}.mjs`);
      await writeFile(file, text);
      const { default: render } = await import(pathToFileURL(file).href);
      const { before, after, listeners } = await render();
      assert.match(before, /id="status"[^>]*>(<!--.*?-->)?loading/);
      assert.match(before, /id="count"[^>]*>(<!--.*?-->)?…/);
      assert.match(after, /id="status"[^>]*>(<!--.*?-->)?ready/);
      assert.match(after, /id="count"[^>]*>(<!--.*?-->)?7/);
      assert.equal(after.match(/<li/g)?.length, 3);
      assert.equal(listeners, 0);
    });
  });
}
