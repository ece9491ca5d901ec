/**
 * Worlds against the same loop by hand, and against peers, in one run: prints milliseconds and ratios.
 *
 *   npm run build && (cd ../bench && npm ci) && node scripts/bench-world.mjs [--quick] [--own]
 *
 * - `pos += vel * dt` as a job with tracking, against the same `handle` called directly on the same columns.
 * - The same against peers, by the API that their documents show.
 * - Arithmetic, which is not bound by memory, on one lane and on two.
 * - An empty job against piscina's.
 * - Creating and destroying 100 000 entities of two components, against peers.
 *
 * `--own` leaves out whatever needs peers.
 */
import { handle } from "../bench/jobs/move.mjs";

const { Scheduler, World, makeBlueprint, spawn } = await import("../dist/index.js");
const quick = process.argv.includes("--quick");
const own = process.argv.includes("--own");
const { peers } = own ? { peers: [] } : await import("../../bench/peers.mjs");
const ROUNDS = quick ? 15 : 60;
const DT = 0.016;

/** The median of how long calls take, in milliseconds, after some that do not count. */
async function median(run, rounds = ROUNDS) {
  for (let i = 0; i < Math.ceil(rounds / 3); i++) await run();
  const times = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[rounds >> 1];
}

/** Medians of calls that take turns, so that what the machine does meanwhile meets all of them. */
async function medians(runs, rounds = ROUNDS) {
  const times = runs.map(() => []);
  for (let round = -Math.ceil(rounds / 3); round < rounds; round++) {
    for (const [i, run] of runs.entries()) {
      const start = performance.now();
      await run();
      if (round >= 0) times[i].push(performance.now() - start);
    }
  }
  return times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
}

function populated(rows) {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
  world.createEntities(rows, new Map([[Position.id, { x: 0, y: 0 }], [Velocity.id, { x: 1, y: 2 }]]));
  return { world, Position, Velocity, query: world.makeQuery({ all: [Position, Velocity] }) };
}

function scheduled({ world, Position, Velocity }, offload) {
  const scheduler = new Scheduler(world);
  scheduler.register({
    name: "move",
    offload: {
      reads: [Velocity],
      writes: [Position],
      extra: () => ({ POS: Position.id, VEL: Velocity.id }),
      ...offload,
    },
  });
  return scheduler;
}

const line = (what, ms, ratio, of) =>
  console.log(`${what.padEnd(46)} ${ms.toFixed(3).padStart(10)} ms ${ratio === undefined ? "" : `${ratio.toFixed(2).padStart(7)}x ${of}`}`);

const module = new URL("../bench/jobs/move.mjs", import.meta.url);
for (const rows of [100_000, 1_000_000]) {
  console.log(`\npos += vel * dt, ${rows} rows`);
  // Constants, so that the compiler knows where they lie, as it cannot for columns that are lent.
  const [px, py, vx, vy] = Array.from({ length: 4 }, (_, i) => new Float32Array(rows).fill(i));
  const raw = () => {
    for (let i = 0; i < rows; i++) {
      px[i] += vx[i] * DT;
      py[i] += vy[i] * DT;
    }
  };
  const direct = populated(rows);
  const directly = () => {
    const extra = { POS: direct.Position.id, VEL: direct.Velocity.id };
    for (const view of direct.world.views(direct.query, [direct.Position])) handle({ snap: view, dt: DT, extra });
  };
  const inPlace = scheduled(populated(rows), { module });
  await inPlace.initPool({ size: 0 });
  const lanes = scheduled(populated(rows), { module });
  await lanes.initPool({ size: 1 });
  // Workers take part a little later; until then frames run in place.
  for (let i = 0; i < 20; i++) await lanes.runFrame(DT);
  const [rawMs, directMs, inPlaceMs, lanesMs] = await medians([
    raw,
    directly,
    () => inPlace.runFrame(DT),
    () => lanes.runFrame(DT),
  ]);
  line("four Float32Arrays by hand", rawMs);
  line("the job's handle, called on views", directMs, directMs / rawMs, "by hand");
  line("Peristyle, one lane", inPlaceMs, inPlaceMs / directMs, "the handle called directly");
  line("Peristyle, two lanes", lanesMs, inPlaceMs / lanesMs, "as fast as one lane");
  await lanes.close();
  for (const peer of peers) {
    const api = peer.load ? await peer.load() : peer;
    if (!api.move) continue;
    const run = await api.move(rows);
    // In turns with ours on one lane: whatever else the machine does, it does to both.
    const [ms, ownMs] = await medians([run, () => inPlace.runFrame(DT)], rows > 100_000 ? Math.min(ROUNDS, 8) : ROUNDS);
    line(peer.name, ms, ms / ownMs, "Peristyle on one lane");
    await run.end?.();
  }
  await inPlace.close();
}

{
  const rows = 300_000;
  console.log(`\n40 rounds of arithmetic, ${rows} rows`);
  const toil = new URL("../bench/jobs/toil.mjs", import.meta.url);
  const times = [];
  for (const size of [0, 1]) {
    const scheduler = scheduled(populated(rows), { module: toil });
    await scheduler.initPool({ size });
    times.push(await median(() => scheduler.runFrame(DT), 40));
    await scheduler.close();
  }
  line("Peristyle, one lane", times[0]);
  line("Peristyle, two lanes", times[1], times[0] / times[1], "as fast as one lane");
}

if (!own) {
  console.log("\nan empty job");
  const empty = scheduled(populated(1), { module: new URL("../bench/jobs/empty.mjs", import.meta.url) });
  await empty.initPool({ size: 1 });
  const run = peers.find(({ name }) => name === "piscina").empty();
  const [emptyMs, piscinaMs] = await medians([() => empty.runFrame(DT), run], ROUNDS * 10);
  line("Peristyle, a frame with an empty job", emptyMs, emptyMs / piscinaMs, "piscina");
  line("piscina", piscinaMs);
  await run.end();
  await empty.close();
}

const COUNT = 100_000;
if (!own) {
  console.log(`\ncreate and destroy ${COUNT} entities of two components`);
  const { world, Position, Velocity } = populated(0);
  const moving = makeBlueprint("moving", [{ c: Position, v: { x: 1, y: 0 } }, { c: Velocity, v: { x: 1, y: 2 } }]);
  const rounds = quick ? 5 : 15;
  const tick = (run) => () => {
    world.beginTick();
    run();
    world.endTick();
  };
  const bulk = tick(() => world.destroyEntities(spawn(world, moving, COUNT)));
  const entities = new Array(COUNT);
  const oneByOne = (create) =>
    tick(() => {
      for (let i = 0; i < COUNT; i++) entities[i] = create(i);
      for (let i = 0; i < COUNT; i++) world.destroyEntity(entities[i]);
    });
  const maker = world.maker(Position, Velocity);
  const made = oneByOne((i) => maker.create({ x: i, y: 0 }, { x: 1, y: 2 }));
  const byIds = oneByOne((i) => world.createEntity({ [Position.id]: { x: i, y: 0 }, [Velocity.id]: { x: 1, y: 2 } }));
  const added = oneByOne((i) => {
    const entity = world.createEntity();
    world.addComponent(entity, Position, { x: i, y: 0 });
    world.addComponent(entity, Velocity, { x: 1, y: 2 });
    return entity;
  });
  // What whoever calls `createEntity` does before it begins.
  let last;
  const objects = () => {
    for (let i = 0; i < COUNT; i++) last = { [Position.id]: { x: i, y: 0 }, [Velocity.id]: { x: 1, y: 2 } };
    return last;
  };
  const [bulkMs, madeMs, byIdsMs, addedMs, objectsMs] = await medians([bulk, made, byIds, added, objects], rounds);
  const theirs = [];
  for (const peer of peers) {
    const api = peer.load ? await peer.load() : peer;
    if (!api.churn) continue;
    const run = await api.churn(COUNT);
    theirs.push([peer.name, await median(run, quick ? 3 : 9)]);
    await run.end?.();
  }
  const best = Math.min(...theirs.map(([, ms]) => ms));
  line("Peristyle, by blueprint", bulkMs, bulkMs / best, "the best peer");
  line("Peristyle, one by one, by a maker", madeMs, madeMs / best, "the best peer");
  line("Peristyle, one by one, by ids", byIdsMs, byIdsMs / best, "the best peer");
  line("  of it, making the objects by id", objectsMs, objectsMs / best, "the best peer");
  line("Peristyle, one by one, components added", addedMs, addedMs / best, "the best peer");
  for (const [name, ms] of theirs) line(name, ms, ms / best, "the best peer");
}
