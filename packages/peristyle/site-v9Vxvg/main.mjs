// main.mjs
import { Scheduler, World } from "peristyle";

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
const ships = Array.from({ length: 100_000 }, (_, i) =>
  world.createEntity({ [Position.id]: { x: i, y: 0 }, [Velocity.id]: { x: 0, y: 2 } }),
);

const scheduler = new Scheduler(world);
scheduler.register({
  name: "physics",
  stage: "update",
  query: { all: [Position, Velocity] },
  offload: {
    module: new URL("./physics.job.mjs", import.meta.url),
    reads: [Velocity],
    writes: [Position],
  },
});
for (let frame = 0; frame < 60; frame++) await scheduler.runFrame(0.25, frame * 0.25);

console.log(world.get(ships[7], Position)); // { x: 7, y: 30 }
await scheduler.close();
