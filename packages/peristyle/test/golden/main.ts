/** The golden app for hosts that run an app by itself: after 1 000 frames it says its hash. */
import { golden } from "./app.js";

const app = golden({ job: (name) => new URL(`./${name}.job.ts`, import.meta.url) });
let frames = 0;
app.world.onTick(() => {
  if (++frames === 1000) console.log(`golden ${app.hash()}`);
});

export const { scheduler } = app;
