/** Hosted apps in a real browser: in a worker, an iframe, behind a port, and in two tabs. */
import { build } from "esbuild";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { WorkerClient } from "../src/client/index.js";
import type { AppState, Counter, peristyle as Peristyle } from "./pages/page.js";
import type { Table } from "./pages/modules.js";
import { serve } from "./support/server.mjs";

declare const peristyle: typeof Peristyle;
declare const client: WorkerClient<AppState>;
type Invalid = { readonly count: number; readonly invalid: readonly string[] };

let browser: Browser;
let server: Awaited<ReturnType<typeof serve>>;

beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: ["page", "worker", "frame"].map((name) => new URL(`pages/${name}.ts`, import.meta.url).pathname),
    outdir: "/",
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const files: Record<string, string> = Object.fromEntries(outputFiles.map(({ path, text }) => [path, text]));
  for (const name of ["page", "frame"]) files[`/${name}.html`] = `<script type="module" src="${name}.js"></script>`;
  server = await serve({ files });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** A page with the package, in a context of its own unless one is given. */
async function open(context?: { newPage(): Promise<Page> }): Promise<Page> {
  const page = await (context ?? (await browser.newContext())).newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`${server.url}/page.html`);
  await page.waitForFunction(() => "peristyle" in globalThis);
  return page;
}

/** A page that follows an app in a worker as `client`. */
async function withWorker(over: "worker" | "port" = "worker"): Promise<Page> {
  const page = await open();
  await page.evaluate(async (over) => {
    const worker = new Worker(`worker.js?over=${over}`, { type: "module" });
    const { port1, port2 } = new MessageChannel();
    if (over === "port") worker.postMessage(null, [port2]);
    const transport = peristyle.createPostMessageWorkerTransport(over === "port" ? port1 : worker);
    const client = peristyle.createWorkerClient<AppState>({ transport });
    Object.assign(globalThis, { client, worker });
    await client.ready;
  }, over);
  return page;
}

/** Calls every kind of method, and expects what a client sees of it. */
async function converse(page: Page): Promise<void> {
  const said = await page.evaluate(async () => {
    const counter = client.module<Counter>("counter");
    const counts: number[] = [];
    const stop = client.watch(
      (state) => state.counter.count,
      (count) => counts.push(count),
    );
    const results = [await counter.increase(2), await counter.later(3)];
    const errors: string[] = [];
    for (const call of [counter.spoil(), counter.secret(), client.call("nobody", "x"), client.call("counter", "count")]) {
      await call.catch((error: Error) => errors.push(`${error.name}: ${error.message}`));
    }
    stop();
    await client.module<{ tick(): void }>("clock").tick();
    return { results, counts, errors, state: client.getState() };
  });
  expect(said.results).toEqual([2, 8]);
  expect(said.counts).toEqual([2, 5, 8]);
  expect(said.errors).toEqual([
    "RangeError: Remote worker error: spoilt",
    "CosystemError: Remote worker error: counter.secret is neither an action nor exposed",
    "CosystemError: Remote worker error: there is no module `nobody`",
    "CosystemError: Remote worker error: counter.count is neither an action nor exposed",
  ]);
  expect(said.state).toEqual({ counter: { count: 8, log: ["+2"] }, table: { rows: [] }, clock: { ticks: 1 } });
}

test.each(["worker", "port"] as const)("an app behind a %s", async (over) => {
  const page = await withWorker(over);
  await converse(page);
  expect(await page.evaluate(() => client.module<Counter>("counter").peek())).toBe(8);
});

test("patches cost what changed", async () => {
  const page = await withWorker();
  const { fill, one } = await page.evaluate(async () => {
    const lengths: number[] = [];
    client.subscribe((message) => lengths.push(JSON.stringify(message).length));
    const table = client.module<Table>("table");
    await table.fill(10_000);
    const before = client.getState()?.table.rows;
    await table.toggle(5000);
    const after = client.getState()?.table.rows;
    if (before?.[4999] !== after?.[4999] || before?.[5000] === after?.[5000]) throw new Error("one row is another");
    return { fill: lengths[0] ?? 0, one: lengths[1] ?? 0 };
  });
  expect(fill).toBeGreaterThan(200_000);
  expect(one).toBeLessThan(200);
});

test("what is no message is a typed error on both sides, counted, and harms nobody", async () => {
  const page = await withWorker();
  const said = await page.evaluate(async () => {
    const worker = (globalThis as unknown as { worker: Worker }).worker;
    const hostile: unknown[] = [
      null,
      "text",
      [],
      { type: "call", id: -1, module: "counter", method: "increase", args: [] },
      { type: "call", id: 1, module: "counter", method: "increase", args: "none" },
      { type: "state", version: 1, sync: "patch", patches: [{ op: "add", path: ["__proto__", "x"], value: 1 }] },
      { type: "sync" },
      new Map(),
    ];
    for (const message of hostile) worker.postMessage(message);
    // What a host says to a client is no error where it arrives, and nothing.
    worker.postMessage({ type: "result", id: 1, value: 1 });
    worker.postMessage({ type: "call", id: 99, module: "__proto__", method: "constructor", args: [] });
    const errors: { name: string; code: string; message: string; received: unknown }[] = [];
    const { port1, port2 } = new MessageChannel();
    const victim = peristyle.createWorkerClient({
      transport: peristyle.createPostMessageWorkerTransport(port1),
      onInvalidMessage: (_, { name, code, message, received }) => errors.push({ name, code, message, received }),
    });
    port2.postMessage({ type: "state", version: 3, sync: "snapshot", state: { a: 1 } });
    port2.postMessage({ type: "state", version: 4, sync: "patch", patches: [{ op: "add", path: ["constructor"], value: 1 }] });
    port2.postMessage(7);
    port2.postMessage({ type: "state", version: 4, sync: "patch", patches: [{ op: "replace", path: ["a"], value: 2 }] });
    await new Promise<void>((resolve) => victim.watch((state) => state.a, () => resolve()));
    const asked = new BroadcastChannel("invalid");
    const answer = new Promise<Invalid>((resolve) => (asked.onmessage = ({ data }) => resolve(data as Invalid)));
    const result = await client.call("counter", "increase", 1);
    asked.postMessage("ask");
    return { result, host: await answer, errors, count: victim.invalidCount, state: victim.getState() };
  });
  expect(said.result).toBe(1);
  expect(said.host.count).toBe(8);
  expect(new Set(said.host.invalid)).toEqual(new Set(["message-invalid"]));
  expect(said.count).toBe(2);
  expect(said.errors.map(({ name, code }) => [name, code])).toEqual(Array(2).fill(["InvalidMessageError", "message-invalid"]));
  expect(said.errors[0]?.message).toContain('of type "state"');
  expect(said.errors[1]?.received).toBe(7);
  expect(said.state).toEqual({ a: 2 });
});

test("an app in an iframe of another origin, and a stranger that it does not hear", async () => {
  const page = await open();
  // The same server under another name is another origin.
  const foreign = server.url.replace("localhost", "127.0.0.1");
  await page.evaluate(async (foreign) => {
    const frame = document.createElement("iframe");
    frame.src = `${foreign}/frame.html?parent=${location.origin}`;
    const transport = peristyle.createPostMessageWorkerTransport(window, {
      source: window,
      target: { postMessage: (message, origin) => frame.contentWindow?.postMessage(message, origin) },
      targetOrigin: foreign,
      allowedOrigins: [foreign],
    });
    const client = peristyle.createWorkerClient<AppState>({ transport });
    Object.assign(globalThis, { client, frame });
    document.body.append(frame);
    await client.ready;
  }, foreign);
  await converse(page);
  // A frame beside it forges a state for the page, and a call for the app.
  await page.evaluate(async () => {
    const stranger = document.createElement("iframe");
    document.body.append(stranger);
    const script = stranger.contentDocument?.createElement("script");
    if (!script) throw new Error("no script");
    script.textContent = `
      parent.postMessage({ type: "state", version: 99, sync: "snapshot", state: { forged: true } }, "*");
      parent.frames[0].postMessage({ type: "call", id: 1, module: "counter", method: "increase", args: [100] }, "*");
      parent.postMessage("done", "*");
    `;
    const done = new Promise<void>((resolve) =>
      addEventListener("message", ({ data }) => data === "done" && resolve()),
    );
    stranger.contentDocument?.body.append(script);
    await done;
  });
  const after = await page.evaluate(async () => [await client.call("counter", "increase", 1), client.getState()?.counter.count]);
  expect(after).toEqual([9, 9]);
});

test("two tabs and a late third, each with its own answers", async () => {
  const context = await browser.newContext();
  const [host, first, second, thief] = [await open(context), await open(context), await open(context), await open(context)];
  await host.evaluate(() => {
    const transport = peristyle.createBroadcastWorkerTransport(new BroadcastChannel("app"), {
      peerId: "host",
      authToken: "token",
    });
    const app = peristyle.createWorkerApp({
      providers: peristyle.providers,
      transport,
      sync: "patch",
      stateSections: ["counter"],
    });
    Object.assign(globalThis, { app });
    return app.ready;
  });
  const join = (page: Page, peerId: string, authToken: string): Promise<void> =>
    page.evaluate(
      ([peerId, authToken]) => {
        const transport = peristyle.createBroadcastWorkerTransport(new BroadcastChannel("app"), {
          peerId,
          targetPeerId: "host",
          authToken,
        });
        const extensions = { syncOnOpen: true };
        const client = peristyle.createWorkerClient<AppState>({ transport, extensions, requestTimeout: 60_000 });
        Object.assign(globalThis, { client });
      },
      [peerId, authToken] as const,
    );
  await Promise.all([join(first, "first", "token"), join(second, "second", "token"), join(thief, "thief", "stolen")]);
  const increase = (page: Page, step: number): Promise<unknown> =>
    page.evaluate(async (step) => {
      await client.ready;
      return client.call("counter", "increase", step);
    }, step);
  // Both call under the same ids at once.
  const results = await Promise.all([increase(first, 1), increase(second, 10)]);
  expect([[1, 11], [11, 10]]).toContainEqual(results);
  const count = (page: Page): Promise<number> =>
    page.waitForFunction(() => client.getState()?.counter.count === 11 && client.getState()?.counter.count).then((handle) => handle.jsonValue() as Promise<number>);
  expect([await count(first), await count(second)]).toEqual([11, 11]);
  const late = await open(context);
  await join(late, "late", "token");
  expect(await count(late)).toBe(11);
  expect(await late.evaluate(() => Object.keys(client.getState() ?? {}))).toEqual(["counter"]);
  // Methods of modules outside of the sections stay callable.
  expect(await late.evaluate(() => client.call("clock", "tick"))).toBeUndefined();
  expect(await thief.evaluate(() => client.status.status)).toBe("loading");
  // The end of the host is the end of it: nothing is published any more.
  const version = await late.evaluate(() => client.state.version);
  await host.evaluate(() => (globalThis as unknown as { app: { dispose(): void } }).app.dispose());
  const code = await late.evaluate(() =>
    client.callWithOptions("counter", "increase", [], { timeout: 50 }).catch(({ code }: { code: string }) => code),
  );
  expect(code).toBe("call-timeout");
  expect(await late.evaluate(() => client.state.version)).toBe(version);
});
