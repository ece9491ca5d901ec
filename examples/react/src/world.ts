/** A world of this page: many ships, of which few are shown. Stepped in workers that share its memory. */
import { Scheduler, World, viewWorld } from "peristyle";

const SHIPS = 20_000;
/** One in so many is a flagship. */
const FLAGSHIPS = 2_000;

export const world = new World();
export const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
export const Course = world.defineComponent({ name: "Course", fields: { turn: "f32" } });
export const Flagship = world.defineComponent({ name: "Flagship", fields: { number: "u16" } });

for (let i = 0; i < SHIPS; i++) {
  const radius = 0.2 + (0.8 * i) / SHIPS;
  world.createEntity({
    [Position.id]: { x: radius, y: 0 },
    [Course.id]: { turn: 1 - radius / 2 },
    ...(i % FLAGSHIPS === 0 ? { [Flagship.id]: { number: i / FLAGSHIPS } } : {}),
  });
}

const scheduler = new Scheduler(world);
scheduler.register({
  name: "physics",
  stage: "update",
  query: { all: [Position, Course] },
  offload: { module: new URL("./physics.job.ts", import.meta.url), reads: [Course], writes: [Position] },
});

/** What interfaces see: entities that have both. */
export const seen = viewWorld(world, { components: [Position, Flagship] });

let isRunning = true;
let time = 0;

async function frame(): Promise<void> {
  if (isRunning) {
    await scheduler.runFrame(1 / 60, time);
    time += 1 / 60;
  }
  requestAnimationFrame(frame);
}

/** Steps the world from now on. */
export const start = (): void => void requestAnimationFrame(frame);

/** Stops time, or lets it go on; whether it goes on. */
export const toggle = (): boolean => (isRunning = !isRunning);
