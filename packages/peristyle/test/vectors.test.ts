/** The test vectors that every client of the mirror protocol runs: see `crates/mirror/vectors`. */
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createWorkerClient, type WorkerClient } from "../src/client/index.js";

const folder = new URL("../../../crates/mirror/vectors", import.meta.url);

interface Case {
  readonly name: string;
  readonly rules: string[];
  readonly extensions?: boolean;
  readonly steps: { readonly do: Record<string, unknown> & { cmd: string }; readonly events: unknown[] }[];
}

const read = (file: string): unknown => JSON.parse(readFileSync(`${folder.pathname}/${file}.json`, "utf8"));

/** What is at a path of a state; null if nothing is. */
function at(state: unknown, path: (string | number)[]): unknown {
  let value = state;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return null;
    if (Array.isArray(value) && step === "length") return null;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

/** A client behind commands; each gives the events that it causes. */
class Probe {
  readonly client: WorkerClient;
  #events: unknown[] = [];
  #deliver: ((message: unknown) => void) | undefined;
  #postError: string | undefined;
  readonly #aborts = new Map<unknown, AbortController>();

  constructor(extensions: boolean) {
    this.client = createWorkerClient({
      transport: {
        post: (message) => {
          if (this.#postError !== undefined) throw new Error(this.#postError);
          this.#events.push(["post", JSON.parse(JSON.stringify(message))]);
        },
        subscribe: (listener) => {
          this.#deliver = listener;
          return () => (this.#deliver = undefined);
        },
      },
      requestTimeout: 0,
      onConflict: ({ reason, currentVersion, incomingVersion }) =>
        this.#events.push(["conflict", reason, currentVersion, incomingVersion]),
      onInvalidMessage: () => this.#events.push(["invalid"]),
      ...(extensions ? {} : { extensions: false as const }),
    });
    this.client.ready.then(
      () => this.#events.push(["ready"]),
      (error: Error) => this.#events.push(["ready-error", error.message]),
    );
    this.client.subscribe(({ version }) => this.#events.push(["state", version]));
  }

  async run(command: Record<string, unknown> & { cmd: string }): Promise<unknown[]> {
    this.#events = [];
    switch (command.cmd) {
      case "frame":
        this.#deliver?.(structuredClone(command.data));
        break;
      case "text": {
        const text = command.text as string;
        let message: unknown = text;
        try {
          message = JSON.parse(text);
        } catch {
          // The text itself is no message either.
        }
        this.#deliver?.(message);
        break;
      }
      case "call":
        this.#call(command);
        break;
      case "abort":
        this.#aborts.get(command.tag)?.abort();
        break;
      case "watch": {
        const told = (value: unknown, before: unknown): number =>
          this.#events.push(["watch", command.tag, value, before]);
        const equals = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
        const immediate = command.immediate === true;
        this.client.watch((state) => at(state, command.path as string[]), told, { equals, immediate });
        break;
      }
      case "dump":
        this.#events.push(["dump", this.client.state.version, this.client.getState() ?? null]);
        break;
      case "dispose":
        this.client.dispose();
        break;
      case "fail-posts":
        this.#postError = (command.message as string | null) ?? undefined;
        break;
      case "wait":
        vi.advanceTimersByTime(command.ms as number);
        break;
      default:
        throw new Error(`unknown command ${command.cmd}`);
    }
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    return this.#events;
  }

  #call({ tag, module, method, args, timeout, aborted }: Record<string, unknown>): void {
    const abort = new AbortController();
    if (aborted === true) abort.abort();
    this.#aborts.set(tag, abort);
    const failed = (error: Error): void => void this.#events.push(["settle", tag, "err", error.name, error.message]);
    try {
      const options = { signal: abort.signal, ...(timeout === undefined ? {} : { timeout: timeout as number }) };
      this.client
        .callWithOptions(module as string, method as string, args as unknown[], options)
        .then((value) => this.#events.push(["settle", tag, "ok", value ?? null]), failed);
    } catch (error) {
      failed(error as Error);
    }
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const files = ["messages", "state", "calls", "patches", "extensions"];

describe.each(files)("%s", (file) => {
  const cases = read(file) as Case[];
  test.each(cases.map((item) => [item.name, item] as const))("%s", async (_, { extensions = false, steps }) => {
    const probe = new Probe(extensions);
    for (const [index, step] of steps.entries()) {
      expect(await probe.run(step.do), `step ${index}: ${JSON.stringify(step.do)}`).toEqual(step.events);
    }
  });
});

test("every rule for clients has a vector here", () => {
  const rules = new Set((read("rules") as { id: string }[]).map((rule) => rule.id));
  const covered = files.flatMap((file) => (read(file) as Case[]).flatMap((item) => item.rules));
  expect(covered.filter((rule) => !rules.has(rule))).toEqual([]);
  expect([...rules].filter((rule) => /^[456]\./.test(rule) && !covered.includes(rule))).toEqual([]);
});
