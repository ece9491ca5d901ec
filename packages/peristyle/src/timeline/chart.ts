/** Frames of a recording, ready to be counted and drawn. */
import { type LaneSpans, type Span, TimelineError } from "./recorder.js";

/** One frame. */
export interface Frame {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** A span as it is drawn. */
export interface Bar extends Span {
  readonly lane: number;
  /** Index of its stage, if it is a system or a range of one. */
  readonly stage: number | undefined;
  /** Index of the frame that it began in. */
  readonly frame: number | undefined;
}

/** Frames that follow each other, with all that was done in them. */
export interface Chart {
  readonly lanes: readonly string[];
  readonly frames: readonly Frame[];
  /** Names, in order of their first appearance. */
  readonly stages: readonly string[];
  /** By lane and begin, cut to the frames' time. */
  readonly bars: readonly Bar[];
  /** The how manieth of its stage each system is. */
  readonly turns: ReadonlyMap<string, number>;
  readonly start: number;
  readonly end: number;
}

const isSystem = ({ kind }: Span): boolean => kind === "system" || kind === "range";

/** The last of times that begin at or before an instant, if it reaches it. */
function at<T extends { readonly start: number; readonly end: number }>(times: readonly T[], instant: number): number | undefined {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]!.start <= instant) low = middle + 1;
    else high = middle;
  }
  const found = low - 1;
  return found >= 0 && instant <= times[found]!.end ? found : undefined;
}

/**
 * The last `frames` frames of a recording, all if not given. A frame is whole if no lane dropped spans of it; what was
 * recorded without any frame is one.
 *
 * @throws {@link TimelineError} (`timeline-frames`) if nothing was recorded, or no frame is whole.
 */
export function chartOf(recording: readonly LaneSpans[], frames = Infinity): Chart {
  const all = recording.flatMap(({ spans }) => spans);
  if (all.length === 0) throw new TimelineError("timeline-frames", "nothing was recorded");
  const known = all
    .filter(({ kind }) => kind === "frame")
    .map(({ start, end, detail }): Frame => ({ number: detail, start, end }))
    .sort((a, b) => a.start - b.start);
  // Lanes keep the newest spans: what began after the oldest end that a lane still has is whole.
  const from = Math.max(
    ...recording.map(({ spans, dropped }) => (dropped > 0 ? Math.min(...spans.map(({ end }) => end)) : -Infinity)),
  );
  const whole = known.filter(({ start }) => start >= from);
  if (known.length > 0 && whole.length === 0) {
    const dropped = recording.reduce((sum, lane) => sum + lane.dropped, 0);
    throw new TimelineError("timeline-frames", `no frame is whole: ${dropped} older spans were dropped`);
  }
  const times = (pick: (span: Span) => number, best: (...of: number[]) => number): number => all.map(pick).reduce((a, b) => best(a, b));
  const only: Frame = { number: 0, start: times(({ start }) => start, Math.min), end: times(({ end }) => end, Math.max) };
  const shown = known.length === 0 ? [only] : whole.slice(-Math.max(1, Math.min(frames, whole.length)));
  const { start } = shown[0]!;
  const end = Math.max(...shown.map((frame) => frame.end));

  const stageSpans = all.filter(({ kind }) => kind === "stage").sort((a, b) => a.start - b.start);
  const stages = [...new Set(stageSpans.map(({ name }) => name))];
  const stageOf = (span: Span): number | undefined => {
    const found = isSystem(span) ? at(stageSpans, span.start) : undefined;
    return found === undefined ? undefined : stages.indexOf(stageSpans[found]!.name);
  };
  const turns = new Map<string, number>();
  const counts = new Map<number | undefined, number>();
  for (const span of all) {
    if (!isSystem(span) || turns.has(span.name)) continue;
    const stage = stageOf(span);
    turns.set(span.name, counts.get(stage) ?? 0);
    counts.set(stage, turns.get(span.name)! + 1);
  }
  const bars = recording.flatMap(({ spans }, lane) =>
    spans
      .filter((span) => span.start < end && (span.end > start || span.start >= start))
      .map((span): Bar => {
        const [from, to] = [Math.max(span.start, start), Math.min(span.end, end)];
        return { ...span, lane, stage: stageOf(span), frame: at(shown, span.start), start: from, end: to };
      })
      // What encloses comes first, so that collections are drawn over what they interrupted.
      .sort((a, b) => a.start - b.start || b.end - a.end),
  );
  return { lanes: recording.map(({ name }) => name), frames: shown, stages, bars, turns, start, end };
}
