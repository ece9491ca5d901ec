/** The test vectors of hosts, and what they leave open: see `crates/mirror/vectors`. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Counter, expose, providers } from "../../../crates/runtime/tests/apps/modules.js";
import { createWorkerApp, defineModule } from "../src/app/index.js";
import { createMemoryWorkerTransportPair, createWorkerClient, type WorkerTransport } from "../src/client/index.js";

interface Case {
  readonly name: string;
  readonly host: "patch" | "snapshot" | "sections";
  readonly extensions?: boolean;
  readonly starting?: boolean;
  readonly steps: { do: { cmd: string; connection?: string; data?: unknown }; out?: Record<string, unknown[]>; invalid?: number }[];
}

const file = new URL("../../../crates/mirror/vectors/host.json", import.meta.url);
const all = JSON.parse(readFileSync(file, "utf8")) as Case[];
// A host here has one transport, which carries no epoch, and an app that is started when it is made.
const cases = all.filter(
  ({ extensions, starting, steps }) =>
    extensions !== true && starting !== true && steps.every(({ do: { connection } }) => connection !== "b"),
);

/** The far end of a host's transport. */
class Far implements WorkerTransport {
  readonly heard: unknown[] = [];
  deliver: ((message: unknown) => void) | undefined;
  postError: Error | undefined;
  post(message: unknown): void {
    if (this.postError) throw this.postError;
    this.heard.push(JSON.parse(JSON.stringify(message)));
  }
  subscribe(listener: (message: unknown) => void): () => void {
    this.deliver = listener;
    return () => (this.deliver = undefined);
  }
  async take(count: number): Promise<unknown[]> {
    await expect.poll(() => this.heard.length).toBeGreaterThanOrEqual(count);
    return this.heard.splice(0);
  }
}

describe("vectors", () => {
  test.each(cases.map((item) => [item.name, item] as const))("%s", async (_, { host, steps }) => {
    let far = new Far();
    let invalid = 0;
    let app: ReturnType<typeof createWorkerApp> | undefined;
    for (const [index, step] of steps.entries()) {
      const { cmd, data } = step.do;
      invalid = 0;
      if (cmd === "open") {
        far = new Far();
        const sync = host === "snapshot" ? "snapshot" : "patch";
        const sections = host === "sections" ? { stateSections: ["counter", "list"] } : {};
        const onInvalidMessage = (): void => void invalid++;
        app = createWorkerApp({ providers, expose, transport: far, sync, ...sections, onInvalidMessage });
      } else if (cmd === "send") {
        far.deliver?.(structuredClone(data));
      } else if (cmd === "dispose") {
        app?.dispose();
      }
      const expected = Object.values(step.out ?? {}).flat();
      expect(await far.take(expected.length), `step ${index}: ${JSON.stringify(step.do)}`).toEqual(expected);
      expect(invalid, `step ${index}`).toBe(step.invalid ?? 0);
    }
    expect(far.heard).toEqual([]);
  });

  test("most cases are run", () => expect(cases.length).toBeGreaterThanOrEqual(12));
});

test("a client of the same page follows the app, and calls it", async () => {
  const { host, client: far } = createMemoryWorkerTransportPair();
  const { app, ready } = createWorkerApp({ providers, transport: host, sync: "patch" });
  const client = createWorkerClient<{ counter: { count: number } }>({ transport: far });
  await ready;
  await client.ready;
  expect(await client.module<Counter>("counter").increase(2)).toBe(2);
  app.get(Counter).increase(3);
  await expect.poll(() => client.getState()?.counter.count).toBe(5);
});

test("a change that was not sent is made good by a snapshot, under a version of its own", async () => {
  const far = new Far();
  const { app, ready } = createWorkerApp({ providers, transport: far, sync: "patch" });
  await ready;
  far.heard.length = 0;
  far.postError = new Error("full");
  app.get(Counter).increase(1);
  far.postError = undefined;
  app.get(Counter).increase(1);
  app.get(Counter).increase(1);
  expect(far.heard).toMatchObject([
    { sync: "snapshot", version: 2, state: { counter: { count: 2 } } },
    { sync: "patch", version: 3, patches: [{ value: 3 }] },
  ]);
});

test("what cannot be is refused when the app is made", () => {
  const transport = new Far();
  const make = (name: string, options: object) => () =>
    createWorkerApp({ transport, providers: [defineModule({ x: 1, act() {} }, { name, ...options })] });
  expect(make("constructor", {})).toThrow("state must not have a key `constructor`");
  expect(make("a", { actions: ["x"] })).toThrow("module `a`: its action `x` is no method");
  expect(() => createWorkerApp({ transport, providers: [class {}] })).toThrow("defineModule");
  expect(() => createWorkerApp({ transport, providers, expose: { nobody: [] } })).toThrow("no module `nobody`");
  expect(() => createWorkerApp({ providers, sync: "patch" })).toThrow("without a transport, `sync`");
});
