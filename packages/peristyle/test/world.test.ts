/** Worlds: entities, components, queries, commands, ticks. */
import { describe, expect, test } from "vitest";
import {
  applyPatches,
  ComponentError,
  EntityError,
  makeBlueprint,
  QueryError,
  spawn,
  TickError,
  ValueError,
  World,
  type Entity,
} from "../src/index.js";
import { isChanged, markChanged } from "../src/snapshot/index.js";

interface Vector {
  x: number;
  y: number;
}

function setup() {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" }, defaults: () => ({ x: 1 }) });
  const Name = world.defineComponent<string>({ name: "Name", defaults: () => "nobody" });
  return { world, Position, Velocity, Name };
}

/** The error that a function throws. */
function thrown(run: () => unknown): { readonly code?: string; readonly message: string } {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

describe("components", () => {
  test("in columns speak objects, and round as their columns do", () => {
    const { world, Position } = setup();
    const e = world.createEntity({ [Position.id]: { x: 0.1, y: 2 } });
    expect(world.get(e, Position)).toEqual({ x: Math.fround(0.1), y: 2 });
    world.set(e, Position, { x: 3, y: 4 });
    expect(world.get(e, Position)).toEqual({ x: 3, y: 4 });
    // What was given is a copy.
    world.get(e, Position)!.x = 99;
    expect(world.get(e, Position)).toEqual({ x: 3, y: 4 });
  });

  test("take what was left out from their defaults, then zeros", () => {
    const { world, Position, Velocity } = setup();
    const e = world.createEntity();
    world.addComponent(e, Velocity);
    world.addComponent(e, Position, { y: 5 });
    expect(world.get(e, Velocity)).toEqual({ x: 1, y: 0 });
    expect(world.get(e, Position)).toEqual({ x: 0, y: 5 });
  });

  test("hold nested structs, arrays, booleans and wide integers in columns", () => {
    const world = new World();
    const Body = world.defineComponent({
      name: "Body",
      fields: { pos: { x: "f64", y: "f64" }, marks: ["u8", 3], alive: "bool", serial: "u64" },
    });
    const value = { pos: { x: 1.5, y: -2 }, marks: [1, 2, 3], alive: true, serial: 2n ** 60n };
    const e = world.createEntity({ [Body.id]: value });
    expect(world.get(e, Body)).toEqual(value);
    const [view] = world.views(world.makeQuery({ all: [Body] }));
    const columns = view.columns(Body);
    expect(Object.keys(columns)).toEqual(["pos_x", "pos_y", "marks_0", "marks_1", "marks_2", "alive", "serial"]);
    expect(columns.marks_2[0]).toBe(3);
    expect(columns.serial[0]).toBe(2n ** 60n);
  });

  test("without fields hold any value, the same object", () => {
    const { world } = setup();
    const Any = world.defineComponent<unknown>({ name: "Any" });
    const value = { deep: [1, { two: 2 }], f: () => 1 };
    const e = world.createEntity({ [Any.id]: value });
    expect(world.get(e, Any)).toBe(value);
    world.set(e, Any, null);
    expect(world.get(e, Any)).toBe(null);
    expect(world.has(e, Any)).toBe(true);
  });

  test("come and go, and the others of the entity stay", () => {
    const { world, Position, Velocity, Name } = setup();
    const e = world.createEntity({ [Position.id]: { x: 1, y: 2 }, [Name.id]: "one" });
    const other = world.createEntity({ [Position.id]: { x: 8, y: 9 }, [Name.id]: "two" });
    world.addComponent(e, Velocity, { x: 3, y: 4 });
    expect([world.has(e, Velocity), world.has(other, Velocity)]).toEqual([true, false]);
    expect(world.get(other, Velocity)).toBeUndefined();
    expect(world.removeComponent(e, Position)).toBe(true);
    expect(world.removeComponent(e, Position)).toBe(false);
    expect(world.get(e, Velocity)).toEqual({ x: 3, y: 4 });
    expect(world.get(e, Name)).toBe("one");
    expect(world.get(other, Position)).toEqual({ x: 8, y: 9 });
  });

  test("tell who asked of being attached and detached, with the value", () => {
    const told: string[] = [];
    const world = new World();
    const C = world.defineComponent({
      name: "C",
      fields: { n: "i32" },
      onAdd: (w, e, { n }) => told.push(`add ${n} ${w.isAlive(e)}`),
      onRemove: (w, e, { n }) => told.push(`remove ${n} ${w.isAlive(e)}`),
    });
    const O = world.defineComponent<string>({ name: "O", onRemove: (_, __, v) => told.push(`remove ${v}`) });
    const e = world.createEntity({ [C.id]: { n: 1 }, [O.id]: "a" });
    world.set(e, C, { n: 2 });
    world.removeComponent(e, C);
    world.addComponent(e, C, { n: 3 });
    world.destroyEntity(e);
    world.destroyEntities(world.createEntities(2, new Map([[C.id, (n: number) => ({ n })]])));
    expect(told).toEqual([
      "add 1 true",
      "remove 2 true",
      "add 3 true",
      "remove 3 true",
      "remove a",
      "add 0 true",
      "add 1 true",
      "remove 0 true",
      "remove 1 true",
    ]);
  });

  test("whose hook throws when many go keep their entity, and the others go", () => {
    const { world } = setup();
    const Picky = world.defineComponent<number>({
      name: "Picky",
      onRemove: (_, __, n) => {
        if (n === 1) throw new TypeError("not me");
      },
    });
    const entities = world.createEntities(3, new Map([[Picky.id, (n: number) => n]]));
    expect(thrown(() => world.destroyEntities(entities)).message).toBe("not me");
    expect(entities.map((e) => world.isAlive(e) && world.get(e, Picky))).toEqual([false, 1, false]);
  });

  test("that are wrongly defined are refused, by name and field", () => {
    const { world } = setup();
    const define = (options: object) => () => world.defineComponent(options as never);
    expect(define({ name: "" })).toThrow(ComponentError);
    expect(thrown(define({ name: "Position", fields: { x: "f32" } }))).toMatchObject({ code: "component-taken" });
    expect(thrown(define({ name: "A", fields: { x: "f16" } }))).toMatchObject({
      code: "component-scalar",
      message: expect.stringContaining("`A`, field `x`: unknown scalar `f16`"),
    });
    expect(thrown(define({ name: "A", fields: {} }))).toMatchObject({ code: "component-fields" });
    expect(thrown(define({ name: "A", fields: { v: ["f32", 0] } }))).toMatchObject({ code: "component-fields" });
    expect(thrown(define({ name: "A", fields: { a: { b: "f32" }, a_b: "f32" } }))).toMatchObject({ code: "component-fields" });
    for (const name of ["A\nx:f32", "A\r", "A\0", "A\u2028", "__proto__"]) {
      expect(thrown(define({ name }))).toMatchObject({ name: "ComponentError", code: "component-name" });
      expect(thrown(() => world.defineResource({ name, fields: { x: "f32" }, rows: 1 }))).toMatchObject({ code: "component-name" });
    }
    for (const fields of [{ "x:f32\ny": "f32" }, { ["__proto__"]: "f32" }, { __proto: { _: "f32" } }]) {
      expect(thrown(define({ name: "A", fields }))).toMatchObject({ code: "component-fields" });
    }
    let deep: object | string = "f32";
    for (let i = 0; i < 40; i++) deep = { d: deep };
    expect(thrown(define({ name: "A", fields: { deep } }))).toMatchObject({ code: "component-fields" });
    // None of these left anything behind.
    expect(world.defineComponent({ name: "A", fields: { x: "f32" } }).id).toBe(3);
  });
});

describe("values that do not fit", () => {
  test("are refused before anything is written", () => {
    const { world, Position, Name } = setup();
    const e = world.createEntity({ [Position.id]: { x: 1, y: 2 } });
    const { size } = world;
    expect(thrown(() => world.set(e, Position, { x: 5, y: "6" } as never))).toMatchObject({
      code: "value-type",
      message: expect.stringContaining("`Position.y` must be a number"),
    });
    expect(thrown(() => world.set(e, Position, { x: 5, y: 6, z: 7 } as never))).toMatchObject({
      code: "value-field",
      message: expect.stringContaining("no field `z`"),
    });
    expect(thrown(() => world.set(e, Position, { x: 5 } as never))).toMatchObject({ code: "value-field" });
    expect(thrown(() => world.set(e, Position, null as never))).toBeInstanceOf(ValueError);
    expect(thrown(() => world.createEntity({ [Name.id]: "a", [Position.id]: { q: 1 } }))).toBeInstanceOf(ValueError);
    expect(thrown(() => world.createEntity({ 99: 1 }))).toMatchObject({ code: "component-foreign" });
    expect(thrown(() => world.createEntities(2, new Map([[Position.id, (i: number) => (i ? { x: "" } : {})]])))).toBeInstanceOf(
      ValueError,
    );
    expect(world.get(e, Position)).toEqual({ x: 1, y: 2 });
    expect(world.size).toBe(size);
  });
});

describe("entities", () => {
  test("that were destroyed are gone for good, whoever has their index afterwards", () => {
    const { world, Position } = setup();
    const e = world.createEntity({ [Position.id]: { x: 1, y: 2 } });
    world.destroyEntity(e);
    expect(world.isAlive(e)).toBe(false);
    for (let i = 0; i < 3; i++) {
      world.beginTick();
      world.createEntity({ [Position.id]: { x: 9, y: 9 } });
      world.endTick();
    }
    expect(world.isAlive(e)).toBe(false);
    for (const ask of [
      () => world.get(e, Position),
      () => world.set(e, Position, { x: 0, y: 0 }),
      () => world.has(e, Position),
      () => world.addComponent(e, Position),
      () => world.removeComponent(e, Position),
      () => world.destroyEntity(e),
    ]) {
      expect(thrown(ask)).toBeInstanceOf(EntityError);
      expect(thrown(ask)).toMatchObject({ code: "entity-destroyed" });
    }
  });

  test("take ids of components as keys, and nothing else that a list has", () => {
    const { world, Position } = setup();
    const value = { x: 1, y: 2 };
    for (const json of [`{"length":1}`, `{"__proto__":1}`, `{"":{}}`, `{"00":{}}`, `{"0.0":{}}`, `{"-1":{}}`, `{"map":1}`, `{"9":1}`]) {
      const init = JSON.parse(json) as Record<number, unknown>;
      expect(thrown(() => world.createEntity(init))).toMatchObject({ name: "ComponentError", code: "component-foreign" });
      const blueprint = makeBlueprint("b", [{ c: Position }]);
      expect(thrown(() => spawn(world, blueprint, 1, init))).toMatchObject({ code: "component-foreign" });
    }
    expect(world.size).toBe(0);
    // Nor after one whose ids are as many.
    world.createEntity({ [Position.id]: value });
    expect(thrown(() => world.createEntity({ 9: 1 }))).toMatchObject({ code: "component-foreign" });
    expect(thrown(() => world.createEntity({ [Position.id]: value, map: 1 } as never))).toMatchObject({ code: "component-foreign" });
    expect(world.get(world.createEntity(JSON.parse(`{"${Position.id}":{"x":1,"y":2}}`)), Position)).toEqual(value);
  });

  test("are safe integers, and nothing else is one", () => {
    const { world, Position } = setup();
    const e = world.createEntity();
    expect(Number.isSafeInteger(e)).toBe(true);
    for (const none of [0, 1, -1, NaN, 0.5, Infinity, undefined, "7"]) {
      expect(world.isAlive(none as Entity)).toBe(false);
      expect(thrown(() => world.get(none as Entity, Position))).toMatchObject({ code: "entity-invalid" });
    }
  });

  test("belong to their world's components", () => {
    const { world } = setup();
    const other = new World();
    const Foreign = other.defineComponent({ name: "Foreign", fields: { x: "f32" } });
    const e = world.createEntity();
    expect(thrown(() => world.addComponent(e, Foreign))).toBeInstanceOf(ComponentError);
    expect(thrown(() => world.makeQuery({ all: [Foreign] }))).toBeInstanceOf(QueryError);
  });

  test("by the hundred thousand keep their values, and full chunks stay where they are", () => {
    const { world, Position } = setup();
    const query = world.makeQuery({ all: [Position] });
    const make = (count: number, from: number) =>
      world.createEntities(count, new Map([[Position.id, (i: number) => ({ x: from + i, y: -1 })]]));
    let entities = make(40_000, 0);
    const offsets = () => Array.from(world.views(query), (view) => view.columns(Position).x.byteOffset);
    const before = offsets();
    entities = entities.concat(make(160_000, 40_000));
    expect(offsets().slice(0, 2)).toEqual(before.slice(0, 2));
    expect(world.count(query)).toBe(200_000);
    for (const i of [0, 16_383, 16_384, 39_999, 40_000, 199_999]) {
      expect(world.get(entities[i], Position)).toEqual({ x: i, y: -1 });
    }
    expect(world.destroyEntities(entities.slice(0, 150_000))).toBe(150_000);
    expect(world.destroyEntities(entities.slice(0, 150_000))).toBe(0);
    expect(world.get(entities[150_000], Position)).toEqual({ x: 150_000, y: -1 });
    expect(world.size).toBe(50_000);
  });
});

describe("queries", () => {
  test("show who has all, any and none", () => {
    const { world, Position, Velocity, Name } = setup();
    const p = world.createEntity({ [Position.id]: { x: 1, y: 1 } });
    const pv = world.createEntity({ [Position.id]: { x: 2, y: 2 }, [Velocity.id]: { x: 3, y: 3 } });
    const vn = world.createEntity({ [Velocity.id]: { x: 4, y: 4 }, [Name.id]: "vn" });
    const show = (spec: Parameters<World["makeQuery"]>[0]) => Array.from(world.iter(world.makeQuery(spec)), ([e]) => e).sort();
    expect(show({ all: [Position] })).toEqual([p, pv].sort());
    expect(show({ all: [Position, Velocity] })).toEqual([pv]);
    expect(show({ any: [Position, Velocity] })).toEqual([p, pv, vn].sort());
    expect(show({ all: [Velocity], none: [Name] })).toEqual([pv]);
    expect(world.makeQuery({ all: [Position] })).toBe(world.makeQuery({ all: [Position] }));
    expect(() => world.makeQuery({ some: [Position] } as never)).toThrow(QueryError);
  });

  test("give typed values, and any component by the getter", () => {
    const { world, Position, Velocity, Name } = setup();
    world.createEntity({ [Position.id]: { x: 1, y: 2 }, [Velocity.id]: { x: 3, y: 4 }, [Name.id]: "a" });
    world.createEntity({ [Position.id]: { x: 5, y: 6 }, [Velocity.id]: { x: 7, y: 8 } });
    const rows: unknown[] = [];
    for (const [e, get, p, v, n] of world.iter(world.makeQuery({ all: [Position, Velocity] }), Position, Velocity, Name)) {
      rows.push([p.x + v.y, n, get(Name), get(Position), world.isAlive(e)]);
    }
    expect(rows.sort()).toEqual([
      [13, undefined, undefined, { x: 5, y: 6 }, true],
      [5, "a", "a", { x: 1, y: 2 }, true],
    ].sort());
  });

  test("show each entity once, whatever a loop does to the others", () => {
    const { world, Position, Velocity } = setup();
    const entities = world.createEntities(40_000, new Map([[Position.id, (i: number) => ({ x: i, y: 0 })]]));
    const query = world.makeQuery({ all: [Position], none: [Velocity] });
    const seen = new Set<number>();
    for (const [e, , p] of world.iter(query, Position)) {
      expect(seen.has(p.x)).toBe(false);
      seen.add(p.x);
      if (p.x % 2 === 0 && p.x + 1 < 40_000 && world.isAlive(entities[p.x + 1])) world.destroyEntity(entities[p.x + 1]);
      if (p.x % 10 === 0) world.addComponent(e, Velocity);
      if (p.x % 100 === 0) world.createEntity({ [Position.id]: { x: -1, y: 0 } });
    }
    const odd = [...seen].filter((x) => x % 2 === 1);
    expect(seen.size - odd.length).toBe(20_000);
    expect(odd).toEqual([]);
  });

  test("that follow changes show what was written since they were gone through", () => {
    const { world, Position, Name } = setup();
    const [a, b, c] = world.createEntities(3, new Map<number, unknown>([[Position.id, undefined], [Name.id, "n"]]));
    const query = world.makeQuery({ all: [Position], changed: [Position] });
    const names = world.makeQuery({ changed: [Name] });
    const show = (q = query) => Array.from(world.iter(q), ([e]) => e);
    expect(show()).toEqual([a, b, c]);
    expect(show(names)).toEqual([a, b, c]);
    expect(show()).toEqual([]);
    world.set(b, Position, { x: 1, y: 1 });
    world.set(c, Name, "m");
    expect(show()).toEqual([b]);
    expect(show(names)).toEqual([c]);
    expect(show()).toEqual([]);
    // Rows that move take along that they changed.
    world.set(c, Position, { x: 2, y: 2 });
    world.destroyEntity(a);
    expect(show()).toEqual([c]);
    // A loop that breaks off loses nothing of what it did not get to.
    world.set(b, Position, { x: 3, y: 3 });
    world.set(c, Position, { x: 3, y: 3 });
    const first: Entity[] = [];
    for (const [e] of world.iter(query)) {
      first.push(e);
      break;
    }
    expect([...new Set([...first, ...show()])].sort()).toEqual([b, c].sort());
    expect(show()).toEqual([]);
  });

  test("added shows who came to have a component", () => {
    const { world, Position, Velocity } = setup();
    const a = world.createEntity({ [Position.id]: { x: 0, y: 0 } });
    const query = world.makeQuery({ added: [Velocity] });
    const show = () => Array.from(world.iter(query), ([e]) => e);
    expect(show()).toEqual([]);
    world.addComponent(a, Velocity);
    world.set(a, Velocity, { x: 1, y: 1 });
    expect(show()).toEqual([a]);
    world.set(a, Velocity, { x: 2, y: 2 });
    expect(show()).toEqual([]);
  });

  test("as views give typed arrays, whose marks count", () => {
    const { world, Position, Velocity } = setup();
    const entities = world.createEntities(
      20_000,
      new Map<number, unknown>([
        [Position.id, (i: number) => ({ x: i, y: 0 })],
        [Velocity.id, { x: 2, y: 0 }],
      ]),
    );
    const query = world.makeQuery({ all: [Position, Velocity] });
    const changed = world.makeQuery({ changed: [Position] });
    expect(Array.from(world.iter(changed)).length).toBe(20_000);
    for (const { rows, comps, eids } of world.views(query, [Position])) {
      const { x } = comps[Position.id].fields;
      expect(comps.Position.fields.x).toBe(x);
      expect(eids.length).toBe(rows);
      for (let i = 0; i < rows; i += 1000) {
        (x as Float32Array)[i] += 0.5;
        markChanged(comps[Position.id].changed, i);
      }
    }
    const shown = Array.from(world.iter(changed, Position), ([, , p]) => p.x);
    const rows = [...Array(17).keys()].map((i) => i * 1000).concat([16_384, 17_384, 18_384, 19_384]);
    expect(shown).toEqual(rows.map((row) => row + 0.5));
    expect(world.get(entities[1000], Position)).toEqual({ x: 1000.5, y: 0 });
    const [view] = world.views(query);
    expect(isChanged(view.comps.Position.changed, 0)).toBe(false);
  });

  test("do not let rows move while a view is looked at", () => {
    const { world, Position } = setup();
    world.createEntity({ [Position.id]: { x: 0, y: 0 } });
    for (const _ of world.views(world.makeQuery({ all: [Position] }))) {
      expect(thrown(() => world.createEntity())).toMatchObject({ code: "frame-running" });
    }
    expect(world.isAlive(world.createEntity())).toBe(true);
  });

  test("removals tell who lost a component", () => {
    const { world, Position } = setup();
    const [a, b, c] = world.createEntities(3, new Map([[Position.id, undefined]]));
    const removals = world.removals(Position);
    world.removeComponent(b, Position);
    world.destroyEntity(c);
    expect(removals.read()).toEqual({ entities: [b, c], missed: 0 });
    expect(removals.read()).toEqual({ entities: [], missed: 0 });
    expect(world.isAlive(a)).toBe(true);
  });
});

describe("ticks", () => {
  test("do not nest, and end only once", () => {
    const { world } = setup();
    expect(thrown(() => world.endTick())).toMatchObject({ code: "tick-none" });
    world.beginTick();
    expect(() => world.beginTick()).toThrow(TickError);
    world.endTick();
    expect(() => world.endTick()).toThrow(TickError);
    world.beginTick();
    world.endTick();
  });

  test("carry out commands at their end, or when flushed, in their order", () => {
    const { world, Position, Name } = setup();
    const e = world.createEntity({ [Position.id]: { x: 1, y: 1 } });
    const cmd = world.beginTick();
    const made = cmd.createEntity({ [Position.id]: { x: 7, y: 7 } });
    cmd.add(made, Name, "made");
    cmd.set(e, Position, { x: 2, y: 2 });
    cmd.remove(made, Position);
    expect([world.size, world.isAlive(made), world.get(e, Position)!.x]).toEqual([1, false, 1]);
    expect(thrown(() => world.get(made, Name))).toMatchObject({ code: "entity-provisional" });
    expect(cmd.flush()).toEqual({ applied: 4, skipped: [] });
    expect([world.size, world.get(made, Name), world.get(e, Position)!.x]).toEqual([2, "made", 2]);
    const real = world.resolve(made);
    expect(real).not.toBe(made);
    cmd.destroyEntity(made);
    world.endTick();
    expect(world.isAlive(real)).toBe(false);
  });

  test("rewrite provisional handles in the values of commands", () => {
    const world = new World();
    const Target = world.defineComponent({ name: "Target", fields: { who: "f64" } });
    const Group = world.defineComponent<{ members: Entity[] }>({ name: "Group" });
    const cmd = world.beginTick();
    const a = cmd.createEntity();
    const b = cmd.createEntity({ [Target.id]: { who: a }, [Group.id]: { members: [a] } });
    cmd.add(a, Target, { who: b });
    world.endTick();
    const [realA, realB] = [world.resolve(a), world.resolve(b)];
    expect(world.get(realB, Target)).toEqual({ who: realA });
    expect(world.get(realB, Group)).toEqual({ members: [realA] });
    expect(world.get(realA, Target)).toEqual({ who: realB });
  });

  test("skip commands for who is gone, and tell of them", () => {
    const { world, Position } = setup();
    const e = world.createEntity({ [Position.id]: { x: 1, y: 1 } });
    const cmd = world.beginTick();
    cmd.destroyEntity(e);
    cmd.set(e, Position, { x: 1, y: 1 });
    cmd.createEntity({ [Position.id]: { x: "no" } as never });
    cmd.createEntity({ [Position.id]: { x: 5, y: 5 } });
    const { applied, skipped } = world.endTick();
    expect(applied).toBe(2);
    expect(skipped.map(({ code }) => code)).toEqual(["patch-entity", "patch-value"]);
    expect(world.size).toBe(1);
  });

  test("end though hooks throw, and their other commands are carried out", () => {
    const { world, Position } = setup();
    const no = () => {
      throw new TypeError("no");
    };
    const Adds = world.defineComponent<number>({ name: "Adds", onAdd: no });
    const Removes = world.defineComponent<number>({ name: "Removes", onRemove: no });
    const Defaults = world.defineComponent<number>({ name: "Defaults", defaults: no });
    const e = world.createEntity({ [Removes.id]: 1 });
    let ticks = 0;
    world.onTick(() => ticks++);
    const cmd = world.beginTick();
    const made = cmd.createEntity({ [Adds.id]: 1 });
    cmd.add(made, Position, { x: 1, y: 2 });
    cmd.destroyEntity(e);
    cmd.add(e, Defaults);
    cmd.createEntity({ [Position.id]: { x: 5, y: 5 } });
    const { applied, skipped } = world.endTick();
    expect([applied, ticks]).toEqual([2, 1]);
    expect(skipped.map(({ message }) => message)).toEqual([
      "command `create`: TypeError: no",
      "command `destroy`: TypeError: no",
      "command `add`: TypeError: no",
    ]);
    expect(skipped[0].cause).toBeInstanceOf(TypeError);
    // The entity was there before its hook was told.
    expect(world.get(made, Position)).toEqual({ x: 1, y: 2 });
    expect(world.isAlive(e)).toBe(true);
    expect(world.beginTick().length).toBe(0);
  });
});

describe("patches", () => {
  test("name entities by handle or index, and nothing else by accident", () => {
    const { world, Position } = setup();
    const entities = world.createEntities(3, new Map([[Position.id, { x: 0, y: 0 }]]));
    const set = (eid: number, cid: unknown = Position.id) => ({ kind: "set", eid, cid, value: { x: eid, y: 0 } }) as never;
    const wrong = [1.7, -4294967295, -1, NaN, 2 ** 60].map((eid) => set(eid));
    const { applied, skipped } = applyPatches(world, [...wrong, set(1, "length"), set(1, "__proto__"), set(2)]);
    expect(applied).toBe(1);
    expect(skipped.map(({ code }) => code)).toEqual([
      ...wrong.map(() => "patch-entity"),
      "patch-component",
      "patch-component",
    ]);
    expect(entities.map((e) => world.get(e, Position)!.x)).toEqual([0, 0, 2]);
  });

  test("are for those who had the index when they came", () => {
    const { world, Position } = setup();
    const made: Entity[] = [];
    const e = world.createEntity({ [Position.id]: { x: 1, y: 1 } });
    const Heir = world.defineComponent<number>({
      name: "Heir",
      onAdd: (w) => {
        made.push(w.createEntity({ [Position.id]: { x: 5, y: 5 } }));
      },
    });
    const other = world.createEntity();
    world.destroyEntity(e);
    // From the next tick on its index is free.
    world.beginTick();
    world.endTick();
    const { skipped } = applyPatches(world, [
      { kind: "add", eid: other, cid: Heir.id, value: 1 },
      { kind: "set", eid: e >>> 0, cid: Position.id, value: { x: 9, y: 9 } },
    ]);
    expect(made[0] >>> 0).toBe(e >>> 0);
    expect(skipped.map(({ code }) => code)).toEqual(["patch-entity"]);
    expect(world.get(made[0], Position)).toEqual({ x: 5, y: 5 });
  });

  test("whose hook throws are skipped, whatever it throws", () => {
    const { world, Position } = setup();
    const throwing = (name: string, thrown: unknown) =>
      world.defineComponent<number>({
        name,
        onAdd: () => {
          throw thrown;
        },
      });
    const gone = world.createEntity();
    world.destroyEntity(gone);
    // Nothing can be made of it that is text.
    const Bare = throwing("Bare", Object.create(null));
    const Worse = throwing("Worse", new TypeError("no"));
    const Late = world.defineComponent<number>({ name: "Late", onAdd: (w) => w.set(gone, Position, { x: 1, y: 1 }) });
    const e = world.createEntity({ [Position.id]: { x: 1, y: 1 } });
    const unreadable = Object.defineProperty({ kind: "destroy" }, "eid", {
      get: () => {
        throw new TypeError("no");
      },
    });
    const { applied, skipped } = applyPatches(world, [
      ...[Bare, Worse, Late].map(({ id }) => ({ kind: "add", eid: e, cid: id, value: 1 }) as const),
      unreadable as never,
      { kind: "set", eid: e, cid: Position.id, value: { x: 2, y: 2 } },
    ]);
    expect(applied).toBe(1);
    expect(skipped.map(({ code }) => code)).toEqual(["patch-value", "patch-value", "patch-entity", "patch-entity"]);
    expect(skipped.map(({ message }) => message).slice(0, 2)).toEqual([
      "patch 0: something of type object was thrown",
      "patch 1: TypeError: no",
    ]);
    expect(world.get(e, Position)).toEqual({ x: 2, y: 2 });
  });
});

describe("makers", () => {
  test("create entities with values by position, in whatever order the components were named", () => {
    const { world, Position, Velocity, Name } = setup();
    const birds = world.maker(Name, Velocity, Position);
    const [a, b] = [birds.create("a", { x: 5, y: 6 }, { x: 1, y: 2 }), birds.create(undefined, { y: 7 })];
    expect([Name, Velocity, Position].map((type) => world.get<unknown>(a, type))).toEqual(["a", { x: 5, y: 6 }, { x: 1, y: 2 }]);
    expect([Name, Velocity, Position].map((type) => world.get<unknown>(b, type))).toEqual(["nobody", { x: 1, y: 7 }, { x: 0, y: 0 }]);
    expect(world.count(world.makeQuery({ all: [Position, Velocity, Name] }))).toBe(2);
    expect(world.get(world.maker().create(), Position)).toBeUndefined();
  });

  test("tell hooks, and queries that follow", () => {
    const world = new World();
    const added: unknown[] = [];
    const Mark = world.defineComponent({ name: "Mark", fields: { n: "u8" }, onAdd: (_, e, v) => added.push([e, v]) });
    const query = world.makeQuery({ added: [Mark] });
    const marks = world.maker(Mark);
    const e = marks.create({ n: 3 });
    expect(added).toEqual([[e, { n: 3 }]]);
    expect([...world.iter(query, Mark)].map(([entity, , mark]) => [entity, mark])).toEqual([[e, { n: 3 }]]);
  });

  test("refuse what does not fit, and change nothing then", () => {
    const { world, Position, Velocity } = setup();
    const pairs = world.maker(Position, Velocity);
    expect(thrown(() => pairs.create({ x: 1 }, { y: "2" } as never))).toMatchObject({ code: "value-type" });
    expect(thrown(() => pairs.create({ q: 1 } as never))).toMatchObject({ code: "value-field" });
    expect(thrown(() => (pairs.create as (...values: unknown[]) => unknown)({}, {}, {}))).toMatchObject({ code: "value-field" });
    expect(thrown(() => world.maker(Position, Position))).toMatchObject({ code: "component-taken" });
    expect(thrown(() => new World().maker(Position))).toMatchObject({ code: "component-foreign" });
    expect(world.size).toBe(0);
    pairs.create();
    for (const _ of world.views(world.makeQuery({ all: [Position] }))) {
      expect(thrown(() => pairs.create())).toMatchObject({ code: "frame-running" });
    }
  });
});

describe("blueprints", () => {
  test("make entities with values by position, and overrides", () => {
    const { world, Position, Velocity, Name } = setup();
    const bird = makeBlueprint("bird", [
      { c: Position, v: (i) => ({ x: i, y: 0 }) },
      { c: Velocity, v: { x: 5 } },
      { c: Name },
    ]);
    const birds = spawn(world, bird, 3, { [Name.id]: (i: number) => `bird ${i}` });
    expect(birds.map((e) => world.get(e, Position))).toEqual([0, 1, 2].map((x) => ({ x, y: 0 })));
    expect(birds.map((e) => world.get(e, Velocity))).toEqual([5, 5, 5].map((x) => ({ x, y: 0 })));
    expect(birds.map((e) => world.get(e, Name))).toEqual(["bird 0", "bird 1", "bird 2"]);
    expect(spawn(world, bird).map((e) => world.get(e, Name))).toEqual(["nobody"]);
    expect(spawn(world, bird, 0)).toEqual([]);
    expect(() => spawn(world, bird, -1)).toThrow(ValueError);
    expect(() => makeBlueprint("two", [{ c: Name }, { c: Name }])).toThrow(ComponentError);
  });

  test("do not share what the defaults make", () => {
    const world = new World();
    const Bag = world.defineComponent<Vector[]>({ name: "Bag", defaults: () => [] });
    const [a, b] = spawn(world, makeBlueprint("bag", [{ c: Bag }]), 2);
    world.get(a, Bag)!.push({ x: 1, y: 1 });
    expect(world.get(b, Bag)).toEqual([]);
  });
});

describe("resources", () => {
  test("by name are defined once, and asked for by name", () => {
    const { world } = setup();
    world.resources.define("score", 1);
    expect(thrown(() => world.resources.define("score", 2))).toMatchObject({ code: "resource-taken" });
    world.resources.set("score", 3);
    expect([world.resources.get("score"), world.resources.has("score"), world.resources.has("lives")]).toEqual([3, true, false]);
    expect(thrown(() => world.resources.get("lives"))).toMatchObject({ code: "resource-unknown" });
  });

  test("in columns are zero, and keep what is written through a growth of the world", () => {
    const { world, Position } = setup();
    const grid = world.defineResource({ name: "grid", fields: { heat: "f32", kind: "u8" }, rows: 1000 });
    expect([grid.columns.heat.length, grid.columns.heat[999], grid.columns.kind[0]]).toEqual([1000, 0, 0]);
    grid.columns.heat[999] = 7;
    world.createEntities(300_000, new Map([[Position.id, undefined]]));
    expect(grid.columns.heat[999]).toBe(7);
    expect(thrown(() => world.defineResource({ name: "grid", fields: { a: "f32" }, rows: 1 }))).toMatchObject({ code: "component-taken" });
    expect(thrown(() => world.defineResource({ name: "none", fields: { a: "f32" }, rows: 0 }))).toBeInstanceOf(ComponentError);
  });
});
