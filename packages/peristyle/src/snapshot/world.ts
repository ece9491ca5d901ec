/** What a snapshot needs of a world: ours has it, and so has any other with these methods. */
import type { Fields } from "../world/fields.js";

/** A world as snapshots see it. `Q` is a query as it makes them, `C` a component type. */
export interface SnapshotWorld<Q = unknown, C = unknown> {
  makeQuery(spec: never): Q;
  /** Rows of a query: the entity, a getter, and the values of the component types, in their order. */
  iter(query: never, ...types: never[]): Iterable<readonly [entity: number, get: unknown, ...values: unknown[]]>;
  get(entity: number, type: never): unknown;
  set(entity: number, type: never, value: never): unknown;
  isAlive(entity: number): boolean;
  /** Only for compilers: what makes `Q` and `C` used. */
  readonly "~snapshot"?: readonly [Q, C];
}

/** What of a component lies in columns. */
export interface SnapshotLayout {
  readonly cid: number;
  readonly fields: Fields;
}

/** Which components a snapshot has, and as what: what `zeroCopy.build` gives. */
export interface SnapshotSpec {
  readonly layouts: readonly SnapshotLayout[];
  /** Component types by id, as the world's `get`, `set` and `iter` take them. */
  readonly types: Readonly<Record<number, unknown>>;
}
