import { Scheduler, World } from "peristyle";

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
const scheduler = new Scheduler(world);
scheduler.register({
  name: "physics",
  stage: "update",
  query: { all: [Position, Velocity] },
  offload: { module: new URL("./physics.job.mjs", import.meta.url), reads: [Velocity], writes: [Position] },
});

export {};
