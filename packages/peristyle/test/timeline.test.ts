/** Timelines: what is recorded, counted and drawn. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Timeline, TimelineError, chromeTrace, gantt, statistics } from "../src/timeline/index.js";

/** Three frames of 10 ms on two lanes, on a clock that the test moves. */
function recorded(spansPerLane = 100): Timeline {
  let now = 0;
  const timeline = new Timeline({ lanes: 2, spansPerLane, clock: () => now });
  timeline.setEnabled(true);
  const [frame, update, late, physics, view] = ["frame", "update", "late", "physics", "<view> & \"co\""].map((name) => timeline.name(name)) as [number, number, number, number, number];
  for (let number = 5; number < 8; number++) {
    const start = now;
    timeline.record(1, "range", physics, start + 1, start + 4 + number / 10, 512, 1);
    timeline.record(0, "range", physics, start + 1, start + 3, 512, 0);
    timeline.record(0, "wait", physics, start + 3, start + 5, 0, 1);
    timeline.record(0, "stage", update, start, start + 5);
    timeline.record(0, "system", view, start + 6, start + 8, 10);
    timeline.record(0, "commit", update, start + 8, start + 8.5, 3);
    now = start + 9;
    timeline.record(0, "stage", late, start + 5.5, now);
    const stamp = start;
    now = start + 10;
    timeline.end(0, "frame", frame, stamp, 0, number);
  }
  return timeline;
}

test("spans are kept in order, the newest of each lane, and the others are counted", () => {
  const timeline = new Timeline({ spansPerLane: 3 });
  const name = timeline.name("a");
  expect(timeline.name("a")).toBe(name);
  const off = timeline.begin();
  timeline.setEnabled(true);
  timeline.end(0, "system", name, off);
  expect(timeline.read()).toEqual([{ name: "frame", spans: [], dropped: 0 }]);
  for (let i = 0; i < 5; i++) timeline.record(0, "range", name, i, i + 1, i, 2 * i);
  const [lane] = timeline.read();
  expect(lane!.dropped).toBe(2);
  expect(lane!.spans.map(({ start }) => start)).toEqual([2, 3, 4]);
  expect(lane!.spans[2]).toEqual({ kind: "range", name: "a", start: 4, end: 5, rows: 4, detail: 8 });
  timeline.setEnabled(false);
  timeline.record(0, "range", name, 9, 9);
  expect(timeline.read()[0]!.spans.length).toBe(3);
  timeline.clear();
  expect(timeline.read()[0]).toEqual({ name: "frame", spans: [], dropped: 0 });
});

test("a Chrome trace has the events that `peristyle gantt` reads", () => {
  const trace = JSON.parse(chromeTrace(recorded().read())) as { traceEvents: Record<string, unknown>[]; otherData: unknown };
  expect(trace.otherData).toEqual({ dropped_spans: { frame: 0, "worker 1": 0 } });
  expect(trace.traceEvents).toContainEqual({ ph: "M", pid: 1, tid: 1, name: "thread_name", args: { name: "worker 1" } });
  expect(trace.traceEvents).toContainEqual({
    ph: "X", pid: 1, tid: 1, ts: 11000, dur: 3600, name: "physics", cat: "range", args: { rows: 512, index: 1 },
  });
  const dropped = JSON.parse(chromeTrace(recorded(7).read())) as { traceEvents: Record<string, unknown>[] };
  expect(dropped.traceEvents.find(({ ph }) => ph === "i")).toMatchObject({ tid: 0, args: { dropped: 14 } });
});

test("Rust reads the same trace: `crates/timeline/tests/typescript.rs`", () => {
  const file = new URL("../../../crates/timeline/vectors/typescript.json", import.meta.url);
  const text = chromeTrace(recorded().read());
  // PERISTYLE_TIMELINE_VECTORS=write after a change.
  if (process.env["PERISTYLE_TIMELINE_VECTORS"] === "write") writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, "utf8"));
});

test("statistics are of runs: all ranges of a system in a frame", () => {
  const { frames, systems, commits, waits, lanes } = statistics(recorded().read());
  expect(frames).toEqual({ count: 3, total: 30, p50: 10, p99: 10 });
  expect(systems.map(({ name, stage, count, spans, rows }) => [name, stage, count, spans, rows])).toEqual([
    ["physics", "update", 3, 6, 3072],
    ['<view> & "co"', "late", 3, 3, 30],
  ]);
  expect(systems[0]!.p50).toBeCloseTo(5.6, 9);
  expect(systems[0]!.p99).toBeCloseTo(5.7, 9);
  expect(commits.total).toBeCloseTo(1.5, 9);
  expect([waits.count, waits.total]).toEqual([3, 6]);
  expect(lanes.map(({ name, busyShare }) => [name, Math.round(busyShare * 100)])).toEqual([["frame", 45], ["worker 1", 36]]);
  expect(statistics(recorded().read(), 2).frames.count).toBe(2);
});

test("a Gantt chart names systems, lanes, frames and times, and escapes what it did not write", () => {
  const svg = gantt(recorded().read(), { title: "a <title>", frames: 2 });
  expect(svg).toMatch(/^<svg [^>]*aria-label="a &lt;title&gt;"/);
  expect(svg).toContain("frames 6 to 7 · 2 lanes · 20.00 ms");
  for (const text of [">worker 1<", ">45 % busy<", ">physics<", ">p99 ms<", ">5.600<", ">commit<", ">6 · 10.00 ms<"]) expect(svg).toContain(text);
  expect(svg).toContain("<title>physics · update · 3.60 ms · 512 rows, range 1</title>");
  expect(svg).toContain("<title>&lt;view&gt; &amp; &quot;co&quot; · late · 2.00 ms</title>");
  expect(svg).not.toContain("<view>");
  // Each tag that is opened is closed.
  const tags = [...svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)];
  const open: string[] = [];
  for (const [, end, name, empty] of tags) {
    if (end === "/") expect(open.pop()).toBe(name);
    else if (empty === "") open.push(name!);
  }
  expect(open).toEqual([]);
});

test("the size of a picture is bound by what can be seen", () => {
  const timeline = new Timeline({ spansPerLane: 100_000 });
  timeline.setEnabled(true);
  const name = timeline.name("tiny");
  for (let i = 0; i < 50_000; i++) timeline.record(0, "system", name, i, i + 0.5);
  const svg = gantt(timeline.read());
  expect(svg.length).toBeLessThan(20_000);
  expect(svg).toContain("50000 short spans");
});

test("only whole frames are shown", () => {
  const { frames } = statistics(recorded(8).read());
  expect(frames.count).toBe(1);
  expect(() => gantt(recorded(3).read())).toThrow(expect.objectContaining({ code: "timeline-frames", message: expect.stringContaining("no frame is whole: 18") }));
});

test.each<[what: string, act: () => unknown, code: string]>([
  ["no lanes", () => new Timeline({ lanes: 0 }), "timeline-options"],
  ["half a span", () => new Timeline({ spansPerLane: 0.5 }), "timeline-options"],
  ["a lane that is not there", () => recorded().record(2, "system", 0, 0, 1), "timeline-lane"],
  ["an empty recording", () => gantt(new Timeline().read()), "timeline-frames"],
])("refused: %s", (_, act, code) => {
  expect(act).toThrow(TimelineError);
  expect(act).toThrow(expect.objectContaining({ code }));
});
