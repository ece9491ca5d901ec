// main.mjs
import { writeFileSync } from "node:fs";
import { Scheduler, Timeline, World, chromeTrace, gantt, statistics } from "peristyle";

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32" } });
world.createEntities(512, new Map([[Position.id, { x: 0 }]]));

const timeline = new Timeline({ spansPerLane: 1024 });
const scheduler = new Scheduler(world, { timeline });
scheduler.register({
  name: "physics",
  query: { all: [Position] },
  writesComponents: [Position],
  run({ world, dt }) {
    for (const [entity, , { x }] of world.iter(world.makeQuery({ all: [Position] }), Position)) {
      world.set(entity, Position, { x: x + dt });
    }
  },
});
timeline.setEnabled(true);
for (let number = 1; number <= 3; number++) await scheduler.runFrame(1 / 60);
timeline.setEnabled(false);
await scheduler.close();

const recording = timeline.read();
writeFileSync("trace.json", chromeTrace(recording)); // For Perfetto, and for `peristyle gantt` and `peristyle stats`.
writeFileSync("trace.svg", gantt(recording));
console.log(statistics(recording).systems.map(({ name, count, rows, stage }) => ({ name, count, rows, stage })));
