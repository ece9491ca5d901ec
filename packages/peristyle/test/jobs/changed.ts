/** Counts, in one component, how often rows of another changed. */
import type { JobInput } from "../../src/index.js";
import { isChanged, markChanged } from "../../src/snapshot/bits.js";

export function handle({ snap, extra }: JobInput): void {
  const { READ, WRITTEN } = extra as { READ: number; WRITTEN: number };
  const read = snap.comps[READ];
  const written = snap.comps[WRITTEN];
  for (let i = 0; i < snap.rows; i++) {
    (written.fields.n as Int32Array)[i] += isChanged(read.changed, i) ? 1 : 0;
    markChanged(written.changed, i);
  }
}
