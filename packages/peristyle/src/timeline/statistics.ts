/** What systems, commits and lanes took in the frames of a recording. Times are milliseconds. */
import { type Chart, chartOf } from "./chart.js";
import type { LaneSpans } from "./recorder.js";

/** How often something was done, and how long it took. Percentiles are by nearest rank: one of the times that were met. */
export interface Times {
  readonly count: number;
  readonly total: number;
  readonly p50: number;
  readonly p99: number;
}

/** What a system took. Its count is of frames that it ran in; a run's time is that of all its ranges, on whatever lanes. */
export interface SystemTimes extends Times {
  readonly name: string;
  readonly stage: string | undefined;
  readonly spans: number;
  readonly rows: number;
}

/** How much of the frames' time a lane ran systems and commits. */
export interface LaneTimes {
  readonly name: string;
  readonly busy: number;
  /** From 0 to 1. */
  readonly busyShare: number;
}

/** Statistics of some frames. */
export interface Statistics {
  readonly frames: Times;
  /** By total time, longest first. */
  readonly systems: readonly SystemTimes[];
  readonly commits: Times;
  readonly collections: Times;
  /** Of the frame's own lane. */
  readonly waits: Times;
  readonly lanes: readonly LaneTimes[];
}

function timesOf(samples: readonly number[]): Times {
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = (percent: number): number => sorted[Math.max(Math.ceil((sorted.length * percent) / 100), 1) - 1] ?? 0;
  return { count: sorted.length, total: sorted.reduce((sum, time) => sum + time, 0), p50: rank(50), p99: rank(99) };
}

/**
 * Counts the last `frames` frames of a recording, all if not given.
 *
 * @throws {@link TimelineError} (`timeline-frames`)
 */
export const statistics = (recording: readonly LaneSpans[], frames?: number): Statistics =>
  statisticsOf(chartOf(recording, frames));

/** Counts what a chart shows. */
export function statisticsOf(chart: Chart): Statistics {
  interface Runs {
    stage: number | undefined;
    byFrame: Map<number, number>;
    spans: number;
    rows: number;
  }
  const systems = new Map<string, Runs>();
  const [commits, collections, waits]: [number[], number[], number[]] = [[], [], []];
  const busy = chart.lanes.map(() => 0);
  for (const { kind, name, lane, stage, frame, start, end, rows } of chart.bars) {
    if (frame === undefined) continue;
    const time = end - start;
    if (kind === "system" || kind === "range") {
      busy[lane]! += time;
      let runs = systems.get(name);
      if (runs === undefined) systems.set(name, (runs = { stage, byFrame: new Map(), spans: 0, rows: 0 }));
      runs.stage ??= stage;
      runs.byFrame.set(frame, (runs.byFrame.get(frame) ?? 0) + time);
      runs.spans++;
      runs.rows += rows;
    } else if (kind === "commit") {
      busy[lane]! += time;
      commits.push(time);
    } else if (kind === "gc") collections.push(time);
    else if (kind === "wait" && lane === 0) waits.push(time);
  }
  const lengths = chart.frames.map(({ start, end }) => end - start);
  const all = timesOf(lengths);
  return {
    frames: all,
    systems: [...systems]
      .map(([name, { stage, byFrame, spans, rows }]): SystemTimes => {
        return { name, stage: chart.stages[stage ?? -1], spans, rows, ...timesOf([...byFrame.values()]) };
      })
      .sort((a, b) => b.total - a.total || (a.name < b.name ? -1 : 1)),
    commits: timesOf(commits),
    collections: timesOf(collections),
    waits: timesOf(waits),
    lanes: chart.lanes.map((name, lane) => {
      return { name, busy: busy[lane]!, busyShare: all.total === 0 ? 0 : busy[lane]! / all.total };
    }),
  };
}
