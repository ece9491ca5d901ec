/** What the page of the tests can do: everything that a test asks for by name. */
import { canUseSAB } from "../../../src/snapshot/index.js";
import {
  createLanes,
  createPortablePool,
  type JobSource,
  type Lanes,
  type LanesOptions,
  type LeaseTask,
} from "../../../src/workers/index.js";
import { particles, type HandWorld } from "../../support/leases.js";

const job = (name: string): JobSource => ({ kind: "module", url: new URL(`/jobs/${name}`, location.href) });
const own = (name: string) => () => new Worker(new URL(`/${name}.worker.js`, location.href), { type: "module" });
const browserWorkers = {
  physics: own("physics"),
  patches: own("patches"),
  keeps: own("keeps"),
  snap: own("snap"),
  unproven: own("unproven"),
  nowhere: own("nowhere"),
};

/** Where a policy forbids workers made of text. */
const ofFile = location.search === "?file" ? { worker: () => new Worker("/worker.js", { type: "module" }) } : {};

async function lanesOf(rows: number, options: LanesOptions = {}): Promise<{ world: HandWorld; lanes: Lanes }> {
  const world = particles(canUseSAB(), rows);
  const lanes = await createLanes(world, { size: 2, browserWorkers, ...ofFile, ...options });
  return { world, lanes };
}

/** Numbers of the columns, to be compared between the ways. */
const sums = (world: HandWorld): number[] =>
  ["Pos.x", "Pos.y"].map((name) => Array.from(world.column(name), Number).reduce((sum, n, i) => sum + n * (i % 13), 0));

const told = (error: unknown): object => {
  const { name, code, message, cause } = error as {
    name: string;
    code: string;
    message: string;
    cause?: { name: string; message: string; stack: string };
  };
  return {
    name,
    code,
    message,
    ...(cause && { cause: { name: cause.name, message: cause.message, stack: String(cause.stack) } }),
  };
};

const tests = {
  /** Twenty frames of a job in place, by any lane and by workers alone. */
  async frames(place: LeaseTask["place"]) {
    const { world, lanes } = await lanesOf(5000, { spans: true });
    const physics = await lanes.load(job("physics.mjs"), world.shape([3]));
    const list = world.lease(512);
    const seen = new Set<number>();
    let copied = 0;
    for (let frame = 0; frame < 20; frame++) {
      world.reset(list);
      const [result] = await lanes.run([{ job: physics, list, dt: 0.5, time: 0, ...(place && { place }) }]);
      if (result.failure) throw result.failure;
      copied += result.copied;
      for (const { lane } of result.spans) seen.add(lane);
    }
    const { way, size, reason } = lanes;
    await lanes.close();
    return {
      way,
      size,
      reason,
      lanes: [...seen].sort(),
      copied,
      sums: sums(world),
      marked: world
        .bits(3)
        .subarray(0, 625)
        .every((byte) => byte === 255),
    };
  },

  async patches() {
    const { world, lanes } = await lanesOf(2000);
    const patches = await lanes.load(job("patches.mjs"), world.shape([3]));
    const [result] = await lanes.run([
      { job: patches, list: world.lease(512), dt: 2, time: 0, extra: { POS: 3 }, place: "workers" },
    ]);
    await lanes.close();
    return { patches: result.patches.slice(0, 3), count: result.patches.length };
  },

  /** A page's own worker: what became of its job. */
  async own(name: string, mood?: string, inPlace = true, deadline?: number, silence?: number) {
    const { world, lanes } = await lanesOf(1000, silence === undefined ? {} : { silence });
    const extra = { POS: 3, VEL: 7 };
    try {
      const physics = await lanes.load({ kind: "worker", name }, world.shape([3], inPlace));
      const frame = async (mood?: string) => {
        const task = {
          job: physics,
          list: world.lease(512),
          dt: 2,
          time: 0,
          extra: { ...extra, ...(mood && { mood }) },
        };
        // Only of the frame that is to miss it: the next one waits for a new worker.
        return (await lanes.run([{ ...task, ...(mood && deadline !== undefined && { deadline }) }]))[0];
      };
      const { failure, failed, patches } = await frame(mood);
      const first = {
        failed,
        x0: world.column("Pos.x")[0],
        patches: patches.slice(0, 2),
        count: patches.length,
        failure: failure && told(failure),
      };
      // The next frame of the same worker, without its mood.
      const next = mood ? await frame() : undefined;
      return {
        ...first,
        next: next && (next.failure ? told(next.failure) : "fine"),
        sums: sums(world),
        marked: world.bits(3)[0],
      };
    } catch (error) {
      return { refused: told(error) };
    } finally {
      await lanes.close();
    }
  },

  async throws() {
    const { world, lanes } = await lanesOf(1024);
    const moody = await lanes.load(job("throws.js"), world.shape([3]));
    const [{ failure, failed }] = await lanes.run([
      { job: moody, list: world.lease(512), dt: 0, time: 0, place: "workers" },
    ]);
    await lanes.close();
    return { failed, failure: told(failure) };
  },

  async missing() {
    const { world, lanes } = await lanesOf(512);
    try {
      await lanes.load(job("nowhere.mjs"), world.shape());
      return undefined;
    } catch (error) {
      return told(error);
    } finally {
      await lanes.close();
    }
  },

  /** A worker that ends itself in mid-frame, and the frame after it. */
  async ends() {
    const { world, lanes } = await lanesOf(4096);
    const ends = await lanes.load(job("ends.js"), world.shape([3]));
    const frame = async (at: number, deadline?: number) =>
      (
        await lanes.run([
          {
            job: ends,
            list: world.lease(512),
            dt: 0,
            time: 0,
            extra: { at },
            place: "workers",
            ...(deadline && { deadline }),
          },
        ])
      )[0];
    const first = await frame(1024, 1500);
    const second = await frame(-1);
    await lanes.close();
    return { failed: first.failed, code: first.failure?.code, second: second.failure ? told(second.failure) : "fine" };
  },

  async pool() {
    const pool = await createPortablePool({ size: 2, browserWorkers: { echo: own("echo") }, ...ofFile });
    const { kind, size } = pool;
    const url = new URL("/jobs/calls.mjs", location.href);
    const answers = await Promise.all([1, 2, 3].map((input) => pool.run(url, { do: "echo", input })));
    const thrown = told(await pool.run(url, { do: "throw" }).catch((error: unknown) => error));
    const echo = await pool.run("echo", { a: 1 }).catch(told);
    await pool.close();
    return { kind, size, answers, thrown, echo };
  },
};

Object.assign(globalThis, { tests, isolated: crossOriginIsolated });
