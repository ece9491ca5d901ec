/** Modules of an app: what they record of changes, and what they undo. */
import { describe, expect, test } from "vitest";
import { App, defineModule } from "../src/app/modules.js";
import type { Change } from "../src/app/tracker.js";
import { applyPatches } from "../src/client/index.js";
import type { Patch } from "../src/client/mirror/message.js";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Runs changes on a module, and follows it by its patches. */
class Bench {
  readonly changes: Change[][] = [];
  readonly #app: App;
  readonly #target: { root: Json; act(change: (root: never) => unknown): unknown };
  mirror: unknown;

  constructor(root: Json) {
    const target = {
      root,
      act(change: (root: never) => unknown) {
        return change(this.root as never);
      },
    };
    defineModule(target, { name: "m", state: ["root"], actions: ["act"] });
    this.#app = new App([target], {}, (changes) => this.changes.push(changes));
    this.#target = target;
    this.mirror = { m: this.state };
  }

  get state(): unknown {
    return JSON.parse(this.#app.text("m"));
  }

  /** Runs a change, and gives its patches. */
  act<T>(change: (root: T) => unknown): Patch[] {
    const before = this.changes.length;
    this.#target.act(change as (root: never) => unknown);
    const texts = this.changes.slice(before).flat();
    const patches = texts.flatMap(({ patches }) => JSON.parse(patches) as Patch[]);
    if (patches.length > 0) this.mirror = applyPatches(this.mirror, patches);
    expect(this.mirror).toEqual({ m: this.state });
    return patches;
  }
}

describe("patches", () => {
  test("a scalar that is written again and again is one patch, and none if it ends as it was", () => {
    const bench = new Bench({ n: 1, text: "a" });
    const loop = (root: { n: number }, times: number): void => {
      for (let i = 0; i < times; i++) root.n += 1;
    };
    expect(bench.act((root: { n: number }) => loop(root, 1000))).toEqual([
      { op: "replace", path: ["m", "root", "n"], value: 1001 },
    ]);
    expect(bench.act((root: { n: number }) => ((root.n += 1), (root.n -= 1)))).toEqual([]);
    expect(bench.act((root: { n: unknown }) => (root.n = NaN))).toEqual([
      { op: "replace", path: ["m", "root", "n"], value: null },
    ]);
  });

  test("what is said is the value at that time", () => {
    const bench = new Bench({ list: [] });
    bench.act((root: { list: number[]; other: { x: number } }) => {
      root.list = [];
      root.list.push(1);
      root.other = { x: 1 };
      root.other.x = 2;
    });
    expect(bench.state).toEqual({ root: { list: [1], other: { x: 2 } } });
  });

  test("a part that moved is found, and one that was taken out is nobody's", () => {
    const bench = new Bench(Array.from({ length: 50 }, (_, id) => ({ id })));
    bench.act((root: { id: number }[]) => {
      const kept = root[40];
      const [gone] = root.splice(3, 2);
      kept.id = -1;
      gone.id = -2;
      expect(root.indexOf(kept)).toBe(38);
    });
    expect(bench.act((root: { id: number }[]) => root.find(({ id }) => id === -1)!.id++)).toEqual([
      { op: "replace", path: ["m", "root", 38, "id"], value: 0 },
    ]);
  });

  test("what is put in is copied", () => {
    const bench = new Bench({});
    const mine = { deep: [1] };
    bench.act((root: Record<string, typeof mine>) => {
      root.a = mine;
      root.b = root.a;
      mine.deep.push(2);
      root.b.deep.push(3);
    });
    expect(bench.state).toEqual({ root: { a: { deep: [1] }, b: { deep: [1, 3] } } });
  });

  test.each([
    ["a prototype's key", (root: object) => Object.assign(root, JSON.parse('{"x":{"__proto__":1}}')), "Error"],
    ["a symbol", (root: object) => Object.assign(root, { [Symbol()]: 1 }), "TypeError"],
    ["an accessor", (root: object) => Object.defineProperty(root, "x", { get: () => 1 }), "TypeError"],
    ["a frozen member", (root: object) => Object.defineProperty(root, "x", { value: 1, writable: false }), "TypeError"],
    ["a map", (root: Record<string, unknown>) => (root.x = new Map()), "TypeError"],
    ["a bigint", (root: Record<string, unknown>) => (root.x = 1n), "TypeError"],
    ["a hole", (root: { list: number[] }) => (root.list[7] = 1), "RangeError"],
    ["a longer list", (root: { list: number[] }) => (root.list.length = 9), "RangeError"],
    ["a name in a list", (root: { list: number[] & { x?: number } }) => (root.list.x = 1), "TypeError"],
  ])("%s is refused, and what came before it is undone", (_, change, name) => {
    const bench = new Bench({ list: [1, 2, 3] });
    const before = bench.state;
    const act = (): unknown =>
      bench.act((root: { list: number[] }) => {
        root.list.reverse();
        root.list.shift();
        root.list[0] = 9;
        delete (root as Partial<typeof root>).list;
        root.list = [5, 6, 7];
        change(root as never);
      });
    expect(act).toThrowError(expect.objectContaining({ name }));
    expect(bench.state).toEqual(before);
    expect(bench.changes).toEqual([]);
  });
});

/** Random numbers, the same in every run. */
function random(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

test("whatever an app does, the mirror follows, and what throws is as if it had never been", () => {
  for (let seed = 1; seed <= 150; seed++) {
    const next = random(seed);
    const value = (depth: number): Json => {
      const kind = next(depth === 0 ? 2 : 4);
      if (kind === 0) return next(5);
      if (kind === 1) return ["a", "b", null, true][next(4)]!;
      if (kind === 2) return Array.from({ length: next(4) }, () => value(depth - 1));
      return Object.fromEntries(Array.from({ length: next(4) }, () => ["pqrs"[next(4)]!, value(depth - 1)]));
    };
    const bench = new Bench({ p: [], q: {} });
    const held: unknown[] = [];
    const mutate = (root: unknown): void => {
      // Parts that were seen before are written to wherever they are now.
      let at = next(4) === 0 && held.length > 0 ? held[next(held.length)] : root;
      for (let step = next(4); step > 0; step--) {
        const keys = Object.keys(at as object);
        const inner = keys.length > 0 ? (at as Record<string, unknown>)[keys[next(keys.length)]!] : undefined;
        if (typeof inner !== "object" || inner === null) break;
        at = inner;
      }
      if (next(3) === 0) held.push(at);
      if (Array.isArray(at)) {
        const list = at as Json[];
        const index = next(list.length + 1);
        switch (next(11)) {
          case 0: return void list.push(value(2), value(1));
          case 1: return void list.pop();
          case 2: return void list.shift();
          case 3: return void list.unshift(value(2));
          case 4: return void list.splice(index, next(3), value(2));
          case 5: return void list.sort();
          case 6: return void list.reverse();
          case 7: return void (list[index] = value(2));
          case 8: return void (list.length = index);
          case 9: return void list.fill(value(1), index);
          default: return void list.copyWithin(0, index);
        }
      }
      const key = "pqrs"[next(4)]!;
      if (next(4) === 0) delete (at as Record<string, Json>)[key];
      else (at as Record<string, Json>)[key] = next(6) === 0 ? (root as Json) : value(2);
    };
    for (let turn = 0; turn < 30; turn++) {
      const fails = next(4) === 0;
      const before = bench.state;
      const act = (): unknown =>
        bench.act((root) => {
          for (let count = next(6); count > 0; count--) mutate(root);
          // State that doubles with every copy of itself ends the run.
          if (fails || JSON.stringify(root).length > 20_000) throw new Error("undo");
        });
      try {
        act();
      } catch (error) {
        expect((error as Error).message, `seed ${seed}`).toBe("undo");
        expect(bench.state, `seed ${seed}`).toEqual(before);
      }
    }
  }
});
