// sparks.mjs
import { Scheduler, World } from "peristyle";

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
const Life = world.defineComponent({ name: "Life", fields: { seconds: "f32" } });
for (let i = 0; i < 10_000; i++) {
  world.createEntity({
    [Position.id]: { x: 0, y: 5 },
    [Velocity.id]: { x: i % 7, y: i % 5 },
    [Life.id]: { seconds: 0.5 + (i % 4) },
  });
}

const scheduler = new Scheduler(world);
scheduler.register({
  name: "sparks",
  offload: {
    kernel: new URL("./sparks.wasm", import.meta.url),
    reads: [],
    // The order in which the kernel finds them.
    writes: [Position, Velocity, Life],
    despawns: true,
  },
});
const sparks = world.makeQuery({ all: [Life] });
for (let second = 1; second <= 4; second++) {
  for (let frame = 0; frame < 60; frame++) await scheduler.runFrame(1 / 60);
  console.log(`after ${second} s: ${[...world.iter(sparks)].length} sparks`);
}
await scheduler.close();
