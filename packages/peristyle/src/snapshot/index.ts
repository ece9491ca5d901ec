/** Snapshots of worlds in columns, patches, and bits of rows. */
export { isChanged, markChanged } from "./bits.js";
export { allocColumns, canUseSAB, type SnapshotColumns } from "./columns.js";
export type { Patch } from "./patch.js";
export { applyPatches, type PatchedWorld, type PatchesApplied } from "./patches.js";
export { buildSnapshot, commitSnapshot, type Committed, type SnapshotQuery, type WorldSnapshot } from "./snapshot.js";
export type { SnapshotLayout, SnapshotSpec, SnapshotWorld } from "./world.js";
