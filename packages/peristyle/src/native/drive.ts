/**
 * Drives an app under `peristyle run`: runs the frames of the scheduler that its main module exports, loads jobs again when
 * their files were written, and ends it after as many frames as were asked for.
 *
 * # Rules
 * - An app that exports no scheduler runs its frames itself, as in Node; all but the pace is the same for it.
 * - Time is that of frames: `dt` is the Nth part of a second, whatever the clock says.
 */
import process from "node:process";
import { pathToFileURL } from "node:url";
import { isMainThread } from "node:worker_threads";
import { PeristyleError } from "../errors.js";
import { hooks } from "../schedule/hooks.js";
import { Scheduler } from "../schedule/scheduler.js";
import type { Span } from "../workers/lanes.js";
import type { World } from "../world/world.js";
import { coreOf, native, type Control } from "./host.js";

/** How many frames may be late before those that were missed are left out. */
const LATE_FRAMES = 5;

/** Begins to drive the app that this agent runs, once its main module is evaluated. */
export function start(): void {
  const control = isMainThread ? native.__peristyleControl?.() : undefined;
  if (!control) return;
  const watch = new Watch(control);
  const limit = control.ticks();
  let frames = 0;
  hooks.before = (scheduler) => {
    if (limit > 0 && ++frames > limit) process.exit();
    return watch.look(scheduler);
  };
  if (control.records() !== 0) hooks.spans = record;
  const drive = (app: App): Promise<void> | undefined => {
    const scheduler = schedulerOf(app);
    return scheduler && run(scheduler, control, watch);
  };
  // A main module that fails is told of by whoever runs it.
  void main().then(drive, () => undefined);
}

/** What an app's main module exports. */
type App = Readonly<Record<string, unknown>>;

/** Hands spans to the process's timeline. */
function record(world: World, system: number, spans: readonly Span[]): void {
  const core = coreOf(world.core.memory);
  const now = performance.now();
  for (const { lane, range, start, end } of spans) core?.span(lane, system, now - start, now - end, range);
}

/** The exports of the app's main module. */
async function main(): Promise<App> {
  const path = process.argv[1]!;
  const name = path.startsWith("/") ? pathToFileURL(path).href : path;
  return (await import(name)) as App;
}

/** The scheduler that an app exports, by default or by name. */
function schedulerOf(app: App): Scheduler | undefined {
  return [app["default"], app["scheduler"]].find((exported) => exported instanceof Scheduler);
}

/** Runs frames for ever, or until the app ends. */
async function run(scheduler: Scheduler, control: Control, watch: Watch): Promise<void> {
  const hz = control.hz();
  const period = 1000 / hz;
  let due = performance.now();
  for (;;) {
    try {
      await scheduler.runFrame(1 / hz);
    } catch (error) {
      // The app is over for its own part.
      if (error instanceof PeristyleError && error.code === "closed") return;
      // Whoever watches mends it.
      if (!watch.isOn || !(error instanceof PeristyleError)) throw error;
      watch.tell(error);
    }
    due += period;
    const early = due - performance.now();
    if (early < -LATE_FRAMES * period) due = performance.now();
    if (control.waits() && early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    else await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * Looks whether files were written, and loads jobs again. The app's own modules are not run again, which would make another
 * world; that is said by the runtime.
 */
class Watch {
  readonly #control: Control;
  readonly isOn: boolean;
  #version = 0;
  #told = "";

  constructor(control: Control) {
    this.#control = control;
    this.isOn = control.watches() !== 0;
  }

  /** Between two frames. */
  look(scheduler: Scheduler): Promise<void> | undefined {
    return this.#control.changed() === 0 ? undefined : this.#reload(scheduler);
  }

  async #reload(scheduler: Scheduler): Promise<void> {
    this.#told = "";
    try {
      const count = await scheduler.reload(`afresh=${++this.#version}`);
      console.error(`peristyle: loaded ${count} job${count === 1 ? "" : "s"} again`);
    } catch (error) {
      this.tell(error);
      console.error("peristyle: the jobs go on as they were");
    }
  }

  /** Prints an error with its places, once until a file is written. */
  tell(error: unknown): void {
    const text = String(error);
    if (text === this.#told) return;
    this.#told = text;
    console.error(error);
  }
}
