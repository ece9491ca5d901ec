/** A client that runs ahead, and values between two ticks. */
import { describe, expect, test } from "vitest";
import {
  Interpolation,
  Prediction,
  TickClock,
  TooFarAheadError,
  ViewWorld,
  component,
  type PredictedRows,
} from "../src/client/index.js";
import { FrameHost } from "./support/host.js";

const Body = component("Body", { x: "f32", speed: "f32" });
type Input = { push: number };

/** What host and client both run. */
function move(rows: PredictedRows, { push }: Input): void {
  const { x, speed } = rows.get(Body);
  for (let row = 0; row < rows.rows; row++) {
    speed[row] += push;
    x[row] += speed[row];
  }
}

function scene(): { host: FrameHost; view: ViewWorld; prediction: Prediction<Input> } {
  const host = new FrameHost();
  const view = ViewWorld.open(host.schema);
  view.apply(host.snapshot([0, 10, 20], [1, 0, 0]));
  return { host, view, prediction: new Prediction<Input>([Body]).predict(move) };
}

const xOf = (prediction: Prediction<Input>, row: number): number => {
  const own = prediction.row(FrameHost.entity(row));
  return prediction.rows.get(Body).x[own];
};

describe("prediction", () => {
  test("shows inputs at once, and corrects nothing when the host agrees", () => {
    const { host, view, prediction } = scene();
    expect(prediction.follow(view, FrameHost.entity(0))).toBe(true);
    prediction.input(1, { push: 1 });
    prediction.input(2, { push: 0 });
    expect(xOf(prediction, 0)).toBe(4);
    // The host has taken in the first: x 2, speed 2.
    view.apply(host.frame([2, 10, 20], [2, 0, 0]));
    expect(prediction.reconcile(view, 1)).toEqual([]);
    expect(xOf(prediction, 0)).toBe(4);
    expect(prediction.waiting).toBe(1);
  });

  test("rewinds to the host, replays what it has not seen, and says what that corrected", () => {
    const { host, view, prediction } = scene();
    prediction.follow(view, FrameHost.entity(0));
    prediction.input(1, { push: 1 });
    prediction.input(2, { push: 1 });
    expect(xOf(prediction, 0)).toBe(5);
    // A wall stopped it at the host.
    view.apply(host.frame([1, 10, 20], [0, 0, 0]));
    const entity = FrameHost.entity(0);
    expect(prediction.reconcile(view, 1)).toEqual([
      { entity, component: "Body", field: "x", before: 5, after: 2 },
      { entity, component: "Body", field: "speed", before: 3, after: 1 },
    ]);
  });

  test("follows several, of which a new one does not set the others back", () => {
    const { view, prediction } = scene();
    prediction.follow(view, FrameHost.entity(0));
    prediction.input(1, { push: 0 });
    prediction.follow(view, FrameHost.entity(2));
    expect([xOf(prediction, 0), xOf(prediction, 2)]).toEqual([1, 20]);
    expect([...prediction.rows.eids]).toEqual([0, 2]);
    expect(prediction.follow(view, 5)).toBe(false);
  });

  test("follows no more who left the view", () => {
    const { host, view, prediction } = scene();
    prediction.follow(view, FrameHost.entity(0));
    prediction.follow(view, FrameHost.entity(2));
    view.apply(host.snapshot([0, 10], [1, 0]));
    prediction.reconcile(view, 0);
    expect(prediction.rows.rows).toBe(1);
    expect(prediction.row(FrameHost.entity(2))).toBe(-1);
  });

  test("stops when it is not answered, and goes on when it is", () => {
    const { host, view } = scene();
    const prediction = new Prediction<Input>([Body], { inputsMax: 2 }).predict(move);
    prediction.follow(view, FrameHost.entity(0));
    prediction.input(1, { push: 0 });
    prediction.input(2, { push: 0 });
    expect(() => prediction.input(3, { push: 0 })).toThrow(TooFarAheadError);
    expect(xOf(prediction, 0)).toBe(2);
    view.apply(host.frame([2, 10, 20], [1, 0, 0]));
    prediction.reconcile(view, 2);
    prediction.input(3, { push: 0 });
    expect(() => prediction.input(3, { push: 0 })).toThrow("input 3 after 3");
    expect(prediction.reset(view)).toHaveLength(1);
    expect(prediction.waiting).toBe(0);
  });

  test("rounds as the host's columns do, and runs jobs as they are", () => {
    const { view } = scene();
    const handle = ({ snap, extra }: { snap: PredictedRows; extra: Input }): void => {
      const { fields, changed } = snap.comps.Body;
      for (let i = 0; i < snap.rows; i++) {
        fields.x[i] += extra.push;
        changed[i >> 3] |= 1 << (i & 7);
      }
    };
    const prediction = new Prediction<Input>([Body]).predict((snap, extra) => handle({ snap, extra }));
    prediction.follow(view, FrameHost.entity(0));
    prediction.input(1, { push: 0.1 });
    expect(xOf(prediction, 0)).toBe(Math.fround(0.1));
  });

  test("refuses 64-bit integers, and components that the view does not show", () => {
    expect(() => new Prediction([component("Body", { id: "u64" })])).toThrow("`Body.id` is u64");
    const { view } = scene();
    const prediction = new Prediction([component("Other", { x: "f32" })]);
    expect(() => prediction.follow(view, FrameHost.entity(0))).toThrow("does not show a component `Other`");
  });
});

describe("interpolation", () => {
  const field = { component: Body, field: "x" };

  test("gives values on the line between two ticks, and rests when nothing moves", () => {
    const { host, view } = scene();
    const between = new Interpolation([field]);
    between.advance(view);
    expect([0, 0.5, 1].map((part) => between.value(0, 1, part))).toEqual([10, 10, 10]);
    view.apply(host.frame([4, 10, 30], [0, 0, 0]));
    between.advance(view);
    expect([0, 0.5, 1].map((part) => between.value(0, 0, part))).toEqual([0, 2, 4]);
    const out = new Float32Array(4);
    between.sample(0, 0.25, out);
    expect([...out]).toEqual([1, 10, 22.5, 0]);
    // Only one moves: the others have come to rest.
    view.apply(host.frame([14], [0], [1]));
    between.advance(view);
    expect([0, 1, 2].map((row) => between.value(0, row, 0))).toEqual([4, 10, 30]);
    expect(between.value(0, 1, 0.5)).toBe(12);
    view.apply(host.frame([5], [0], [0]));
    between.advance(view);
    expect([0, 1, 2].map((row) => between.value(0, row, 0))).toEqual([4, 14, 30]);
    // And all together again, after some.
    view.apply(host.frame([6, 14, 30], [0, 0, 0]));
    between.advance(view);
    expect([...between.from(0).subarray(0, 3)]).toEqual([5, 14, 30]);
    expect([...between.to(0).subarray(0, 3)]).toEqual([6, 14, 30]);
    expect(between.value(0, 99, 1)).toBe(0);
  });

  test("starts newcomers where they are", () => {
    const { host, view } = scene();
    const between = new Interpolation([field]);
    between.advance(view);
    view.apply(host.snapshot([1, 2, 3, 4], [0, 0, 0, 0]));
    between.advance(view);
    expect([0, 1, 2, 3].map((row) => between.value(0, row, 0))).toEqual([1, 2, 3, 4]);
  });

  test("does without fields that are not shown", () => {
    const { view } = scene();
    const between = new Interpolation([
      { component: "Nothing", field: "x" },
      { ...field, steps: true },
    ]);
    between.advance(view);
    expect([between.value(0, 0, 1), between.value(1, 0, 1)]).toEqual([0, 0]);
  });
});

describe("a tick clock", () => {
  test("goes evenly although ticks come unevenly", () => {
    const clock = new TickClock();
    expect(clock.part(0)).toBe(1);
    for (let tick = 0; tick < 100; tick++) clock.arrived(tick * 50 + (tick % 2) * 10);
    expect(Math.abs(clock.interval - 50)).toBeLessThan(3);
    const parts = [0, 10, 20, 30, 40].map((after) => clock.part(99 * 50 + 10 + after));
    for (let at = 1; at < parts.length; at++) expect(parts[at]).toBeGreaterThan(parts[at - 1]);
    expect(clock.part(1e9)).toBe(1);
  });

  test("takes a pause for a pause", () => {
    const clock = new TickClock();
    for (const now of [0, 50, 100, 5000]) clock.arrived(now);
    expect(clock.interval).toBe(50);
    expect(clock.part(5000)).toBe(0);
    expect(clock.part(5025)).toBe(0.5);
  });
});
