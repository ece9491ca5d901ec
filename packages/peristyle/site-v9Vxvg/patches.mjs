// main.mjs
import { Scheduler, World } from "peristyle";

const world = new World();
// Without `fields` a component holds any value, as an object does.
const Fuel = world.defineComponent({ name: "Fuel" });
const Name = world.defineComponent({ name: "Name" });
for (let i = 0; i < 5; i++) world.createEntity({ [Fuel.id]: { left: 1 + i }, [Name.id]: `ship ${i}` });

const scheduler = new Scheduler(world, undefined, { onFailure: (failure) => console.error(failure.message) });
scheduler.register({
  name: "burn",
  query: { all: [Fuel] },
  offload: {
    module: new URL("./burn.job.mjs", import.meta.url),
    reads: [],
    writes: [Fuel],
    despawns: true,
    extra: () => ({ FUEL: Fuel.id, burns: 2 }),
  },
});
scheduler.register({
  name: "report",
  stage: "late",
  query: { all: [Name] },
  run({ world }) {
    const names = [...world.iter(world.makeQuery({ all: [Name, Fuel] }), Name, Fuel)];
    console.log(names.map(([, , name, fuel]) => `${name}: ${fuel.left}`).join(", "));
  },
});
console.log(scheduler.compile().batchesByStage);
for (let frame = 0; frame < 2; frame++) await scheduler.runFrame(1, frame);
await scheduler.close();
