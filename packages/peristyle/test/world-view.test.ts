/** A world that is stepped here and shown here. */
import { expect, expectTypeOf, test } from "vitest";
import { observeQuery } from "../src/client/observe.js";
import { Scheduler, World } from "../src/index.js";
import { viewWorld } from "../src/world/world-view.js";

function setup() {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Hidden = world.defineComponent({ name: "Hidden", fields: { why: "u8" } });
  const scheduler = new Scheduler(world);
  scheduler.register({
    name: "move",
    query: { all: [Position] },
    writes: [],
    run({ world, dt }) {
      for (const [e, , p] of world.iter(world.makeQuery({ all: [Position], none: [Hidden] }), Position)) {
        world.set(e, Position, { x: p.x + dt, y: p.y });
      }
    },
  });
  return { world, Position, Hidden, scheduler };
}

test("a query follows a world of the same page", async () => {
  const { world, Position, Hidden, scheduler } = setup();
  const [first, second] = [1, 2].map((x) => world.createEntity({ [Position.id]: { x, y: 0 } })) as [number, number];
  const seen = viewWorld(world);
  const query = observeQuery(seen, { all: [Position], none: [Hidden] });
  type Row = NonNullable<ReturnType<typeof query.get>>[number];
  expectTypeOf<Row[1]>().toEqualTypeOf<Readonly<{ x: number; y: number }>>();
  const rows = (): unknown => query.get()?.map(([entity, { x }]) => [entity, x]);
  expect(rows()).toEqual([[first, 1], [second, 2]]);
  let told = 0;
  const stop = query.subscribe(() => told++);
  await scheduler.runFrame(0.5, 0);
  expect(rows()).toEqual([[first, 1.5], [second, 2.5]]);
  world.addComponent(first, Hidden, { why: 1 });
  const before = query.get();
  await scheduler.runFrame(0.5, 0.5);
  expect(rows()).toEqual([[second, 3]]);
  world.removeComponent(first, Hidden);
  world.destroyEntity(second);
  seen.look();
  expect(rows()).toEqual([[first, 1.5]]);
  expect(told).toBe(3);
  // What was given stays as it was.
  expect(before?.map(([, { x }]) => x)).toEqual([1.5, 2.5]);
  stop();
  seen.close();
  await scheduler.runFrame(0.5, 1);
  expect(rows()).toEqual([[first, 1.5]]);
  await scheduler.close();
});

test("what cannot be shown is refused", () => {
  const { world } = setup();
  const Name = world.defineComponent<string>({ name: "Name" });
  expect(() => viewWorld(world, { components: [Name] })).toThrowError(expect.objectContaining({ code: "serve-component" }));
  expect(() => viewWorld(world, { every: 0 })).toThrowError(expect.objectContaining({ code: "serve-options" }));
});
