/** A world that is stepped in Node and followed by a page in Chromium. */
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { Scheduler, World } from "../src/index.js";
import { publishWorld } from "../src/server/index.js";
import { serve } from "./support/server.mjs";

/** The page: follows the world, and says what it sees of it. */
const PAGE = `
import { component, connect } from "./src/client/index.ts";
const Position = component("Position", { x: "f32" });
let view;
const connection = connect(new URLSearchParams(location.search).get("world"));
connection.on("view", (told) => (view = told));
connection.on("status", ({ status }) => (window.status = status));
window.seen = () => (view ? Array.from(view.entities, (e, row) => (e ? view.get(Position).x[row] : -1)) : []);
`;

test("a page in Chromium follows a world of Node, tick after tick", async () => {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32" } });
  const entities = world.createEntities(1_000, new Map([[Position.id, (i: number) => ({ x: i })]]));
  const scheduler = new Scheduler(world);
  scheduler.register({
    name: "move",
    writesComponents: [Position],
    run: ({ world: w, dt }) => {
      for (const { rows, comps } of w.views(w.makeQuery({ all: [Position] }), [Position])) {
        const { fields, changed } = comps[Position.id];
        for (let i = 0; i < rows; i++) (fields.x as Float32Array)[i] += dt;
        changed.fill(0xff);
      }
    },
  });
  const bundled = await build({
    stdin: { contents: PAGE, resolveDir: new URL("..", import.meta.url).pathname, loader: "ts" },
    bundle: true,
    format: "esm",
    write: false,
  });
  const page = `<!doctype html><script type="module" src="/page.js"></script>`;
  const site = await serve({ files: { "/index.html": page, "/page.js": bundled.outputFiles[0].contents } });
  const publication = publishWorld(world, { port: 0, allowedOrigins: [site.url] });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const tab = await browser.newPage();
    tab.setDefaultTimeout(60_000);
    await tab.goto(`${site.url}/index.html?world=ws://127.0.0.1:${await publication.ready}/`);
    await tab.waitForFunction("window.seen().length === 1000");
    expect(await tab.evaluate("window.seen().slice(0, 3)")).toEqual([0, 1, 2]);
    for (let i = 0; i < 10; i++) await scheduler.runFrame(0.5);
    await tab.waitForFunction("window.seen()[0] === 5");
    expect(await tab.evaluate("window.seen()")).toEqual(entities.map((_, i) => i + 5));
    await publication.close();
    await tab.waitForFunction("window.status !== 'open'");
  } finally {
    await browser.close();
    await publication.close();
    await scheduler.close();
    await site.close();
  }
});
