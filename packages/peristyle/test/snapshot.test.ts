/** Snapshots and patches of worlds that are not ours. */
import { MessageChannel } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import {
  allocColumns,
  applyPatches,
  buildSnapshot,
  canUseSAB,
  commitSnapshot,
  isChanged,
  markChanged,
  type WorldSnapshot,
} from "../src/snapshot/index.js";

interface Type {
  readonly id: number;
  readonly name: string;
}
const Pos: Type = { id: 4, name: "Pos" };
const Vel: Type = { id: 9, name: "Vel" };

/** A world as somebody writes one in an evening. */
class TinyWorld {
  readonly rows = new Map<number, Map<Type, unknown>>();
  #next = 1;

  create(...values: readonly (readonly [Type, unknown])[]): number {
    this.rows.set(this.#next, new Map(values));
    return this.#next++;
  }
  makeQuery({ all }: { all: Type[] }): readonly Type[] {
    return all;
  }
  *iter(query: readonly Type[], ...types: Type[]): Generator<[number, unknown, ...unknown[]]> {
    for (const [entity, row] of this.rows) {
      if (query.every((type) => row.has(type)))
        yield [entity, (type: Type) => row.get(type), ...types.map((type) => row.get(type))];
    }
  }
  get(entity: number, type: Type): unknown {
    return this.rows.get(entity)?.get(type);
  }
  set(entity: number, type: Type, value: unknown): void {
    this.rows.get(entity)!.set(type, value);
  }
  isAlive(entity: number): boolean {
    return this.rows.has(entity);
  }
}

const spec = {
  layouts: [
    { cid: 4, fields: { x: "f32", y: "f32" } },
    { cid: 9, fields: { x: "f32", y: "f32", at: { tick: "u32" } } },
  ],
  types: { 4: Pos, 9: Vel },
} as const;

function populated(): { world: TinyWorld; entities: number[] } {
  const world = new TinyWorld();
  const entities = Array.from({ length: 20 }, (_, i) =>
    i % 5 === 4
      ? world.create([Pos, { x: i, y: 0 }])
      : world.create([Pos, { x: i, y: -i, name: `e${i}` }], [Vel, { x: 1, y: 2, at: { tick: i } }]),
  );
  return { world, entities };
}
const query = { all: [Pos, Vel] };

test("a world's rows as columns, and back what was marked", () => {
  const { world, entities } = populated();
  const { snap, transfer } = buildSnapshot(world, spec, () => query);
  expect(snap).toMatchObject({ shared: canUseSAB(), rows: 16 });
  expect(transfer).toEqual([]);
  expect([...snap.eids]).toEqual(entities.filter((_, i) => i % 5 !== 4));
  const pos = snap.comps[4];
  const vel = snap.comps[9];
  expect([...(vel.fields.at_tick as Uint32Array)].slice(0, 6)).toEqual([0, 1, 2, 3, 5, 6]);
  for (let i = 0; i < snap.rows; i++) {
    (pos.fields.x as Float32Array)[i] += (vel.fields.x as Float32Array)[i] * 10;
    if (i % 2 === 0) markChanged(pos.changed, i);
  }
  expect([isChanged(pos.changed, 0), isChanged(pos.changed, 1)]).toEqual([true, false]);
  // One that dies meanwhile, and one that loses the component.
  world.rows.delete(entities[0]);
  world.rows.get(entities[2])!.delete(Pos);
  expect(commitSnapshot(world, spec, snap)).toEqual({ written: 6, skipped: 2 });
  expect(world.get(entities[5], Pos)).toEqual({ x: 15, y: -5, name: "e5" });
  expect(world.get(entities[1], Pos)).toEqual({ x: 1, y: -1, name: "e1" });
  expect(world.isAlive(entities[0])).toBe(false);
  expect(world.get(entities[2], Pos)).toBeUndefined();
});

test("a snapshot that went to a worker and came back is committed", async () => {
  const { world, entities } = populated();
  const { snap } = buildSnapshot(world, spec, query);
  const { port1, port2 } = new MessageChannel();
  const back = await new Promise<WorldSnapshot>((resolve) => {
    port1.on("message", resolve);
    port2.on("message", (there: WorldSnapshot) => {
      (there.comps[4].fields.y as Float32Array)[3] = 42;
      markChanged(there.comps[4].changed, 3);
      port2.postMessage(there);
    });
    port1.postMessage(snap);
  });
  port1.close();
  expect(commitSnapshot(world, spec, back)).toEqual({ written: 1, skipped: 0 });
  expect(world.get(entities[3], Pos)).toEqual({ x: 3, y: 42, name: "e3" });
});

test("columns that are gone, missing or of another length are refused", () => {
  const { world } = populated();
  const { snap } = buildSnapshot(world, spec, query);
  const own = (changes: object): WorldSnapshot => ({
    ...snap,
    shared: false,
    comps: { 4: { ...allocColumns(16, spec.layouts[0], false), ...changes } },
  });
  const committing = (snap: WorldSnapshot) => () => commitSnapshot(world, spec, snap);
  const moved = own({});
  structuredClone(moved.comps[4].fields.x, { transfer: [moved.comps[4].fields.x.buffer as ArrayBuffer] });
  expect(committing(moved)).toThrow(expect.objectContaining({ name: "SnapshotError", code: "snapshot-stale" }));
  expect(committing(own({ fields: {} }))).toThrow(/has no column `x`/);
  expect(committing({ ...own({ ...allocColumns(15, spec.layouts[0], false) }) })).toThrow(/has 15 rows in `x`, not 16/);
  expect(() => buildSnapshot(world, { ...spec, types: { 4: Pos } }, query)).toThrow(/component 9/);
  const strange = { ...spec, layouts: [{ cid: 4, fields: { x: "f16" } }] };
  expect(() => buildSnapshot(world, strange as never, query)).toThrow(/unknown scalar `f16`/);
  world.rows.set("name" as never, world.rows.get(1)!);
  expect(() => buildSnapshot(world, spec, query)).toThrow(expect.objectContaining({ code: "snapshot-world" }));
});

test("columns are allocated for whole numbers of rows", () => {
  expect(allocColumns(0, { x: "f32" }, false).fields.x.length).toBe(0);
  for (const rows of [-1, 1.5, NaN, 2 ** 32]) {
    expect(() => allocColumns(rows, { x: "f32" }, false)).toThrow(expect.objectContaining({ code: "snapshot-rows" }));
  }
  const { fields, changed } = allocColumns(9, { a: "u8", b: ["f64", 2], c: { d: "bool" } }, true);
  expect(Object.keys(fields)).toEqual(["a", "b_0", "b_1", "c_d"]);
  expect([fields.b_1.length, changed.length, fields.a.buffer === changed.buffer]).toEqual([9, 8, true]);
});

describe("patches", () => {
  test("are applied as far as the world can, and the others told", () => {
    const { world, entities } = populated();
    const [first, second] = entities;
    world.rows.delete(second);
    const types = { 4: Pos, 9: Vel };
    const { applied, skipped } = applyPatches(
      world,
      [
        { kind: "set", eid: first, cid: 4, value: { x: 8, y: 8 } },
        { kind: "set", eid: second, cid: 4, value: { x: 9, y: 9 } },
        { kind: "set", eid: first, cid: 5, value: 1 },
        { kind: "destroy", eid: first },
        { kind: "swap", eid: first } as never,
        null as never,
      ],
      types,
    );
    expect(applied).toBe(1);
    expect(world.get(first, Pos)).toEqual({ x: 8, y: 8 });
    expect(skipped.map(({ name, code }) => [name, code])).toEqual([
      ["WorldPatchError", "patch-entity"],
      ["WorldPatchError", "patch-component"],
      ["WorldPatchError", "patch-kind"],
      ["WorldPatchError", "patch-kind"],
      ["WorldPatchError", "patch-kind"],
    ]);
    expect(skipped[0].message).toBe(`patch 1: entity ${second} does not live`);
  });
});
