/** The golden app in a page, run by its test. */
import { coreInfo } from "peristyle";
import { golden } from "./app.js";

Object.assign(globalThis, {
  async golden(frames: number, size: number) {
    const app = golden({ job: (name) => new URL(`/${name}.job.js`, location.href), pool: { size } });
    for (let i = 0; i < frames; i++) await app.scheduler.runFrame(0.016, i);
    await app.scheduler.close();
    return { build: coreInfo().build, hash: app.hash() };
  },
});
