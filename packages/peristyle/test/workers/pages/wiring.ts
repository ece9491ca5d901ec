/** The examples of the older wirings in a page: what they say, with nothing but the import path changed. */
import { canUseSAB, coreInfo, ParallelScheduler, World, ZCScheduler, type ComponentType, type Entity } from "../../../src/index.js";

interface XY {
  x: number;
  y: number;
}

async function wiring(form: "patches" | "in place", kind: "objects" | "columns") {
  const world = new World();
  const fields = { x: "f32", y: "f32" } as const;
  const define = (name: string) =>
    kind === "objects"
      ? world.defineComponent<XY>({ name, defaults: () => ({ x: 0, y: 0 }) })
      : world.defineComponent({ name, fields });
  const CPos = define("Pos") as ComponentType<XY>;
  const CVel = define("Vel") as ComponentType<XY>;
  const entities: Entity[] = Array.from({ length: 100 }, (_, i) =>
    world.createEntity({ [CPos.id]: { x: i, y: -i }, ...(i % 2 === 0 && { [CVel.id]: { x: 1, y: 2 } }) }),
  );
  let fallbacks = 0;
  const sched = form === "patches" ? new ParallelScheduler(world) : new ZCScheduler(world);
  await sched.initPool({
    size: 2,
    browserWorkers: {
      physics: () => new Worker(new URL("/wiring-patches.worker.js", location.href), { type: "module" }),
      "physics.zc": () => new Worker(new URL("/wiring-inplace.worker.js", location.href), { type: "module" }),
    },
  });
  sched.register({
    name: "physics",
    stage: "update",
    query: () => ({ all: [CPos, CVel] }),
    offload: {
      browserJobName: form === "patches" ? "physics" : "physics.zc",
      reads: [CVel, CPos],
      writes: [CPos],
      extra: () => ({ POS: CPos.id, VEL: CVel.id }),
      ...(form === "in place" && {
        zeroCopy: {
          build: () => ({
            types: { [CPos.id]: CPos, [CVel.id]: CVel },
            layouts: [
              { cid: CPos.id, fields },
              { cid: CVel.id, fields },
            ],
          }),
        },
      }),
    },
    run({ world, dt }) {
      fallbacks++;
      const q = world.makeQuery({ all: [CPos, CVel] });
      for (const [e, , p, v] of world.iter(q, CPos, CVel)) world.set(e, CPos, { x: p.x + v.x * dt, y: p.y + v.y * dt });
    },
  });
  for (let frame = 0; frame < 10; frame++) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    await sched.runFrame(0.25, frame);
  }
  await sched.close();
  return {
    positions: entities.map((e) => world.get(e, CPos)),
    fallbacks,
    build: coreInfo().build,
    shared: canUseSAB(),
  };
}

Object.assign(globalThis, { wiring });
