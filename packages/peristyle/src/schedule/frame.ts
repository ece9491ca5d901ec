/**
 * One frame under way: waves of leases, and what is merged between them.
 *
 * # Rules
 * - Rows are lent from dispatch until all of their wave is over; the world refuses to move rows meanwhile.
 * - A wave is settled as a whole, in the order in which it was handed out.
 */
import { HEADER, NEXT } from "../core/abi.js";
import { CoreError, PeristyleError, SystemError, type JobError, type WorldPatchError } from "../errors.js";
import { applyTo, targets, type Target } from "../snapshot/patches.js";
import type { JobId, Lanes, LeaseResult, LeaseTask } from "../workers/lanes.js";
import { skippedFor, type Applied, type CommandBuffer } from "../world/commands.js";
import type { Entity } from "../world/component.js";
import type { World } from "../world/world.js";
import type { Placement } from "./placement.js";
import { Recording } from "./recording.js";
import type { Timeline } from "../timeline/recorder.js";
import type { Staging } from "./staging.js";
import type { System, SystemContext } from "./system.js";
import { valuesOf } from "./values.js";

/** What happened in a frame. */
export interface FrameReport {
  /** The number of its tick. */
  readonly tick: number;
  /** How often work was given to workers. */
  readonly dispatches: number;
  /** How many changes were merged. */
  readonly applied: number;
  /** Changes that were not made, as what they name was gone, or a hook of a component threw. */
  readonly skipped: readonly WorldPatchError[];
  /** Systems that failed, in the plan's order. */
  readonly failures: readonly SystemError[];
}

/** A system as the plan knows it. */
export interface Planned {
  readonly system: System;
  /** Its number in the core. */
  readonly number: number;
  /** Its place in the plan. */
  position: number;
  job: JobId | undefined;
  /** Why its job could not be loaded. */
  broken: JobError | undefined;
  /** Columns that are made of objects for it, if it is staged. */
  staging?: Staging;
}

/** What a frame is run with. */
export interface FrameSetup {
  readonly world: World;
  readonly tick: number;
  readonly dt: number;
  readonly time: number;
  readonly lanes: Lanes | undefined;
  readonly placement: Placement;
  /** Where what ran is recorded. */
  readonly timeline: Timeline | undefined;
  /** By number. */
  readonly systems: readonly Planned[];
}

/** A system that is to run now. */
interface Lease {
  readonly planned: Planned;
  /** Whether its ranges must run one after the other. */
  readonly oneLane: boolean;
  /** Offset of its range list; 0 if it has none. */
  list: number;
  rows: number;
  readonly cmd: CommandBuffer;
  result?: LeaseResult;
  /** Whom its patches are for. */
  targets?: readonly Target[];
  failure?: unknown;
}

/** One frame. */
export class Frame {
  readonly #setup: FrameSetup;
  readonly #world: World;
  readonly #recording: Recording | undefined;
  #dispatches = 0;
  #applied = 0;
  /** What ran since the last merge. */
  #recorded: Lease[] = [];
  readonly #skipped: WorldPatchError[] = [];
  readonly #failures: { readonly position: number; readonly error: SystemError }[] = [];

  constructor(setup: FrameSetup) {
    this.#setup = setup;
    this.#world = setup.world;
    this.#recording = Recording.of(setup.world, setup.timeline);
  }

  /** What happened. */
  report(): FrameReport {
    const failures = this.#failures.sort((a, b) => a.position - b.position).map(({ error }) => error);
    const { tick } = this.#setup;
    return { tick, dispatches: this.#dispatches, applied: this.#applied, skipped: this.#skipped, failures };
  }

  /** Runs it to its end. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } finally {
      this.#recording?.end(this.#setup.tick);
    }
  }

  async #run(): Promise<void> {
    const { core } = this.#world;
    let wave: Lease[] = [];
    for (;;) {
      const code = core.check(core.abi.next());
      if (code === NEXT.run) {
        const planned = this.#setup.systems[core.header(HEADER.system)];
        wave.push({
          planned,
          oneLane: core.header(HEADER.oneLane) === 1,
          list: core.header(HEADER.list),
          rows: core.header(HEADER.rows),
          cmd: this.#world.commands(),
        });
        continue;
      }
      if (wave.length > 0) {
        const ready = wave;
        wave = [];
        await this.#wave(ready);
      } else if (code === NEXT.wait) {
        throw new CoreError("core-refused", "the plan waits for a system, but none is running");
      }
      if (code === NEXT.merge) this.#merge();
      if (code === NEXT.done) return;
    }
  }

  /** Runs systems that do not conflict, and settles them. */
  async #wave(leases: readonly Lease[]): Promise<void> {
    this.#recording?.enter(leases[0].planned.system.stage);
    const offloaded: Lease[] = [];
    const inline: Lease[] = [];
    const tasks: LeaseTask[] = [];
    for (const lease of leases) {
      const { system, job, broken } = lease.planned;
      if (broken) {
        lease.failure = broken;
      } else if (job === undefined) {
        // Whatever has no job has `run`; see `Scheduler`.
        inline.push(lease);
      } else {
        try {
          this.#stage(lease);
          if (lease.list === 0) continue;
          tasks.push(this.#task(lease, system, job));
          offloaded.push(lease);
        } catch (error) {
          lease.failure = error;
        }
      }
    }
    // Until all of the wave is over: what a system in place may do must not depend on how fast jobs beside it are.
    if (offloaded.length > 0) this.#world.lend();
    try {
      let idle = performance.now();
      const results = offloaded.length > 0 ? this.#offload(offloaded, tasks, inline.length > 0) : undefined;
      const running = inline.map((lease) => this.#inPlace(lease));
      for (const promise of running) if (promise) await promise;
      if (inline.length > 0) idle = performance.now();
      if (results) {
        await results;
        if (this.#recording) this.#record(this.#recording, offloaded, idle);
      }
    } finally {
      if (offloaded.length > 0) this.#world.giveBack();
    }
    for (const lease of leases) this.#settle(lease);
  }

  #context(cmd: CommandBuffer, { stage }: System): SystemContext {
    const { world, dt, time } = this.#setup;
    return { world, dt, time, resources: world.resources, cmd, stage };
  }

  #task(lease: Lease, system: System, job: JobId): LeaseTask {
    const { dt, time } = this.#setup;
    const offload = system.offload!;
    const extra = offload.extra?.(this.#context(lease.cmd, system));
    const { objects } = system;
    const isKernel = offload.kernel !== undefined;
    if (isKernel) {
      const { core } = this.#world;
      const text = extra === undefined ? "" : (JSON.stringify(extra) ?? "");
      core.check(core.abi.extra(lease.planned.number, core.writeText(text)));
    }
    return {
      job,
      list: lease.list,
      dt,
      time,
      ...(extra === undefined || isKernel ? {} : { extra }),
      ...(objects.length === 0 ? {} : { values: valuesOf(this.#world, lease.list, objects) }),
      ...(offload.deadline === undefined ? {} : { deadline: offload.deadline }),
    };
  }

  /** Gives leases to the lanes. */
  async #offload(leases: readonly Lease[], tasks: readonly LeaseTask[], besides: boolean): Promise<void> {
    const { lanes, placement } = this.#setup;
    let key = 0;
    let rows = 0;
    for (const lease of leases) {
      key = (Math.imul(key, 31) + lease.planned.number + 1) | 0;
      rows += lease.rows;
    }
    const chosen = !lanes!.hasWorkers ? "caller" : placement.choose(key, rows);
    // While systems run in place beside it, the caller's thread is theirs.
    const place = chosen === "any" && besides ? "workers" : chosen;
    if (place !== "caller") this.#dispatches++;
    try {
      const start = performance.now();
      const placed = tasks.map((task, i): LeaseTask => ({ ...task, place: leases[i].oneLane ? "caller" : place }));
      const results = await lanes!.run(placed);
      if (!besides) placement.measured(key, chosen, rows, performance.now() - start);
      results.forEach((result, i) => {
        leases[i].result = result;
        leases[i].failure = result.failure;
      });
    } catch (error) {
      for (const lease of leases) lease.failure = error;
    }
  }

  /** Records leases that are over. `idle` is when this thread had nothing to do any more but ranges of theirs. */
  #record(recording: Recording, leases: readonly Lease[], idle: number): void {
    let last = { end: idle, planned: leases[0].planned };
    for (const { planned, result, list } of leases) {
      if (!result) continue;
      recording.ranges(planned, result.spans, list);
      for (const { lane, end } of result.spans) {
        if (lane === 0) idle = Math.max(idle, end);
        else if (end > last.end) last = { end, planned };
      }
    }
    if (last.end > idle) recording.waited(last.planned, idle, last.end);
  }

  /** Runs a system here. Gives a promise if it is not done yet. */
  #inPlace(lease: Lease): Promise<void> | undefined {
    const { planned, rows } = lease;
    const { system } = planned;
    const start = this.#recording ? performance.now() : 0;
    const over = (): void => this.#recording?.ran(planned, start, rows);
    try {
      const context = this.#context(lease.cmd, system);
      const done = this.#world.within(scopeOf(system.name), () => system.run!(context));
      if (typeof (done as PromiseLike<unknown> | undefined)?.then !== "function") {
        over();
        return undefined;
      }
      const failed = (error: unknown): void => void (lease.failure = error ?? new Error("rejected without a reason"));
      return Promise.resolve(done).then(() => undefined, failed).then(over);
    } catch (error) {
      lease.failure = error ?? new Error("thrown without a reason");
      over();
      return undefined;
    }
  }

  /** Makes columns of objects, for jobs that work in place on them. */
  #stage(lease: Lease): void {
    const { staging } = lease.planned;
    if (!staging) return;
    const staged = staging.gather();
    lease.list = staged.list;
    lease.rows = staged.rows;
  }

  #settle(lease: Lease): void {
    const { core } = this.#world;
    const { planned, result } = lease;
    const { staging } = planned;
    try {
      if (staging && lease.list !== 0) staging.scatter(lease.failure === undefined);
    } catch (error) {
      lease.failure ??= error;
    }
    const { failure } = lease;
    if (failure !== undefined) {
      this.#failures.push({ position: planned.position, error: new SystemError(planned.system.name, failure) });
    }
    // The core knows nothing of staged ranges; of what never ran it is told that all of it failed.
    const hasList = !staging && lease.list !== 0;
    const count = hasList ? core.u32()[lease.list / 4 + 1] : 1;
    const failed = result && hasList ? result.failed : failure === undefined ? [] : [...Array(count).keys()];
    core.check(core.abi.settle(planned.number, failed.length > 0 ? core.writeWords(failed) : 0));
    // Systems that run before the merge may destroy entities, and give their indices to others.
    if (result && result.patches.length > 0) lease.targets = targets(this.#world, result.patches);
    this.#recorded.push(lease);
  }

  /** Makes the changes that systems recorded since the last merge, in the plan's order. */
  #merge(): void {
    const { core } = this.#world;
    const start = performance.now();
    const before = this.#applied;
    const gone = core.check(core.abi.merge());
    const recorded = this.#recorded.sort((a, b) => a.planned.position - b.planned.position);
    this.#recorded = [];
    if (gone > 0) this.#despawn(core.readNumbers(gone), recorded);
    for (const { result, targets, cmd, planned } of recorded) {
      const { name } = planned.system;
      if (result && targets) {
        this.#take(planned.position, name, applyTo(this.#world, result.patches, targets, `system \`${name}\`, `));
      }
      if (cmd.length > 0) this.#take(planned.position, name, cmd.flush());
    }
    this.#recording?.merged(start, this.#applied - before);
  }

  /** Destroys the entities that jobs marked. */
  #despawn(entities: ArrayLike<Entity>, recorded: readonly Lease[]): void {
    const skipped: WorldPatchError[] = [];
    const applied = this.#world.destroyAll(entities, (entity, thrown) => {
      skipped.push(skippedFor(`despawn of entity ${entity}`, thrown));
    });
    if (skipped.length === 0) return void (this.#applied += applied);
    // The core gives the marks of all jobs as one, so if several mark rows, all of them are named.
    const marking = recorded.map(({ planned }) => planned).filter(({ system }) => system.offload?.despawns);
    const name = marking.map(({ system }) => system.name).join(", ");
    this.#take(marking[0]?.position ?? 0, name, { applied, skipped });
  }

  /** Takes note of what became of changes. What hooks threw is no matter of what is gone: the system failed by it. */
  #take(position: number, name: string, { applied, skipped }: Applied): void {
    this.#applied += applied;
    for (const error of skipped) this.#skipped.push(error);
    const thrown = skipped.find(({ cause }) => cause !== undefined && !isRefusal(cause));
    if (thrown) this.#failures.push({ position, error: new SystemError(name, thrown.cause) });
  }
}

/** Under which name a world keeps the queries of a system. */
export const scopeOf = (system: string): string => `system ${system}`;

/** Whether the world said no, rather than something broke off. */
function isRefusal(cause: unknown): boolean {
  return cause instanceof PeristyleError && !(cause instanceof CoreError);
}
