/** The live page in a real browser, watching a real server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, serve } from "../scripts/server.mjs";

let server, chromium;

before(async () => {
  // Few flights: software rendering is slow, and the tests are about something else.
  server = await serve({ args: ["--job", "rust", "--start", "03:00"] });
  chromium = await browser();
});
after(async () => {
  await chromium?.close();
  await server?.stop();
});

/** Opens the page and waits until it shows the world; collects what goes wrong. */
async function open(url = server.url, options = {}) {
  const page = await chromium.newPage({ viewport: { width: 1280, height: 800 }, ...options });
  page.setDefaultTimeout(120_000);
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url.href);
  await shown(page);
  return { page, errors };
}
const shown = (page) =>
  page.waitForFunction(() => {
    const { view } = globalThis.peristyle.connection;
    return view?.length > 0 && document.getElementById("time").textContent !== "00:00";
  });
const tick = (page) => page.evaluate(() => globalThis.peristyle.connection.view.tick);
const ticksOn = (page, from) => page.waitForFunction((from) => globalThis.peristyle.connection.view.tick > from + 30, from);

test("the page loads without an error, isolated, and shows the whole peak", async () => {
  const peak = await serve({ args: ["--job", "rust", "--start", "13:40"] });
  const { page, errors } = await open(peak.url);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  assert.equal(await page.evaluate(() => document.documentElement.dataset.renderer), "webgl");
  const count = await page.evaluate(() => Number(document.getElementById("count").textContent.replaceAll(",", "")));
  assert.ok(count > 300_000, `${count} flights at the peak`);
  await page.waitForSelector("#airports li");
  await page.waitForSelector("#systems tr");
  assert.deepEqual(errors, []);
  await page.close();
  await peak.stop();
});

test("flights move, pause stops them, and two pages agree", async () => {
  const [first, second] = [await open(), await open()];
  const pixels = (page) => page.locator("#points").screenshot();
  const moving = await pixels(first.page);
  await ticksOn(first.page, await tick(first.page));
  assert.notDeepEqual(await pixels(first.page), moving, "pixels change");

  await first.page.click("#pause");
  for (const { page } of [first, second]) {
    await page.waitForFunction(() => document.getElementById("pause").getAttribute("aria-pressed") === "true");
  }
  // What was on its way has arrived when two looks at both are the same.
  const looks = async () => JSON.stringify(await Promise.all([first, second].map(({ page }) => tick(page))));
  let before;
  do {
    before = await looks();
    await first.page.evaluate(() => globalThis.peristyle.connection.client.call("clock", "ping"));
    await second.page.evaluate(() => globalThis.peristyle.connection.client.call("clock", "ping"));
  } while ((await looks()) !== before);
  const hashes = await Promise.all(
    [first, second].map(({ page }) => page.evaluate(() => String(globalThis.peristyle.connection.view.hash()))),
  );
  assert.equal(hashes[0], hashes[1]);
  const [one, two] = await Promise.all([first, second].map(({ page }) => tick(page)));
  assert.equal(one, two);

  await second.page.click("#pause");
  await ticksOn(first.page, one);
  for (const { page, errors } of [first, second]) {
    assert.deepEqual(errors, []);
    await page.close();
  }
});

test("pointing at a flight tells where it goes", async () => {
  const { page } = await open();
  await page.click("#pause");
  await page.waitForFunction(() => document.getElementById("pause").getAttribute("aria-pressed") === "true");
  // Where one is, by the page's own reckoning.
  const place = await page.evaluate(() => globalThis.peristyle.placeOfAny());
  await page.mouse.move(...place);
  await page.waitForSelector("#tip:not([hidden])");
  assert.match(await page.textContent("#tip"), /^[A-Z0-9]{3} → [A-Z0-9]{3}.*(late|early|on time)$/);
  await page.click("#pause");
  await page.close();
});

test("the keyboard controls the clock and the map", async () => {
  const { page } = await open();
  await page.focus("#speeds input:checked");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => globalThis.peristyle.connection.client.select((state) => state.clock.speed) === 960);
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(() => globalThis.peristyle.connection.client.select((state) => state.clock.speed) === 240);
  await page.focus("#stage");
  const map = () => page.locator("#map").screenshot();
  const before = await map();
  await page.keyboard.press("+");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  assert.notDeepEqual(await map(), before);
  await page.close();
});

test("a server that restarts is found again without a reload", async () => {
  let own = await serve({ args: ["--job", "rust", "--start", "03:00"] });
  const { page } = await open(own.url);
  await page.evaluate(() => (globalThis.isTheSamePage = true));
  await own.stop();
  await page.waitForSelector("#notice:not([hidden])");
  assert.match(await page.textContent("#notice-text"), /server is gone|Connecting/);
  own = await serve({ port: own.url.port, args: ["--job", "rust", "--start", "04:00"] });
  await page.waitForSelector("#notice", { state: "hidden", timeout: 60_000 });
  await ticksOn(page, await tick(page));
  assert.equal(await page.evaluate(() => globalThis.isTheSamePage), true);
  await own.stop();
  await page.close();
});

test("without a token the page asks for one", async () => {
  const own = await serve({ args: ["--job", "rust", "--start", "03:00", "--token", "sesame"] });
  const page = await chromium.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(own.url.href);
  await page.waitForSelector("#token-form:not([hidden])");
  await page.fill("#token", "wrong");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("notice-text").textContent.includes("not the right one"));
  await page.fill("#token", "sesame");
  await page.keyboard.press("Enter");
  await shown(page);
  assert.equal(await page.isVisible("#notice"), false);
  await own.stop();
  await page.close();
});

test("a narrow screen has no sideways scroll, and keeps the controls", async () => {
  const { page } = await open(server.url, { viewport: { width: 375, height: 740 } });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  assert.ok(await page.isVisible("#pause"));
  await page.close();
});
