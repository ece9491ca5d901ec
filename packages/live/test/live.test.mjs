/** The live page in a real browser, watching a real server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, serve, serveExample } from "../scripts/server.mjs";

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
async function open(url = server.url, options = {}, browser = chromium) {
  const page = await blank(options, browser);
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url.href);
  await shown(page);
  return { page, errors };
}
async function blank(options = {}, browser = chromium) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options });
  page.setDefaultTimeout(120_000);
  return page;
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
  // By the hash that the server put into the first frame.
  assert.equal(typeof (await page.evaluate(() => globalThis.peristyle.connection.view.proven)), "number");
  const report = await page.evaluate(async () => (await fetch("/api/report")).json());
  assert.ok(report.airborne_max >= count, JSON.stringify(report));
  assert.deepEqual(errors, []);
  await page.close();
  await peak.stop();
});

test("any world is shown as it is: rows, by value and by hash", async () => {
  const example = await serveExample();
  const page = await blank();
  await page.goto(example.url.href);
  await page.waitForFunction(() => globalThis.peristyle.connection.view?.tick > 20);
  for (let look = 0; look < 3; look++) {
    // The example's own sum: point i turns on a circle of radius sqrt(i), by as much in every tick.
    const { worst, rows, tick, proven } = await page.evaluate(() => {
      const { view } = globalThis.peristyle.connection;
      const [x, y] = ["x", "y"].map((field) => view.column("Position", field));
      const indices = Array.from(view.entities, (entity) => entity % 2 ** 32);
      const first = Math.min(...indices);
      let worst = 0;
      indices.forEach((index, row) => {
        const radius = Math.sqrt(index - first);
        const angle = (view.tick * 0.4) / (1 + radius);
        const away = Math.hypot(x[row] - radius * Math.cos(angle), y[row] - radius * Math.sin(angle));
        worst = Math.max(worst, away);
      });
      return { worst, rows: view.length, tick: view.tick, proven: view.proven };
    });
    assert.equal(rows, 20_000);
    // A hundredth in each direction, and what 32 bits round off in so many turns.
    assert.ok(worst < 0.02, `${worst} away at tick ${tick}`);
    assert.equal(typeof proven, "number");
    await ticksOn(page, tick);
  }
  assert.equal(await page.isVisible("#controls"), false, "it has no clock");
  await page.close();
  await example.stop();
});

test("without WebGL the page draws on a canvas", async () => {
  const plain = await browser({ webgl: false });
  const { page, errors } = await open(server.url, {}, plain);
  assert.equal(await page.evaluate(() => document.documentElement.dataset.renderer), "canvas");
  const pixels = () => page.locator("#points").screenshot();
  const before = await pixels();
  await ticksOn(page, await tick(page));
  assert.notDeepEqual(await pixels(), before, "flights move");
  assert.deepEqual(errors, []);
  await plain.close();
});

/** How many pixels have a point. */
const points = (page) =>
  page.evaluate(
    () =>
      new Promise((done) =>
        requestAnimationFrame(() => {
          const copy = document.createElement("canvas");
          const source = document.getElementById("points");
          [copy.width, copy.height] = [source.width, source.height];
          const context = copy.getContext("2d");
          context.drawImage(source, 0, 0);
          const { data } = context.getImageData(0, 0, copy.width, copy.height);
          let count = 0;
          for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
          done(count);
        }),
      ),
  );
const pointsAre = async (page, wanted) => {
  while (!wanted(await points(page))) await page.evaluate(() => new Promise(requestAnimationFrame));
};

test("a card that is taken away is used again when it is back", async () => {
  const { page, errors } = await open();
  await pointsAre(page, (count) => count > 100);
  await page.evaluate(() => {
    globalThis.lost = document.getElementById("points").getContext("webgl2").getExtension("WEBGL_lose_context");
    globalThis.lost.loseContext();
  });
  await page.waitForFunction(() => document.getElementById("points").getContext("webgl2").isContextLost());
  await page.evaluate(() => globalThis.lost.restoreContext());
  await page.waitForFunction(() => !document.getElementById("points").getContext("webgl2").isContextLost());
  await pointsAre(page, (count) => count > 100);
  assert.deepEqual(errors, []);
  await page.close();
});

test("who wants less motion sees where flights are once a second", async () => {
  const { page } = await open(server.url, { reducedMotion: "reduce" });
  const { drawn, seconds } = await page.evaluate(async () => {
    const { script, connection } = globalThis.peristyle;
    const [drawn, began, tick] = [script.drawn, performance.now(), connection.view.tick];
    // Ticks that a page is behind with come at once, so time has to pass, too.
    while (connection.view.tick < tick + 120 || performance.now() < began + 2000) await new Promise(requestAnimationFrame);
    return { drawn: script.drawn - drawn, seconds: (performance.now() - began) / 1000 };
  });
  // One at once, and one for the second that is not over: a frame's stamp is of some time before it runs.
  assert.ok(drawn >= 1 && drawn <= seconds + 2, `drawn ${drawn} times in ${seconds} s`);
  await page.close();
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
  await page.keyboard.press("0");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#tip:not([hidden])");
  assert.match(await page.textContent("#tip"), /→/);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#tip", { state: "hidden" });
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.getElementById("pause").getAttribute("aria-pressed") === "true");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.getElementById("pause").getAttribute("aria-pressed") === "false");
  await page.close();
});

test("a server of another version is said to be one, and not asked again", async () => {
  const page = await blank();
  let connections = 0;
  await page.routeWebSocket(/\/ws/, (socket) => {
    connections++;
    const host = socket.connectToServer();
    host.onMessage((message) => {
      // The schema names its version in the byte after its magic.
      if (typeof message !== "string" && message[0] === 1 && message[3] === 0) {
        message = Buffer.from(message);
        message[2]++;
      }
      socket.send(message);
    });
  });
  await page.goto(server.url.href);
  await page.waitForSelector("#notice:not([hidden])");
  assert.match(await page.textContent("#notice-text"), /speaks another version than this page\. Load it again\./);
  assert.equal(await page.isVisible("#retry"), false);
  assert.equal(connections, 1);
  await page.close();
});

test("what the server refuses is said, and the controls show what is", async () => {
  const page = await blank();
  await page.routeWebSocket(/\/ws/, (socket) => {
    const host = socket.connectToServer();
    socket.onMessage((message) => {
      const { type, id, method } = typeof message === "string" ? JSON.parse(message) : {};
      if (type !== "call" || method !== "setSpeed") return host.send(message);
      const error = { name: "ForbiddenError", message: "the token does not grant calls of module `clock`" };
      socket.send(JSON.stringify({ type: "result", id, error }));
    });
  });
  await page.goto(server.url.href);
  await shown(page);
  const before = await page.inputValue("#speeds input:checked");
  await page.click("#speeds label:last-child");
  await page.waitForSelector("#remark:not([hidden])");
  assert.equal(await page.textContent("#remark"), "the token does not grant calls of module `clock`");
  assert.equal(await page.inputValue("#speeds input:checked"), before);
  await page.close();
});

/** Serves at a port that was just left; somebody else may have it for a moment. */
async function serveAgain(port, args) {
  for (let left = 60; ; left--) {
    try {
      return await serve({ port, args });
    } catch (error) {
      if (left === 0 || !/cannot listen/.test(error.message)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

test("a server that restarts is found again without a reload", async () => {
  let own = await serve({ args: ["--job", "rust", "--start", "03:00"] });
  const { page } = await open(own.url);
  await page.evaluate(() => (globalThis.isTheSamePage = true));
  await own.stop();
  await page.waitForFunction(() =>
    /^The server is gone\. Trying again in \d+ s\.$/.test(document.getElementById("notice-text").textContent),
  );
  assert.equal(await page.isVisible("#notice"), true);
  own = await serveAgain(own.url.port, ["--job", "rust", "--start", "04:00"]);
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
  await page.waitForSelector("#systems tr");
  const boxes = await Promise.all(["#head", "#timeline", "#figures"].map((id) => page.locator(id).boundingBox()));
  for (const { x, width } of boxes) assert.ok(x >= 0 && x + width <= 375);
  const [head, timeline, figures] = boxes;
  assert.ok(head.y + head.height < timeline.y && timeline.y + timeline.height < figures.y, "nothing lies on another");
  assert.ok(await page.isVisible("#pause"));
  await page.close();
});
