// A swarm around a point: `peristyle run examples/native/app.ts --serve --watch`, then open the address, and edit swarm.job.ts.
// The same file runs in Node and in a page, where the app calls `runFrame` by itself.
import { Scheduler, World } from "peristyle";

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });

for (let i = 0; i < 50_000; i++) {
  const [away, angle] = [10 + (i % 1_000) / 10, i * 2.399963];
  world.createEntity({
    [Position.id]: { x: away * Math.cos(angle), y: away * Math.sin(angle) },
    [Velocity.id]: { x: -Math.sin(angle) * 5, y: Math.cos(angle) * 5 },
  });
}

export const scheduler = new Scheduler(world);

scheduler.register({
  name: "swarm",
  offload: {
    module: new URL("./swarm.job.ts", import.meta.url),
    reads: [],
    writes: [Position, Velocity],
    extra: () => ({ POSITION: Position.id, VELOCITY: Velocity.id }),
  },
});
