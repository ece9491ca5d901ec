/** The example's worker that works in place. */
import { markChanged } from "../../../src/snapshot/bits.js";

type Columns = { fields: { x: Float32Array; y: Float32Array }; changed: Uint8Array };

self.onmessage = (event: MessageEvent) => {
  const { snap, dt, extra } = event.data as {
    snap: { rows: number; comps: Record<number, Columns> };
    dt: number;
    extra: { POS: number; VEL: number };
  };
  const pos = snap.comps[extra.POS];
  const vel = snap.comps[extra.VEL];
  for (let i = 0; i < snap.rows; i++) {
    pos.fields.x[i] += vel.fields.x[i] * dt;
    pos.fields.y[i] += vel.fields.y[i] * dt;
    markChanged(pos.changed, i);
  }
  postMessage("done");
};
