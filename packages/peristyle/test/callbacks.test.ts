/** Callbacks of the user that throw: it is reported, and what called them goes on. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { Scheduler, World, type SystemError } from "../src/index.js";

const open: Scheduler[] = [];
afterEach(async () => {
  vi.unstubAllGlobals();
  for (const scheduler of open.splice(0)) await scheduler.close();
});

describe.each(["reportError", "uncaughtException"])("what they throw comes to `%s`", (where) => {
  /** Gathers what is reported; `settled` resolves when there are so many. */
  function reports() {
    const told: unknown[] = [];
    let check = () => {};
    const tell = (error: unknown) => {
      told.push(error);
      check();
    };
    if (where === "reportError") vi.stubGlobal("reportError", tell);
    else {
      vi.stubGlobal("reportError", undefined);
      const others = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException").on("uncaughtException", tell);
      restore = () => {
        process.removeAllListeners("uncaughtException");
        for (const other of others) process.on("uncaughtException", other);
      };
    }
    const settled = (count: number) =>
      new Promise<unknown[]>((resolve) => {
        check = () => told.length >= count && resolve(told);
        check();
      });
    return { settled };
  }
  let restore = () => {};
  afterEach(() => restore());

  test("`onTick`: other listeners hear of the tick, and the next one comes", async () => {
    const { settled } = reports();
    const world = new World();
    const scheduler = new Scheduler(world);
    open.push(scheduler);
    const heard: string[] = [];
    const thrown = new Error("listener");
    world.onTick(() => {
      heard.push("first");
      throw thrown;
    });
    world.onTick(() => void heard.push("second"));
    await scheduler.runFrame();
    world.beginTick();
    world.endTick();
    expect(heard).toEqual(["first", "second", "first", "second"]);
    expect(await settled(2)).toEqual([thrown, thrown]);
  });

  test("`onFailure`: it is told of every failure, and the frame resolves", async () => {
    const { settled } = reports();
    const heard: string[] = [];
    const onFailure = ({ system }: SystemError) => {
      heard.push(system);
      throw new Error(`told of ${system}`);
    };
    const scheduler = new Scheduler(new World(), { onFailure });
    open.push(scheduler);
    for (const name of ["a", "b"]) {
      scheduler.register({
        name,
        run() {
          throw new Error(name);
        },
      });
    }
    expect((await scheduler.runFrame()).failures).toHaveLength(2);
    expect(heard).toEqual(["a", "b"]);
    expect((await settled(2)).map((error) => (error as Error).message)).toEqual(["told of a", "told of b"]);
  });
});
