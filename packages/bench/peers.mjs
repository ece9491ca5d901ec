/**
 * Peers of the world's benches, each by the API that its documents show: stepping `pos += vel * dt` over rows of two
 * components, and creating and destroying entities of two components.
 *
 * `move(rows)` and `churn(count)` give a function that does it once (a promise, where the peer is asynchronous).
 */
import { Piscina } from "piscina";
import * as bitecs from "bitecs";
import * as koota from "koota";

const DT = 0.016;

export const peers = [
  {
    name: "bitecs",
    move(rows) {
      const Position = { x: new Float32Array(rows + 1), y: new Float32Array(rows + 1) };
      const Velocity = { x: new Float32Array(rows + 1).fill(1), y: new Float32Array(rows + 1).fill(2) };
      const world = bitecs.createWorld();
      for (let i = 0; i < rows; i++) bitecs.addComponents(world, bitecs.addEntity(world), Position, Velocity);
      return () => {
        for (const e of bitecs.query(world, [Position, Velocity])) {
          Position.x[e] += Velocity.x[e] * DT;
          Position.y[e] += Velocity.y[e] * DT;
        }
      };
    },
    churn(count) {
      const Position = { x: new Float32Array(count + 1), y: new Float32Array(count + 1) };
      const Velocity = { x: new Float32Array(count + 1), y: new Float32Array(count + 1) };
      const world = bitecs.createWorld();
      const entities = new Array(count);
      return () => {
        for (let i = 0; i < count; i++) {
          const e = (entities[i] = bitecs.addEntity(world));
          bitecs.addComponent(world, e, Position);
          bitecs.addComponent(world, e, Velocity);
          Position.x[e] = i;
          Position.y[e] = 0;
          Velocity.x[e] = 1;
          Velocity.y[e] = 2;
        }
        for (let i = 0; i < count; i++) bitecs.removeEntity(world, entities[i]);
      };
    },
  },
  {
    name: "koota",
    move(rows) {
      const Position = koota.trait({ x: 0, y: 0 });
      const Velocity = koota.trait({ x: 1, y: 2 });
      const world = koota.createWorld();
      for (let i = 0; i < rows; i++) world.spawn(Position, Velocity);
      const run = () =>
        world.query(Position, Velocity).updateEach(([position, velocity]) => {
          position.x += velocity.x * DT;
          position.y += velocity.y * DT;
        });
      return Object.assign(run, { end: () => world.destroy() });
    },
    churn(count) {
      const Position = koota.trait({ x: 0, y: 0 });
      const Velocity = koota.trait({ x: 1, y: 2 });
      const world = koota.createWorld();
      const entities = new Array(count);
      const run = () => {
        for (let i = 0; i < count; i++) entities[i] = world.spawn(Position({ x: i, y: 0 }), Velocity);
        for (let i = 0; i < count; i++) entities[i].destroy();
      };
      return Object.assign(run, { end: () => world.destroy() });
    },
  },
  {
    name: "@woven-ecs/core",
    async load() {
      const woven = await import("@woven-ecs/core");
      const { defineComponent, defineQuery, defineSystem, field, World, createEntity, addComponent, removeEntity } = woven;
      const define = () => [
        defineComponent({ x: field.float32(), y: field.float32() }),
        defineComponent({ x: field.float32(), y: field.float32() }),
      ];
      const fill = (ctx, Position, Velocity, rows) => {
        const made = [];
        for (let i = 0; i < rows; i++) {
          const e = createEntity(ctx);
          addComponent(ctx, e, Position, { x: i, y: 0 });
          addComponent(ctx, e, Velocity, { x: 1, y: 2 });
          made.push(e);
        }
        return made;
      };
      return {
        async move(rows) {
          const [Position, Velocity] = define();
          const world = new World([Position, Velocity], { maxEntities: rows + 1, maxEvents: rows * 4 });
          await world.execute(defineSystem((ctx) => void fill(ctx, Position, Velocity, rows)));
          world.sync();
          const moving = defineQuery((q) => q.with(Position, Velocity));
          const system = defineSystem((ctx) => {
            for (const e of moving.current(ctx)) {
              const position = Position.write(ctx, e);
              const velocity = Velocity.read(ctx, e);
              position.x += velocity.x * DT;
              position.y += velocity.y * DT;
            }
          });
          const run = async () => {
            await world.execute(system);
            world.sync();
          };
          return Object.assign(run, { end: () => world.dispose() });
        },
        async churn(count) {
          const [Position, Velocity] = define();
          const world = new World([Position, Velocity], { maxEntities: count * 16, maxEvents: count * 16 });
          const system = defineSystem((ctx) => {
            for (const e of fill(ctx, Position, Velocity, count)) removeEntity(ctx, e);
          });
          const run = async () => {
            await world.execute(system);
            world.sync();
          };
          return Object.assign(run, { end: () => world.dispose() });
        },
      };
    },
  },
  {
    // Creating and destroying is not measured: a frame with 2 000 of them does not come to its end.
    name: "becsy",
    async load() {
      const { System, Type, World, component, system } = await import("@lastolivegames/becsy/lib/perf.js");
      const define = () =>
        [class Position {}, class Velocity {}].map((C) => {
          C.schema = { x: Type.float32, y: Type.float32 };
          component(C);
          return C;
        });
      const make = async (defs, count) => {
        const world = await World.create({ defs, maxEntities: count * 3, maxLimboComponents: count * 4, threads: 1 });
        return { world, end: () => world.terminate() };
      };
      return {
        async move(rows) {
          const [Position, Velocity] = define();
          class Move extends System {
            moving = this.query((q) => q.current.with(Position).write.with(Velocity));
            execute() {
              for (const e of this.moving.current) {
                const position = e.write(Position);
                const velocity = e.read(Velocity);
                position.x += velocity.x * DT;
                position.y += velocity.y * DT;
              }
            }
          }
          system(Move);
          const { world, end } = await make([Position, Velocity, Move], rows);
          for (let i = 0; i < rows; i++) world.createEntity(Position, { x: i, y: 0 }, Velocity, { x: 1, y: 2 });
          return Object.assign(() => world.execute(), { end });
        },
      };
    },
  },
  {
    name: "@adobe/data",
    async load() {
      const { Store } = await import("@adobe/data/ecs");
      const { F32 } = await import("@adobe/data/schema");
      const names = ["positionX", "positionY", "velocityX", "velocityY"];
      const schema = Store.Schema.create({
        components: Object.fromEntries(names.map((name) => [name, F32.schema])),
        archetypes: { Moving: names },
      });
      return {
        move(rows) {
          const store = Store.create(schema);
          for (let i = 0; i < rows; i++) {
            store.archetypes.Moving.insert({ positionX: i, positionY: 0, velocityX: 1, velocityY: 2 });
          }
          return () => {
            for (const { columns, rowCount } of store.queryArchetypes(names)) {
              const { positionX, positionY, velocityX, velocityY } = columns;
              for (let i = 0; i < rowCount; i++) {
                positionX.set(i, positionX.get(i) + velocityX.get(i) * DT);
                positionY.set(i, positionY.get(i) + velocityY.get(i) * DT);
              }
            }
          };
        },
        churn(count) {
          const store = Store.create(schema);
          const entities = new Array(count);
          return () => {
            for (let i = 0; i < count; i++) {
              entities[i] = store.archetypes.Moving.insert({ positionX: i, positionY: 0, velocityX: 1, velocityY: 2 });
            }
            for (let i = 0; i < count; i++) store.delete(entities[i]);
          };
        },
      };
    },
  },
  {
    name: "piscina",
    move(rows) {
      // Its workers see columns that are shared, and are told to step them.
      const columns = Array.from({ length: 4 }, () => new Float32Array(new SharedArrayBuffer(rows * 4)));
      columns[2].fill(1);
      columns[3].fill(2);
      const pool = new Piscina({ filename: new URL("move.mjs", import.meta.url).href, minThreads: 1, maxThreads: 1 });
      return Object.assign(() => pool.run({ columns, rows, dt: DT }), { end: () => pool.destroy() });
    },
    empty() {
      const pool = new Piscina({ filename: new URL("empty.mjs", import.meta.url).href, minThreads: 1, maxThreads: 1 });
      return Object.assign(() => pool.run(0), { end: () => pool.destroy() });
    },
  },
];
