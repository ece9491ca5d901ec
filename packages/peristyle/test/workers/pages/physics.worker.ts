/** A page's own worker that works in place. */
import { markChanged } from "../../../src/snapshot/index.js";
import type { JobInput } from "../../../src/workers/index.js";

self.onmessage = ({ data }: MessageEvent<JobInput>) => {
  const { snap, dt, extra } = data;
  const mood = extra as { POS: number; VEL: number; mood?: string };
  if (mood.mood === "throw") throw new RangeError("out of sorts");
  if (mood.mood === "reject") return void Promise.reject(new RangeError("out of sorts"));
  if (mood.mood === "close") return self.close();
  if (mood.mood === "hang") for (;;);
  const pos = snap.comps[mood.POS];
  const vel = snap.comps[mood.VEL];
  const numbers = (column: unknown): Float32Array => column as Float32Array;
  for (let i = 0; i < snap.rows; i++) {
    numbers(pos.fields.x)[i] += numbers(vel.fields.x)[i] * dt;
    numbers(pos.fields.y)[i] += numbers(vel.fields.y)[i] * dt;
    markChanged(pos.changed!, i);
  }
  self.postMessage({ ok: snap.entity(0) === data.eids[0] });
};
