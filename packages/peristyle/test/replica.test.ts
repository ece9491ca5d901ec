/** Frames that a Rust host recorded show the same here as in a Rust view-world. */
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { FrameError, ViewWorld, component } from "../src/client/index.js";
import { frames as largeFrames, schema as largeSchema } from "../bench/frames.mjs";
import { FrameHost } from "./support/host.js";

/** Made by `cargo run -p peristyle-replica --example replica_vectors -- packages/peristyle/test/fixtures/replica`. */
const folder = process.env.PERISTYLE_REPLICA_VECTORS ?? new URL("fixtures/replica", import.meta.url).pathname;

interface State {
  readonly tick: number;
  readonly snapshot: boolean;
  readonly input: number | null;
  readonly hash: string;
  readonly length: number;
  readonly entities: number[];
  readonly added: number[];
  readonly removed: [number, number, string][];
  readonly changed: number[][];
  /** By component, field and row. */
  readonly values: (number | string | null)[][][];
}

const states = JSON.parse(readFileSync(`${folder}/states.json`, "utf8")) as State[];

function readMessages(): Uint8Array[] {
  const bytes = new Uint8Array(readFileSync(`${folder}/stream.bin`));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const messages: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = view.getUint32(at, true);
    messages.push(bytes.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return messages;
}

const [schema, ...frames] = readMessages();

/** A value as the recording has it. */
function written(value: number | bigint): number | string {
  if (typeof value === "bigint") return value.toString();
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
}

function valuesOf(view: ViewWorld): State["values"] {
  return view.schema.components.map(({ name, fields }) =>
    fields.map((field) => {
      const column = view.column(name, field.name);
      if (column === undefined) throw new Error(`${name}.${field.name} is missing`);
      expect(column.length).toBe(view.rows);
      return Array.from(column as ArrayLike<number | bigint>, (value, row) =>
        view.has(name, row) ? written(value) : null,
      );
    }),
  );
}

function expectState(view: ViewWorld, state: State): void {
  expect(view.tick).toBe(state.tick);
  expect(view.hash().toString(16).padStart(16, "0")).toBe(state.hash);
  expect(view.length).toBe(state.length);
  expect([...view.entities]).toEqual(state.entities);
  expect([...view.added]).toEqual(state.added);
  expect(view.removed.map(({ entity, row, why }) => [entity, row, why])).toEqual(state.removed);
  expect(view.schema.components.map(({ name }) => [...view.changed(name)])).toEqual(state.changed);
  // JSON has no negative zero, and neither side's matters here.
  expect(JSON.parse(JSON.stringify(valuesOf(view)))).toEqual(JSON.parse(JSON.stringify(state.values)));
}

describe("a recorded stream", () => {
  let view: ViewWorld;
  beforeEach(() => void (view = ViewWorld.open(schema)));

  test("has what the tests need", () => {
    expect(frames.length).toBe(states.length);
    expect(states.some((state) => state.removed.length > 0 && state.added.length > 0)).toBe(true);
    expect(states.filter((state) => state.snapshot).length).toBe(2);
  });

  test("shows after each frame what it shows in Rust", () => {
    frames.forEach((frame, index) => {
      const { tick, snapshot, input = null } = view.apply(frame);
      const state = states[index];
      expect({ tick, snapshot, input }).toEqual({ tick: state.tick, snapshot: state.snapshot, input: state.input });
      expectState(view, state);
    });
  });

  test("shows the same when values are first asked for at the end", () => {
    for (const frame of frames) view.apply(frame);
    expectState(view, states[states.length - 1]);
  });

  test("finds rows by entity throughout", () => {
    for (const frame of frames) {
      view.apply(frame);
      view.entities.forEach((entity, row) => {
        if (entity !== 0) expect(view.row(entity)).toBe(row);
      });
      for (const { entity } of view.removed) expect(view.row(entity)).toBe(-1);
    }
  });

  test("takes nothing of a frame that is cut, and goes on with the whole one", () => {
    frames.forEach((frame, index) => {
      for (let cut = 0; cut < frame.length; cut += Math.max(1, frame.length >> 6)) {
        expect(() => view.apply(frame.subarray(0, cut))).toThrow(FrameError);
      }
      if (index > 0) expectState(view, states[index - 1]);
      view.apply(frame);
      expectState(view, states[index]);
    });
  });

  test("is an error or a view, whatever byte is wrong", () => {
    const wrong = (frame: Uint8Array, at: number, by: number): Uint8Array => {
      const copy = frame.slice();
      copy[at] ^= by;
      return copy;
    };
    for (const [index, frame] of frames.slice(0, 8).entries()) {
      for (let at = 0; at < frame.length; at += at < 60 ? 1 : 7) {
        const other = ViewWorld.open(schema, { rowsMax: 4096 });
        for (const before of frames.slice(0, index)) other.apply(before);
        try {
          other.apply(wrong(frame, at, 1 << (at % 8)));
          valuesOf(other);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }
    }
  });

  test("says which tick is missing", () => {
    view.apply(frames[0]);
    expect(() => view.apply(frames[2])).toThrow("the frame of tick 3 builds on tick 2, but tick 1 is held");
    view.apply(frames[1]);
  });

  test("notices columns that are not the host's, and takes only a snapshot then", () => {
    // Every third frame has a hash, at the tenth byte.
    const hashed = frames.findIndex((frame) => (frame[7] & 3) === 2);
    for (const frame of frames.slice(0, hashed)) view.apply(frame);
    const proven = view.proven;
    const bad = frames[hashed].slice();
    bad[10] ^= 1;
    expect(() => view.apply(bad)).toThrow("the columns are not the host's");
    expect(view.proven).toBe(proven);
    expect(() => view.apply(frames[hashed + 1])).toThrow(FrameError);
    const snapshot = frames.findIndex((frame, index) => index > hashed && (frame[7] & 1) === 1);
    view.apply(frames[snapshot]);
    expect(view.proven).toBe(states[snapshot].tick);
    expectState(view, { ...states[snapshot], removed: view.removed.map(({ entity, row, why }) => [entity, row, why]) });

    const trusting = ViewWorld.open(schema, { verify: false });
    for (const frame of frames.slice(0, hashed)) trusting.apply(frame);
    expect(trusting.apply(bad).tick).toBe(states[hashed].tick);
  });

  test("refuses a frame of another schema", () => {
    const other = frames[0].slice();
    other[3] ^= 1;
    expect(() => view.apply(other)).toThrow("another schema than the stream was opened with");
  });

  test("refuses bytes after the end", () => {
    expect(() => view.apply(Uint8Array.from([...frames[0], 0]))).toThrow("bytes after the end of the frame");
    expect(view.tick).toBeUndefined();
  });

  test("refuses more rows than it is told to allow", () => {
    expect(() => ViewWorld.open(schema, { rowsMax: 10 }).apply(frames[0])).toThrow("at most 10 are allowed");
  });

  test("gives typed columns and values", () => {
    const Position = component("Position", { x: "f32", y: "f64", z: "f32" });
    const Body = component("Body", { alive: "bool", id: "u64" });
    for (const frame of frames.slice(0, 3)) view.apply(frame);
    const { x, y } = view.get(Position);
    expect(x).toBeInstanceOf(Float32Array);
    expect(y).toBeInstanceOf(Float64Array);
    const row = states[2].values[1][0].findIndex((value) => value !== null);
    const body = view.read(Body, view.entity(row));
    expect(typeof body?.alive).toBe("boolean");
    expect(body?.id.toString()).toBe(states[2].values[1][7][row]);
    expect(view.read(Position, view.entity(row))?.x).toBe(x[row]);
    expect(view.read(Position, 1)).toBeUndefined();

    const { steps, step } = view.steps(Position, "x") ?? { steps: [], step: 0 };
    expect(step).toBe(1 / 32);
    expect(Array.from(steps, (code) => code * step)).toEqual([...x]);
    expect(view.steps(Position, "z")).toBeUndefined();
  });

  test("says which component or field is not shown", () => {
    expect(() => view.get(component("Nothing", { x: "f32" }))).toThrow("the view does not show a component `Nothing`");
    expect(() => view.get(component("Position", { w: "f32" }))).toThrow("the view does not show a field `Position.w`");
    expect(() => view.get(component("Position", { x: "f64" }))).toThrow("`Position.x` is f32, not f64");
    expect(view.column("Nothing", "x")).toBeUndefined();
    expect(view.changed("Nothing").length).toBe(0);
  });
});

test.each([
  ["hold", 0],
  ["hold", 100],
  ["linear", 0],
] as const)("values follow their integers over many rows: %s, %i replaced", (predictor, churn) => {
  const view = ViewWorld.open(largeSchema(predictor).message);
  let seed = 1;
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (const frame of largeFrames({ rows: 5000, width: 7, count: 6, predictor, random, churn })) {
    view.apply(frame);
    for (const field of ["latitude", "longitude"]) {
      const { steps, step } = view.steps("Position", field) ?? { steps: new Int32Array(0), step: 0 };
      expect(view.column("Position", field)).toEqual(Float32Array.from(steps, (code) => code * step));
    }
  }
  expect(view.length).toBe(5000);
});

test("updates need no new buffers after the first", () => {
  const host = new FrameHost();
  const view = ViewWorld.open(host.schema);
  const rows = 5000;
  const values = (by: number): number[] => Array.from({ length: rows }, (_, row) => row * by);
  view.apply(host.snapshot(values(1), values(0)));
  const updates = Array.from({ length: 40 }, (_, at) => host.frame(values(at), values(-at)));
  const show = (frame: Uint8Array): number => view.apply(frame).tick + view.get(Body).x[rows - 1];
  const Body = component("Body", { x: "f32" });
  for (const frame of updates.slice(0, 5)) show(frame);
  const before = process.memoryUsage().arrayBuffers;
  for (const frame of updates.slice(5)) show(frame);
  expect(process.memoryUsage().arrayBuffers).toBeLessThanOrEqual(before);
  expect(view.get(Body).x[3]).toBe(117);
});

describe("a schema", () => {
  test("is refused when it is cut, of another version, or changed", () => {
    for (let cut = 0; cut < schema.length; cut++) {
      expect(() => ViewWorld.open(schema.subarray(0, cut))).toThrow(FrameError);
    }
    for (let at = 0; at < schema.length; at++) {
      const copy = schema.slice();
      copy[at] ^= 4;
      expect(() => ViewWorld.open(copy)).toThrow(FrameError);
    }
    const newer = schema.slice();
    newer[1] = 9;
    expect(() => ViewWorld.open(newer)).toThrow("version 9 of the format, this is version 1");
  });
});
