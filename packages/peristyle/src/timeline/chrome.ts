/** The Chrome trace format, as Perfetto reads it and `peristyle gantt` does: the same events that Rust's timeline writes. */
import type { LaneSpans } from "./recorder.js";

/** The one process of a trace. */
const PID = 1;

/** The spans as the text of a Chrome trace. */
export function chromeTrace(lanes: readonly LaneSpans[]): string {
  const origin = lanes.flatMap(({ spans }) => spans).reduce((least, { start }) => Math.min(least, start), Infinity);
  const us = (ms: number): number => Math.round((ms - origin) * 1e6) / 1e3;
  const events: object[] = [{ ph: "M", pid: PID, name: "process_name", args: { name: "peristyle" } }];
  lanes.forEach(({ name }, tid) => {
    events.push({ ph: "M", pid: PID, tid, name: "thread_name", args: { name } });
    events.push({ ph: "M", pid: PID, tid, name: "thread_sort_index", args: { sort_index: tid } });
  });
  lanes.forEach(({ spans, dropped }, tid) => {
    if (dropped > 0) {
      const ts = us(spans.reduce((least, { start }) => Math.min(least, start), Infinity));
      events.push({ ph: "i", s: "t", pid: PID, tid, ts, name: `dropped ${dropped} older spans`, args: { dropped } });
    }
    for (const { kind, name, start, end, rows, detail } of spans) {
      const dur = Math.max(0, Math.round((us(end) - us(start)) * 1e3) / 1e3);
      events.push({ ph: "X", pid: PID, tid, ts: us(start), dur, name, cat: kind, args: { rows, index: detail } });
    }
  });
  const dropped = Object.fromEntries(lanes.map(({ name, dropped }) => [name, dropped]));
  const lines = events.map((event) => JSON.stringify(event)).join(",\n");
  return `{"displayTimeUnit":"ns","traceEvents":[\n${lines}\n],"otherData":{"dropped_spans":${JSON.stringify(dropped)}}}\n`;
}
