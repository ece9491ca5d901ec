// main.mjs
import { writeFileSync } from "node:fs";
import { Scheduler, Timeline, World, chromeTrace, gantt, statistics } from "peristyle";

const timeline = new Timeline({ lanes: 1, spansPerLane: 1024 });
const [frame, physics] = [timeline.name("frame"), timeline.name("physics")];
timeline.setEnabled(true);

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32" } });
for (let i = 0; i < 512; i++) world.createEntity({ [Position.id]: { x: i } });

const scheduler = new Scheduler(world);
scheduler.register({
  name: "physics",
  writesComponents: [Position],
  run({ world, dt }) {
    const began = timeline.begin();
    let rows = 0;
    for (const [entity, , { x }] of world.iter(world.makeQuery({ all: [Position] }), Position)) {
      world.set(entity, Position, { x: x + dt });
      rows++;
    }
    timeline.end(0, "system", physics, began, rows);
  },
});
for (let number = 1; number <= 3; number++) {
  const began = timeline.begin();
  await scheduler.runFrame(1 / 60);
  timeline.end(0, "frame", frame, began, 0, number);
}
await scheduler.close();

const recording = timeline.read();
writeFileSync("trace.json", chromeTrace(recording)); // For Perfetto, and for `peristyle gantt` and `peristyle stats`.
writeFileSync("trace.svg", gantt(recording));
console.log(statistics(recording).systems.map(({ name, count, rows }) => ({ name, count, rows })));
