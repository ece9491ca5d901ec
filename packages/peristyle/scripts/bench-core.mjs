/**
 * What the way into the core costs: `node scripts/bench-core.mjs`, after `./x wasm`.
 *
 * Each figure is the median of many runs, beside a hand-written limit measured in the same process: a call of a function
 * of JavaScript, and entities as slots of plain typed arrays with a free list. Import to the first world is measured in
 * fresh processes, beside one that imports nothing.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle, cores } from "./bundle.mjs";

const ENTITIES = 100_000;
const RUNS = 15;
const seen = new Uint32Array(1);

const folder = await mkdtemp(join(tmpdir(), "peristyle-"));
try {
  const entry = join(folder, "core.mjs");
  await writeFile(entry, await bundle("src/core/index.ts", true));
  for (const { name, source } of cores) await writeFile(join(folder, `${name}.js`), await bundle(source, true));
  const { createCore, loadCore } = await import(pathToFileURL(entry).href);
  await loadCore("plain");
  for (const build of ["shared", "plain"]) calls(createCore({ build }));
  start(pathToFileURL(entry).href);
} finally {
  await rm(folder, { recursive: true });
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** The median time of `call` in milliseconds; `before` is not measured. */
function timed(call, before = () => undefined) {
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    before();
    const began = performance.now();
    call();
    times.push(performance.now() - began);
  }
  return median(times);
}

function calls(core) {
  const { abi } = core;
  const define = (text) => core.check(abi.define_component(core.writeText(text)));
  const components = ["Pos\nx:f32\ny:f32", "Vel\nx:f32\ny:f32"].map(define);
  const table = core.check(abi.table(core.writeWords(components)));
  const byHand = slots();
  let handles = new Float64Array(ENTITIES);
  const each = (call) => () => {
    for (let i = 0; i < ENTITIES; i++) call(i);
  };
  const tick = () => {
    abi.begin_tick();
    abi.end_tick();
  };
  const rows = [];
  const row = (name, ms, limit) => rows.push({ name, ms, limit });

  let sum = 0;
  const nothing = timed(each((i) => (sum += noted(i))));
  row("is_alive", timed(each((i) => (sum += abi.is_alive(i)))), nothing);
  const fill = () => {
    tick();
    handles.forEach((handle) => abi.is_alive(handle) && abi.destroy(handle));
    tick();
    byHand.clear();
  };
  row("spawn", timed(each((i) => (handles[i] = abi.spawn(table))), fill), timed(each(byHand.spawn), byHand.clear));
  row("locate", timed(each((i) => (sum += abi.locate(handles[i])))), nothing);
  const refill = () => {
    fill();
    core.check(abi.spawn_many(table, ENTITIES));
    handles = core.readNumbers(ENTITIES);
  };
  const refillByHand = () => {
    byHand.clear();
    each(byHand.spawn)();
  };
  row("destroy", timed(each((i) => abi.destroy(handles[i])), refill), timed(each(byHand.destroy), refillByHand));
  row("spawn_many", timed(() => abi.spawn_many(table, ENTITIES), fill), timed(each(byHand.spawn), byHand.clear));
  const many = () => abi.destroy_many(core.writeNumbers(handles));
  row("destroy_many", timed(many, refill), timed(each(byHand.destroy), refillByHand));
  console.log(`${core.build} build, ${ENTITIES} entities of two components: ns each, and as a multiple of JavaScript by hand`);
  for (const { name, ms, limit } of rows) {
    const ns = (ms * 1e6) / ENTITIES;
    console.log(`  ${name.padEnd(13)} ${ns.toFixed(1).padStart(7)} ns  ${(ms / limit).toFixed(2).padStart(6)}x`);
  }
  if (sum === 1) console.log("");
}

/** A call that engines do not leave out. */
function noted(i) {
  seen[0] = i;
  return seen[0] & 1;
}

/** Rows of four columns that are filled from a free list, and zeroed. */
function slots() {
  const columns = [0, 1, 2, 3].map(() => new Float32Array(ENTITIES));
  const generations = new Uint32Array(ENTITIES).fill(1);
  const dense = new Uint32Array(ENTITIES);
  const sparse = new Uint32Array(ENTITIES);
  const free = new Uint32Array(ENTITIES);
  let rows = 0;
  let freed = 0;
  const clear = () => {
    rows = 0;
    for (freed = 0; freed < ENTITIES; freed++) free[freed] = ENTITIES - 1 - freed;
  };
  clear();
  return {
    clear,
    spawn() {
      const index = free[--freed];
      sparse[index] = rows;
      dense[rows] = index;
      for (const column of columns) column[rows] = 0;
      rows++;
      return generations[index] * 2 ** 32 + index;
    },
    destroy(index) {
      const row = sparse[index];
      rows--;
      const last = dense[rows];
      for (const column of columns) column[row] = column[rows];
      dense[row] = last;
      sparse[last] = row;
      generations[index]++;
      free[freed++] = index;
    },
  };
}

/** Import to the first world, in processes of their own. */
function start(url) {
  const program = (body) => `const began = performance.now(); ${body}; console.log(performance.now() - began);`;
  const world = program(`const { createCore } = await import(${JSON.stringify(url)}); createCore().abi.begin_tick()`);
  const empty = program(`await import("data:text/javascript,")`);
  const run = (text) => Number(execFileSync(process.execPath, ["--input-type=module", "-e", text], { encoding: "utf8" }));
  const times = (text) => median(Array.from({ length: RUNS }, () => run(text)));
  const [ours, nothing] = [times(world), times(empty)];
  console.log(`import to the first tick: ${ours.toFixed(1)} ms, ${(ours - nothing).toFixed(1)} more than to import nothing`);
}
