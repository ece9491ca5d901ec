/**
 * Figures that a single process cannot give: `node scripts/bench-processes.mjs [PROCESSES]`, after a build.
 *
 * - The parts of `bench-world.mjs` that need no peers: the median of each figure over processes.
 * - Import to the first frame, with a job in TypeScript's place, against a process that imports nothing.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const PROCESSES = Number(process.argv[2] ?? 20);
const NUMBER = /\d+(?:\.\d+)?(?= ms|x)/g;
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const node = (...args) => execFileSync(process.execPath, args, { encoding: "utf8" });
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

/** Lines that are the same but for their numbers, with the median of each. */
function medians(outputs) {
  const lines = outputs.map((text) => text.trimEnd().split("\n"));
  return lines[0].map((line, at) => {
    const numbers = lines.map((other) => (other[at].match(NUMBER) ?? []).map(Number));
    let place = 0;
    return line.replace(NUMBER, (text) => {
      const value = median(numbers.map((of) => of[place]));
      place++;
      return value.toFixed(text.split(".")[1]?.length ?? 0).padStart(text.length);
    });
  });
}

console.log(`medians of ${PROCESSES} processes`);
const worlds = Array.from({ length: PROCESSES }, () => node(path("./bench-world.mjs"), "--quick", "--own"));
for (const line of medians(worlds)) console.log(line);

const program = (body) => `const began = performance.now(); ${body}; console.log(performance.now() - began); process.exit();`;
const first = program(`
  const { Scheduler, World } = await import(${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)});
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  world.createEntity({ [Position.id]: { x: 1, y: 2 } });
  const scheduler = new Scheduler(world);
  scheduler.register({ name: "move", writesComponents: [Position], run: ({ world }) => world.count(world.makeQuery({ all: [Position] })) });
  await scheduler.runFrame(0.016)`);
const times = (text) => median(Array.from({ length: PROCESSES }, () => Number(node("--input-type=module", "-e", text))));
const [ours, nothing] = [times(first), times(program(`await import("data:text/javascript,")`))];
console.log(`\nimport to the first frame: ${ours.toFixed(1)} ms, ${(ours - nothing).toFixed(1)} more than to import nothing`);
