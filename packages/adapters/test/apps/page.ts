/**
 * What the pages of all adapters have in common: a client of a worker, a world of three ships, and counts of what was drawn
 * and of who listens. Tests drive it as `globalThis.page`.
 */
import {
  ViewWorld,
  component,
  createPostMessageWorkerTransport,
  createWorkerClient,
  type WorkerClient,
} from "peristyle/client";
import type { WorldSource } from "peristyle/observe";
import { frames, schema } from "../../../peristyle/bench/frames.mjs";

/** The state of the worker's app. */
export interface State {
  readonly counter: { readonly count: number; readonly other: number };
}

export const Position = component("Position", { latitude: "f32", longitude: "f32" });

const draws: Record<string, number> = {};

/** Counts that something was drawn, and gives its text. */
export function drawn(what: string, value: unknown): string {
  draws[what] = (draws[what] ?? 0) + 1;
  return value === undefined ? "…" : String(value);
}

let open = 0;

/** How many listen. */
export const listeners = (): number => open;

/** Counts who listens. */
function counted<A extends unknown[]>(subscribe: (...args: A) => () => void): (...args: A) => () => void {
  return (...args) => {
    const stop = subscribe(...args);
    let isOpen = true;
    open++;
    return () => {
      if (isOpen) open--;
      isOpen = false;
      stop();
    };
  };
}

/** A client whose listeners are counted. */
export function countedClient(client: WorkerClient<State>): WorkerClient<State> {
  return new Proxy(client, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...args: unknown[]) => () => void;
      return key === "subscribe" || key === "onStatus" || key === "watch" ? counted(method) : method;
    },
  });
}

/** A world of three ships that moves on when told to. */
export class Ships implements WorldSource {
  view: ViewWorld | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #frames: Iterator<Uint8Array>;

  constructor() {
    let state = 1;
    const random = (): number => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
    const options = { rows: 3, width: 4, count: 100, predictor: "hold", random } as const;
    this.#frames = frames(options)[Symbol.iterator]();
  }

  readonly on = counted((_event: "view" | "frame", listener: () => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  });

  next(): void {
    this.view ??= ViewWorld.open(schema("hold").message);
    this.view.apply(this.#frames.next().value as Uint8Array);
    for (const listener of this.#listeners) listener();
  }
}

/** Shows an app in `#app`; gives what takes it away. */
export type Mount = (root: HTMLElement, client: WorkerClient<State>, world: WorldSource) => () => void;

/** Makes the page. */
export function start(mount: Mount): void {
  const script = new URLSearchParams(location.search).get("worker") ?? "counter.worker.js";
  const worker = new Worker(script, { type: "module" });
  const client = createWorkerClient<State>({ transport: createPostMessageWorkerTransport(worker) });
  const ships = new Ships();
  const unmount = mount(document.getElementById("app") as HTMLElement, countedClient(client), ships);
  Object.assign(globalThis, {
    page: {
      client,
      ships,
      unmount,
      draws: () => ({ ...draws }),
      listeners,
      begin: () => worker.postMessage("start"),
    },
  });
}
