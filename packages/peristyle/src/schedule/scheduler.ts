/**
 * The scheduler: runs the systems of a world frame after frame, those that do not conflict side by side.
 *
 * The plan is the core's. A frame pulls from it what is ready (a *wave*), runs that, settles it, and goes on until the
 * plan has nothing more; where a stage ends, what systems recorded (despawn bits, patches, commands) is merged in the
 * plan's order.
 *
 * # Rules
 * - All offloaded systems of a wave go to the workers in one dispatch, or run in place if that is faster.
 * - A system that fails does not keep others from running; the frame is told at its end.
 * - Merges are in order of the plan, whatever finished first: the same world on one lane or many.
 * - Frames never overlap: who asks for one while another runs gets it afterwards.
 */
import { CoreError, FrameFailure, JobError, ScheduleError, TickError, type SystemError } from "../errors.js";
import { createLanes, type JobId, type JobSource, type Lanes, type LanesOptions } from "../workers/index.js";
import { isNode } from "../workers/node.js";
import type { ResourcesBag } from "../world/resource.js";
import type { World } from "../world/world.js";
import { Frame, scopeOf, type FrameReport, type Planned } from "./frame.js";
import { hooks } from "./hooks.js";
import { Placement } from "./placement.js";
import type { Timeline } from "../timeline/recorder.js";
import { calledBack } from "../report.js";
import { Staging } from "./staging.js";
import { STAGES, System, type Host, type Stage, type SystemOptions } from "./system.js";

/** How workers are made: see `LanesOptions`. */
export type PoolOptions = LanesOptions;

/** How a frame is run. */
export interface FrameOptions {
  /** Whether systems that do not conflict may run side by side. True. */
  readonly parallel?: boolean;
}

/** The order in which systems run. */
export interface Plan {
  /** The stages, in order. */
  readonly stages: readonly Stage[];
  /** By stage: batches in order, each the names of systems that do not conflict. */
  readonly batchesByStage: Readonly<Record<string, readonly (readonly string[])[]>>;
  /** All systems, in the order in which what they record is merged. */
  readonly topoOrder: readonly string[];
  /** Who waits for whom and why, for people. */
  readonly text: string;
}

/** What a scheduler can be told. */
export interface SchedulerOptions {
  /** Which stages a frame has, in which order; all of them in their order unless told. There are no others. */
  readonly stages?: readonly Stage[];
  /**
   * Where frames are recorded while it is enabled: on lane 0 frames, stages, systems in place, ranges of jobs, merges and
   * waits; on lanes of their own what workers ran. Lanes are added as there are workers.
   */
  readonly timeline?: Timeline;
  /** Told of each system that fails; `runFrame` does not reject then. */
  readonly onFailure?: (failure: SystemError) => void;
}

/** What is not Node's kind is a page, or a worker of one. */
const HOST: Host = { isPage: !isNode };

/** Runs the systems of a world. */
export class Scheduler {
  readonly world: World;
  readonly stages: readonly Stage[];
  readonly #options: SchedulerOptions;
  readonly #systems = new Map<string, Planned | System>();
  readonly #byNumber: Planned[] = [];
  readonly #placement = new Placement();
  #stagesTold = false;
  #plan: Plan | undefined;
  #pool: Promise<Lanes> | undefined;
  #poolOptions: PoolOptions = {};
  #lanes: Lanes | undefined;
  /** Whether workers have yet to say that they are there. */
  #starting = false;
  #unloaded: Planned[] = [];
  #last: Promise<unknown> = Promise.resolve();
  /** Names the modules of jobs that were loaded again. */
  #query = "";
  #time = 0;
  #closed = false;
  /** Systems that the core still knows, and nobody else does. */
  readonly #leaving: Planned[] = [];

  constructor(world: World, options?: SchedulerOptions);
  constructor(world: World, stageOrder?: readonly Stage[], options?: Omit<SchedulerOptions, "stages">);
  constructor(world: World, first: readonly Stage[] | SchedulerOptions = {}, second: SchedulerOptions = {}) {
    const options: SchedulerOptions = isList(first) ? { ...second, stages: first } : { ...first, ...second };
    const stages = [...(options.stages ?? STAGES)];
    const unknown = stages.find((stage) => !STAGES.includes(stage));
    if (unknown !== undefined) {
      throw new ScheduleError("stage-unknown", `there is no stage \`${String(unknown)}\`; there are ${STAGES.join(", ")}`);
    }
    const twice = stages.find((stage, i) => stages.indexOf(stage) !== i);
    if (twice !== undefined) throw new ScheduleError("stage-taken", `the stage \`${twice}\` is listed twice`);
    this.world = world;
    this.stages = stages;
    this.#options = options;
  }

  /** What systems share, by name: the same as `world.resources`. */
  resourcesBag(): ResourcesBag {
    return this.world.resources;
  }

  /** Adds a system. */
  register(options: SystemOptions): this {
    const system = new System(this.world, options, this.stages);
    if (this.#systems.has(system.name)) {
      throw new ScheduleError("system-taken", `there is a system \`${system.name}\` already`);
    }
    this.#systems.set(system.name, system);
    this.#plan = undefined;
    return this;
  }

  /**
   * Takes a system out, from the next frame on: its job, what was made for its calls, and its queries that follow changes go
   * with it. Its name is free at once, so that another may be registered in its place; systems that are ordered by it need
   * one. A worker of `browserWorkers` stays, as others may name it.
   * @throws {ScheduleError} (`system-unknown`) if there is no such system.
   */
  unregister(name: string): this {
    const entry = this.#systems.get(name);
    if (!entry) {
      const known = [...this.#systems.keys()].join(", ") || "none";
      throw new ScheduleError("system-unknown", `there is no system \`${String(name)}\` to unregister; there are: ${known}`);
    }
    this.#systems.delete(name);
    // Between frames: one that runs goes on by its plan.
    if (!(entry instanceof System)) this.#leaving.push(entry);
    this.#plan = undefined;
    return this;
  }

  /** Makes the core and the lanes forget a system. */
  #forget(planned: Planned): void {
    const { system, number, staging, job } = planned;
    const { core } = this.world;
    core.check(core.abi.system_drop(number));
    delete this.#byNumber[number];
    this.#unloaded = this.#unloaded.filter((other) => other !== planned);
    staging?.dispose();
    this.world.leave(scopeOf(system.name));
    if (job !== undefined) this.#lanes?.unload(job);
  }

  /** Makes the plan, if systems were added or taken out since, and gives it. */
  compile(): Plan {
    if (this.#plan) return this.#plan;
    const { core } = this.world;
    for (const entry of this.#systems.values()) this.#checkOrder(entry instanceof System ? entry : entry.system);
    if (!this.#stagesTold) {
      core.check(core.abi.stages(core.writeText(this.stages.join("\n"))));
      this.#stagesTold = true;
    }
    while (this.#leaving.length > 0) {
      this.#forget(this.#leaving[0]);
      this.#leaving.shift();
    }
    for (const [name, entry] of this.#systems) {
      if (!(entry instanceof System)) continue;
      const spec = entry.querySpec(this.world);
      // Of its own: what it writes is not shown to it again.
      const query = spec && this.world.newQuery(spec);
      const number = this.#add(entry, query?.id);
      const planned: Planned = { system: entry, number, position: 0, job: undefined, broken: undefined };
      if (spec && entry.layouts.size > 0) planned.staging = new Staging(this.world, entry, this.world.newQuery(spec));
      this.#systems.set(name, planned);
      this.#byNumber[number] = planned;
      if (entry.offload) this.#unloaded.push(planned);
    }
    const count = core.check(core.abi.compile());
    const words = core.readWords(count * 3);
    const batchesByStage: Record<string, string[][]> = Object.fromEntries(this.stages.map((stage) => [stage, []]));
    const topoOrder: string[] = [];
    for (let i = 0; i < count; i++) {
      const planned: Planned | undefined = this.#byNumber[words[i * 3]];
      // Systems of the host's own, which the core runs by itself.
      if (!planned) continue;
      planned.position = i;
      topoOrder.push(planned.system.name);
      const batches = batchesByStage[this.stages[words[i * 3 + 1]]];
      (batches[words[i * 3 + 2]] ??= []).push(planned.system.name);
    }
    const text = core.readText(core.check(core.abi.plan_text()));
    return (this.#plan = { stages: this.stages, batchesByStage, topoOrder, text });
  }

  /** Tells the core of a system, and gives its number. */
  #add(system: System, query: number | undefined): number {
    const { core } = this.world;
    try {
      return core.check(core.abi.system(core.writeText(system.text(query))));
    } catch (error) {
      // What it refuses is what the system was registered with: components that its query does not ask for.
      if (!(error instanceof CoreError) || error.code !== "core-refused") throw error;
      const isNamed = error.message.includes(`\`${system.name}\``);
      const message = isNamed ? error.message : `system \`${system.name}\`: ${error.message}`;
      throw new ScheduleError("system-options", message, { cause: error });
    }
  }

  /** The plan: batches of systems by stage. */
  plan(): Plan {
    return this.compile();
  }

  #checkOrder({ name, stage, before, after }: System): void {
    for (const other of [...before, ...after]) {
      const entry = this.#systems.get(other);
      if (!entry) {
        const message = `system \`${name}\` is ordered by \`${other}\`, and no system has this name`;
        throw new ScheduleError("system-unknown", message);
      }
      const theirs = entry instanceof System ? entry.stage : entry.system.stage;
      if (theirs === stage) continue;
      const message = `system \`${name}\` of stage \`${stage}\` is ordered by \`${other}\`, which is of stage \`${theirs}\``;
      throw new ScheduleError("system-options", `${message}; stages have an order of their own`);
    }
  }

  /** Starts the workers. Optional: the first frame with an offloaded system does it. */
  async initPool(options: PoolOptions = {}): Promise<void> {
    this.#open();
    if (this.#pool) throw new TickError("frame-running", "the workers are started already; `initPool` goes before the first frame");
    this.#poolOptions = options;
    await this.#start();
  }

  async #start(): Promise<Lanes> {
    this.#pool ??= this.#makeLanes();
    try {
      const lanes = await this.#pool;
      this.#lanes = lanes;
      this.#options.timeline?.reserve(lanes.size + 1);
      if (lanes.size > 0) {
        this.#starting = true;
        const started = (): void => void (this.#starting = false);
        void lanes.ready.then(started, started);
      }
      return lanes;
    } catch (error) {
      this.#pool = undefined;
      throw error;
    }
  }

  #makeLanes(): Promise<Lanes> {
    const spans = hooks.spans !== undefined || this.#options.timeline !== undefined;
    return createLanes(this.world.core, { spans, ...this.#poolOptions });
  }

  /** Where a system's job is, for these lanes. */
  #source(system: System, lanes: Lanes): JobSource | undefined {
    const workers = lanes.way === "local" ? [] : Object.keys(this.#poolOptions.browserWorkers ?? {});
    const source = system.source(HOST, new Set(workers));
    if (this.#query === "") return source;
    const afresh = (url: string): string => `${url}${url.includes("?") ? "&" : "?"}${this.#query}`;
    if (source?.kind === "module") return { ...source, url: afresh(String(source.url)) };
    if (source?.kind !== "kernel") return source;
    const { module } = source;
    return typeof module === "string" || module instanceof URL ? { ...source, module: afresh(String(module)) } : source;
  }

  /**
   * @internal Loads all jobs again, in new workers; `query` is put to the URLs of modules and kernels, so that they are others
   * than before. If one cannot be loaded, all go on as they were. For a host's hook between frames. Gives how many jobs.
   */
  async reload(query: string): Promise<number> {
    const planned = this.#byNumber.filter((planned) => planned?.system.offload);
    if (planned.length === 0) return 0;
    const before = this.#query;
    const lanes = await this.#makeLanes();
    let jobs: (JobId | undefined)[];
    try {
      this.#query = query;
      const sources = planned.map(({ system }) => this.#source(system, lanes));
      jobs = await Promise.all(
        sources.map((source, i) => source && lanes.load(source, planned[i].system.jobShape())),
      );
    } catch (error) {
      this.#query = before;
      await lanes.close();
      throw error;
    }
    const old = this.#lanes;
    this.#lanes = lanes;
    this.#pool = Promise.resolve(lanes);
    this.#unloaded = [];
    planned.forEach((system, i) => {
      system.job = jobs[i];
      if (jobs[i] !== undefined) system.broken = undefined;
    });
    await old?.close();
    return jobs.filter((job) => job !== undefined).length;
  }

  /** Loads the jobs of systems that were added. */
  async #load(): Promise<void> {
    const lanes = this.#lanes ?? (await this.#start());
    const unloaded = this.#unloaded;
    this.#unloaded = [];
    await Promise.all(
      unloaded.map(async (planned) => {
        const { system } = planned;
        const source = this.#source(system, lanes);
        if (!source) {
          if (!system.run) {
            const message = `the job of system \`${system.name}\` is not for this host, and there is no \`run\` in its place`;
            planned.broken = new JobError("job-load", message);
          }
          return;
        }
        try {
          const job = await lanes.load(source, system.jobShape());
          // It may have been taken out meanwhile.
          if (this.#byNumber[planned.number] === planned) planned.job = job;
          else lanes.unload(job);
        } catch (error) {
          planned.broken = error instanceof JobError ? error : new JobError("job-load", String(error), { cause: error });
        }
      }),
    );
  }

  /**
   * Runs a frame: one tick with `dt` and `time` (the sum of all `dt` unless told). Rejects with a {@link FrameFailure} if
   * systems failed, after the frame ran to its end.
   */
  runFrame(dt = 0, time?: number, options: FrameOptions = {}): Promise<FrameReport> {
    const frame = this.#last.then(() => this.#runFrame(dt, time, options));
    this.#last = frame.catch(() => undefined);
    return frame;
  }

  async #runFrame(dt: number, time: number | undefined, { parallel = true }: FrameOptions): Promise<FrameReport> {
    this.#open();
    if (!Number.isFinite(dt) || (time !== undefined && !Number.isFinite(time))) {
      throw new ScheduleError("system-options", `\`runFrame\` takes numbers, and was given dt ${dt} and time ${time}`);
    }
    this.compile();
    await hooks.before?.(this);
    while (this.#unloaded.length > 0) await this.#load();
    if (this.#starting) await turn();
    this.#time = time ?? this.#time + dt;
    const { core } = this.world;
    const tick = core.check(core.abi.frame_begin(dt, this.#time, parallel ? 0 : 1));
    this.world.provisional.forget();
    const frame = new Frame({
      world: this.world,
      tick,
      dt,
      time: this.#time,
      lanes: this.#lanes,
      placement: this.#placement,
      timeline: this.#options.timeline,
      systems: this.#byNumber,
    });
    try {
      await frame.run();
    } finally {
      core.check(core.abi.frame_end());
    }
    this.world.ticked();
    const report = frame.report();
    const { onFailure } = this.#options;
    if (onFailure) for (const failure of report.failures) calledBack(() => onFailure(failure));
    else if (report.failures.length > 0) throw new FrameFailure(report.failures);
    return report;
  }

  #open(): void {
    if (this.#closed) throw new TickError("closed", "the scheduler was closed");
  }

  /** Ends the workers, after the frames that were asked for. No frame can be run afterwards. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#last;
    this.#closed = true;
    const lanes = await this.#pool?.catch(() => undefined);
    await lanes?.close();
  }
}

/**
 * Lets the event loop have a turn: frames that follow one another and run in place are microtasks all of them, and workers that
 * start would not be heard in between.
 */
function turn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (call: () => void) => void };
  return new Promise((resolve) => (setImmediate ?? setTimeout)(resolve));
}

function isList(value: readonly Stage[] | SchedulerOptions): value is readonly Stage[] {
  return Array.isArray(value);
}
