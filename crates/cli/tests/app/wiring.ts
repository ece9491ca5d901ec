// The surface that users of earlier designs know, with the job files of the package's own tests: one line for each form.
import { createPortablePool, isChanged, markChanged, ParallelScheduler, World, ZCScheduler } from "peristyle";

const jobs = new URL("../../../../packages/peristyle/test/jobs/", import.meta.url);
const job = (name: string): string => new URL(name, jobs).href;

function made(columns: boolean) {
  const world: any = new World();
  const options = columns ? { fields: { x: "f32", y: "f32" } } : { defaults: () => ({ x: 0, y: 0 }) };
  const CPos = world.defineComponent({ name: "Pos", ...options });
  const CVel = world.defineComponent({ name: "Vel", ...options });
  for (let i = 0; i < 4; i++) world.createEntity({ [CPos.id]: { x: i, y: 0 }, [CVel.id]: { x: 1, y: 2 } });
  return { world, CPos, CVel };
}

const forms = {
  patches: () => ({ nodeModule: job("move.patches.mjs") }),
  inPlace: ({ CPos, CVel }: any) => ({
    nodeModule: job("move.inplace.mjs"),
    zeroCopy: {
      build: () => ({
        types: { [CPos.id]: CPos, [CVel.id]: CVel },
        layouts: [
          { cid: CPos.id, fields: { x: "f32", y: "f32" } },
          { cid: CVel.id, fields: { x: "f32", y: "f32" } },
        ],
      }),
    },
  }),
  fallback: () => ({ browserJobName: "physics" }),
};

for (const columns of [false, true]) {
  for (const [form, offload] of Object.entries(forms)) {
    const { world, CPos, CVel } = made(columns);
    const sched: any = new (form === "inPlace" ? ZCScheduler : ParallelScheduler)(world);
    await sched.initPool({ size: 2 });
    sched.register({
      name: "physics",
      stage: "update",
      query: () => ({ all: [CPos, CVel] }),
      offload: {
        ...(offload as any)({ CPos, CVel }),
        reads: [CVel, CPos],
        writes: [CPos],
        extra: () => ({ POS: CPos.id, VEL: CVel.id }),
      },
      run({ world: w, dt }: any) {
        const q = w.makeQuery({ all: [CPos, CVel] });
        for (const [e, , p, v] of w.iter(q, CPos, CVel)) w.set(e, CPos, { x: p.x + v.x * dt, y: p.y + v.y * dt });
      },
    });
    await new Promise<void>((resolve, reject) => {
      let frames = 0;
      const timer = setInterval(() => {
        if (++frames > 8) return void (clearInterval(timer), resolve());
        sched.runFrame(0.25, Date.now()).catch(reject);
      }, 1);
    });
    await sched.runFrame(0.25, Date.now());
    const at = [...world.iter(world.makeQuery({ all: [CPos] }), CPos)].map(([, , p]: any) => `${p.x},${p.y}`);
    console.log(columns ? "columns" : "objects", form, at.join(" "));
    await sched.close();
  }
}

const pool: any = await createPortablePool({ size: 1 });
const extra = { POS: 0, VEL: 1 };
const input = { eids: [7], cols: { 0: [{ x: 1, y: 1 }], 1: [{ x: 2, y: 4 }] }, dt: 0.5, time: 0, writes: [0], extra };
console.log("pool", JSON.stringify(await pool.run(job("move.patches.mjs"), input)));
await pool.close();

const bits = new Uint8Array(2);
markChanged(bits, 9);
console.log("bits", isChanged(bits, 9), isChanged(bits, 8), bits[1]);
