/**
 * Snapshots of any world: chosen components of the rows of a query as columns, and back what a job marked.
 *
 * A snapshot is data: it can be posted to a worker, with `transfer` if it is not shared, and the worker's copy can be
 * committed as well as the original.
 *
 * # Rules
 * - `commit` writes rows whose bit is set, of entities that still live and still have the component. Others are
 *   counted.
 * - A component without a bit is not looked at.
 */
import { SnapshotError } from "../errors.js";
import { compileFields, type Codec, type Column } from "../world/fields.js";
import { allocate, canUseSAB, columnsOf, type SnapshotColumns } from "./columns.js";
import type { SnapshotSpec, SnapshotWorld } from "./world.js";

/** Rows of a query, in columns. */
export interface WorldSnapshot {
  readonly shared: boolean;
  readonly rows: number;
  /** Entity indices by row. */
  readonly eids: Int32Array;
  /** Entities by row. */
  readonly handles: Float64Array;
  /** By component id. */
  readonly comps: Readonly<Record<number, SnapshotColumns>>;
}

/** What a commit did. */
export interface Committed {
  /** Values that were written. */
  readonly written: number;
  /** Values of entities that are gone or have not the component any more. */
  readonly skipped: number;
}

/** Which rows: what the world's `makeQuery` takes, a function that gives it, or what `makeQuery` gave. */
export type SnapshotQuery<W> = object | ((world: W) => object);

/**
 * Copies components of the rows of a query into columns, shared where memory can be shared.
 *
 * `transfer` is what `postMessage` is given: the buffers, or nothing if they are shared.
 */
export function buildSnapshot<W extends SnapshotWorld>(
  world: W,
  spec: SnapshotSpec,
  query: SnapshotQuery<W>,
): { snap: WorldSnapshot; transfer: ArrayBuffer[] } {
  const shared = canUseSAB();
  const parts = partsOf(spec);
  const types = parts.map(({ type }) => type as never);
  const entities: number[] = [];
  const values: unknown[][] = parts.map(() => []);
  for (const [entity, , ...row] of world.iter(queryOf(world, query) as never, ...types)) {
    if (!Number.isSafeInteger(entity)) {
      throw new SnapshotError("snapshot-world", `an entity must be a safe integer, not ${String(entity)}`);
    }
    entities.push(entity);
    for (let i = 0; i < parts.length; i++) values[i].push(row[i]);
  }
  const rows = entities.length;
  const buffer = allocate(rows * 12, shared);
  const handles = new Float64Array(buffer, 0, rows);
  const eids = new Int32Array(buffer, rows * 8, rows);
  handles.set(entities);
  for (let row = 0; row < rows; row++) eids[row] = entities[row] | 0;
  const comps: Record<number, SnapshotColumns> = {};
  for (const [i, { cid, codec }] of parts.entries()) {
    const columns = columnsOf(rows, codec, shared);
    fill(columns, codec, values[i]);
    comps[cid] = columns;
  }
  const snap = { shared, rows, eids, handles, comps };
  const buffers = [buffer, ...Object.values(comps).map(({ changed }) => changed.buffer)];
  return { snap, transfer: shared ? [] : (buffers as ArrayBuffer[]) };
}

/** Writes what is marked back into the world. */
export function commitSnapshot(world: SnapshotWorld, spec: SnapshotSpec, snap: WorldSnapshot): Committed {
  let written = 0;
  let skipped = 0;
  for (const { cid, codec, type } of partsOf(spec)) {
    const columns = snap.comps[cid] as SnapshotColumns | undefined;
    if (columns === undefined) continue;
    const list = listOf(columns, codec, snap, cid);
    const { changed } = columns;
    for (let byte = 0; byte < changed.length; byte++) {
      if (changed[byte] === 0) continue;
      for (let row = byte * 8; row < Math.min(byte * 8 + 8, snap.rows); row++) {
        if ((changed[byte] & (1 << (row & 7))) === 0) continue;
        if (write(world, snap.handles[row], type, codec.read(list, row))) written++;
        else skipped++;
      }
    }
  }
  return { written, skipped };
}

function write(world: SnapshotWorld, entity: number, type: unknown, value: unknown): boolean {
  if (!world.isAlive(entity)) return false;
  const before = world.get(entity, type as never);
  if (before === undefined) return false;
  // Objects may have more than what lies in columns.
  world.set(entity, type as never, (isObject(before) && isObject(value) ? { ...before, ...value } : value) as never);
  return true;
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

interface Part {
  readonly cid: number;
  readonly codec: Codec;
  readonly type: unknown;
}

function partsOf({ layouts, types }: SnapshotSpec): Part[] {
  return layouts.map(({ cid, fields }) => {
    const type = types[cid];
    if (type === undefined) {
      throw new SnapshotError("snapshot-layout", `\`layouts\` names component ${cid}, but \`types\` does not have it`);
    }
    const { name } = type as { name?: unknown };
    return { cid, type, codec: compileFields(typeof name === "string" ? name : String(cid), fields) };
  });
}

function queryOf<W extends SnapshotWorld>(world: W, query: SnapshotQuery<W>): unknown {
  const given = typeof query === "function" ? query(world) : query;
  const isSpec =
    Object.getPrototypeOf(given) === Object.prototype && QUERY_KEYS.some((key) => Array.isArray((given as Spec)[key]));
  return isSpec ? world.makeQuery(given as never) : given;
}

const QUERY_KEYS = ["all", "any", "none", "changed"] as const;
type Spec = Readonly<Record<string, unknown>>;

/** Puts values into columns. What a value does not have stays 0. */
function fill(columns: SnapshotColumns, codec: Codec, values: readonly unknown[]): void {
  const list = codec.columns.map(({ name }) => columns.fields[name]);
  const zero = codec.zero();
  for (const [row, value] of values.entries()) {
    if (value === undefined || value === null) continue;
    codec.write(list, row, known(value, zero));
  }
}

/** Of a value what its columns have: objects may have more, and may lack some. */
function known(value: unknown, zero: unknown): unknown {
  if (!isObject(zero)) return value ?? zero;
  if (Array.isArray(zero)) return zero.map((part, i) => known((value as unknown[] | undefined)?.[i], part));
  return Object.fromEntries(
    Object.entries(zero).map(([name, part]) => [
      name,
      known((value as Record<string, unknown> | undefined)?.[name], part),
    ]),
  );
}

function listOf(columns: SnapshotColumns, codec: Codec, snap: WorldSnapshot, cid: number): Column[] {
  const { rows, handles } = snap;
  const wrong = (what: string): never => {
    throw new SnapshotError("snapshot-layout", `component ${cid} of the snapshot ${what}`);
  };
  if (!(columns.changed instanceof Uint8Array)) return wrong("has no bits `changed`");
  if (rows > 0 && (columns.changed.length === 0 || handles.length !== rows)) {
    throw new SnapshotError(
      "snapshot-stale",
      `component ${cid} of the snapshot is empty: its buffers were transferred, commit what came back`,
    );
  }
  return codec.columns.map(({ name }) => {
    const column = columns.fields[name] as Column | undefined;
    if (column === undefined) return wrong(`has no column \`${name}\``);
    if (column.length !== rows) return wrong(`has ${column.length} rows in \`${name}\`, not ${rows}`);
    return column;
  });
}
