/**
 * How long it takes to have an empty job done by a worker, against `piscina`, in one run: `npm run bench:pool`.
 *
 * "running": call after call, so that the worker has not parked yet. "parked": each call after 10 ms of silence.
 * Medians of calls, alternating between the rivals, after a warm-up. A ratio below 1 is time saved.
 */
import { build } from "esbuild";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { textBundle } from "./text-bundle.mjs";

const peers = createRequire(new URL("../../bench/package.json", import.meta.url));
const { default: Piscina } = await import(pathToFileURL(peers.resolve("piscina")).href);

const folder = await mkdtemp(join(tmpdir(), "peristyle-bench-"));
const file = (name) => join(folder, name);
await build({
  entryPoints: [new URL("../src/workers/index.ts", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  platform: "neutral",
  plugins: [textBundle],
  outfile: file("peristyle.mjs"),
});
await writeFile(file("job.mjs"), "export function handle() {}\nexport default handle;\n");
const { createLanes, createPortablePool } = await import(pathToFileURL(file("peristyle.mjs")).href);

const url = pathToFileURL(file("job.mjs"));
const piscina = new Piscina({ filename: file("job.mjs"), minThreads: 1, maxThreads: 1, idleTimeout: 60_000 });
const pool = await createPortablePool({ size: 1 });

// A lease of one range of 64 rows without columns, by hand.
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const words = new Uint32Array(memory.buffer);
const [descriptor, eids, list] = [1024, 2048, 4096];
words.set([1, 64], descriptor >> 2);
words[(descriptor >> 2) + 6] = eids;
words[(descriptor >> 2) + 8] = eids;
const linear = {
  memory,
  buffer: memory.buffer,
  isShared: true,
  reason: "",
  allocate: () => 8192,
  release() {},
  entities: () => 16_384,
};
const lanes = await createLanes(linear, { size: 1 });
await lanes.ready;
const job = await lanes.load({ kind: "module", url }, { components: [], writes: [] });
const task = (place) => ({ job, list, dt: 0, time: 0, place });
const dispatch = async (tasks) => {
  words.set([0, 1, 0, 0, descriptor], list >> 2);
  const results = await lanes.run(tasks);
  if (results[0].failure) throw results[0].failure;
};
const byWorker = [task("workers")];

const rivals = [
  { name: "piscina", run: () => piscina.run(undefined) },
  { name: "lanes, one lease", run: () => dispatch(byWorker) },
  { name: "pool.run", run: () => pool.run(url) },
];
const silence = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];

async function measure(rounds, calls, pause) {
  const times = rivals.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, { run }] of rivals.entries()) {
      for (let call = 0; call < calls; call++) {
        if (pause) await silence(pause);
        const start = performance.now();
        await run();
        times[at].push((performance.now() - start) * 1000);
      }
    }
  }
  return times.map(median);
}

await measure(20, 100, 0);
for (const [what, ...how] of [
  ["running", 40, 200, 0],
  ["parked", 20, 10, 10],
]) {
  const medians = await measure(...how);
  for (const [at, { name }] of rivals.entries()) {
    const ratio = (medians[at] / medians[0]).toFixed(2);
    console.log(`${what.padEnd(8)} ${name.padEnd(18)} ${medians[at].toFixed(1).padStart(7)} us   ${ratio} of piscina`);
  }
}
await Promise.all([piscina.destroy(), pool.close(), lanes.close()]);
await rm(folder, { recursive: true });
