/** The golden app for hosts that run a file by itself: it steps its 1 000 frames and says its hash. */
import { golden } from "./app.js";

const app = golden({ job: (name) => new URL(`./${name}.job.ts`, import.meta.url) });
for (let i = 0; i < 1000; i++) await app.scheduler.runFrame(0.016, i);
console.log(`golden ${app.hash()}`);
await app.scheduler.close();
