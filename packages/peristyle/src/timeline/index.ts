/**
 * Timelines: what each lane did when, as a Chrome trace, as a Gantt chart, as numbers.
 *
 * ```ts
 * const timeline = new Timeline({ lanes: 2 });
 * const physics = timeline.name("physics");
 * timeline.setEnabled(true);
 * const start = timeline.begin();
 * step(world);
 * timeline.end(0, "system", physics, start, rows);
 * const picture = gantt(timeline.read());
 * ```
 */
export { chromeTrace } from "./chrome.js";
export { gantt, type GanttOptions } from "./gantt.js";
export { type LaneSpans, type Span, type SpanKind, Timeline, TimelineError, type TimelineErrorCode, type TimelineOptions } from "./recorder.js";
export { type LaneTimes, type Statistics, type SystemTimes, type Times, statistics } from "./statistics.js";
