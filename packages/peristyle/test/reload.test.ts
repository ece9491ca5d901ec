/** Jobs that are loaded again while a world goes on, as the native runtime does when their files were written. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { Scheduler, World } from "../src/index.js";
import { hooks } from "../src/schedule/hooks.js";

const directory = mkdtempSync(join(tmpdir(), "peristyle-reload-"));
const file = join(directory, "add.mjs");
const write = (step: string) =>
  writeFileSync(
    file,
    `export function handle({ snap, extra }) {
      const { fields, changed } = snap.comps[extra];
      for (let i = 0; i < snap.rows; i++) fields.x[i] += ${step};
      changed.fill(255);
    }`,
  );

let world: World;
let scheduler: Scheduler;
let at: () => number;

beforeEach(() => {
  write("1");
  world = new World();
  const Place = world.defineComponent({ name: "Place", fields: { x: "f32" } });
  const entity = world.createEntity({ [Place.id]: { x: 0 } });
  at = () => world.get(entity, Place)!.x;
  scheduler = new Scheduler(world);
  const module = pathToFileURL(file);
  scheduler.register({ name: "add", offload: { module, reads: [], writes: [Place], extra: () => Place.id } });
});
afterEach(async () => {
  delete hooks.before;
  await scheduler.close();
});
afterAll(() => rmSync(directory, { recursive: true }));

test("a job that was written is another from the next frame on, and the world is as it was", async () => {
  await scheduler.runFrame(1);
  write("10");
  await scheduler.runFrame(1);
  expect(at()).toBe(2);
  hooks.before = async (which) => void (await which.reload("afresh=1"));
  await scheduler.runFrame(1);
  expect(at()).toBe(12);
  write("100");
  hooks.before = async (which) => expect(await which.reload("afresh=2")).toBe(1);
  await scheduler.runFrame(1);
  expect(at()).toBe(112);
});

test("a job that cannot be loaded leaves the old one", async () => {
  await scheduler.runFrame(1);
  write("1 1");
  await expect(scheduler.reload("afresh=3")).rejects.toMatchObject({ code: "job-load" });
  await scheduler.runFrame(1);
  expect(at()).toBe(2);
  write("5");
  expect(await scheduler.reload("afresh=4")).toBe(1);
  await scheduler.runFrame(1);
  expect(at()).toBe(7);
});

test("a scheduler without jobs has nothing to load", async () => {
  const other = new Scheduler(new World());
  expect(await other.reload("afresh=5")).toBe(0);
  await other.close();
});
