/**
 * What ran when in one frame: for the scheduler's timeline, and for the host's.
 *
 * Lane 0 is the caller's thread, the others are workers. On lane 0 there are the frame, its stages, systems in place, ranges
 * of jobs, merges, and the time that it waited for workers; on the others ranges of jobs.
 */
import type { SpanKind, Timeline } from "../timeline/recorder.js";
import { LIST } from "../workers/board.js";
import { DESCRIPTOR } from "../workers/descriptor.js";
import type { Span } from "../workers/lanes.js";
import type { World } from "../world/world.js";
import type { Planned } from "./frame.js";
import { hooks } from "./hooks.js";

/** Records one frame. Times are milliseconds of `performance.now()`. */
export class Recording {
  readonly #world: World;
  readonly #timeline: Timeline | undefined;
  /** What is added to a time to give the timeline's. */
  readonly #shift: number;
  readonly #start: number;
  #stage: { readonly name: string; readonly start: number } | undefined;

  private constructor(world: World, timeline: Timeline | undefined) {
    this.#world = world;
    this.#timeline = timeline;
    this.#start = performance.now();
    this.#shift = timeline ? timeline.begin() - this.#start : 0;
  }

  /** A recording, if anybody wants one. */
  static of(world: World, timeline: Timeline | undefined): Recording | undefined {
    const wanted = timeline?.isEnabled ? timeline : undefined;
    return wanted || hooks.spans ? new Recording(world, wanted) : undefined;
  }

  /** A wave of a stage begins. */
  enter(stage: string): void {
    if (this.#stage?.name === stage) return;
    this.#leave();
    this.#stage = { name: stage, start: performance.now() };
  }

  #leave(): void {
    if (this.#stage) this.#span("stage", this.#stage.name, this.#stage.start, performance.now());
    this.#stage = undefined;
  }

  /** A system ran in place. */
  ran({ system, number }: Planned, start: number, rows: number): void {
    const end = performance.now();
    hooks.spans?.(this.#world, number, [{ lane: 0, range: 0, start, end }]);
    this.#span("system", system.name, start, end, rows);
  }

  /** Lanes ran ranges of a system, which are listed at an offset. */
  ranges({ system, number }: Planned, spans: readonly Span[], list: number): void {
    if (spans.length === 0) return;
    hooks.spans?.(this.#world, number, spans);
    const words = this.#world.core.u32();
    for (const { lane, range, start, end } of spans) {
      const rows = words[words[list / 4 + LIST.descriptors + range] / 4 + DESCRIPTOR.rows];
      this.#span("range", system.name, start, end, rows, range, lane);
    }
  }

  /** The caller's thread had nothing to do until workers were done with a system. */
  waited({ system }: Planned, start: number, end: number): void {
    this.#span("wait", system.name, start, end);
  }

  /** Changes were made. */
  merged(start: number, changes: number): void {
    this.#span("commit", this.#stage?.name ?? "merge", start, performance.now(), changes);
  }

  /** The frame is over. */
  end(tick: number): void {
    this.#leave();
    this.#span("frame", "frame", this.#start, performance.now(), 0, tick);
  }

  #span(kind: SpanKind, name: string, start: number, end: number, rows = 0, detail = 0, lane = 0): void {
    const timeline = this.#timeline;
    if (!timeline) return;
    timeline.reserve(lane + 1);
    timeline.record(lane, kind, timeline.name(name), start + this.#shift, end + this.#shift, rows, detail);
  }
}
