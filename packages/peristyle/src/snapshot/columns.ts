/** Columns of their own: for snapshots of worlds that do not lie in columns. */
import { SnapshotError, SupportError } from "../errors.js";
import { COLUMN_ARRAYS, compileFields, type Codec, type Column, type ColumnsOf } from "../world/fields.js";
import type { SnapshotLayout } from "./world.js";

/** The columns of one component, with a bit for each row that was written. */
export interface SnapshotColumns<C = Readonly<Record<string, Column>>> {
  /** By flattened name. All of them, and the bits, lie in one buffer. */
  readonly fields: C;
  readonly changed: Uint8Array;
}

/** Whether memory can be shared with workers here: in Node, and in pages that are cross-origin isolated. */
export function canUseSAB(): boolean {
  if (typeof SharedArrayBuffer !== "function") return false;
  if ((globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === false) return false;
  try {
    return new SharedArrayBuffer(8).byteLength === 8;
  } catch {
    return false;
  }
}

/** The fields of a layout, or fields as they are. */
type FieldsOf<L> = L extends { readonly cid: number; readonly fields: infer F } ? F : L;

/**
 * Allocates zeroed columns for fields, or for a layout that names them.
 * @throws {SupportError} if `shared` is asked for where memory cannot be shared.
 */
export function allocColumns<const L extends object>(
  rows: number,
  layout: L,
  shared: boolean,
): SnapshotColumns<ColumnsOf<FieldsOf<NoInfer<L>>>> {
  const { cid, fields } = layout as Partial<SnapshotLayout>;
  const isLayout = typeof cid === "number";
  const columns: unknown = columnsOf(
    rows,
    compileFields(isLayout ? String(cid) : "columns", isLayout ? fields : layout),
    shared,
  );
  return columns as never;
}

/** Rows that a 32-bit index can name. */
const ROWS_MAX = 2 ** 31 - 1;
const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** Columns of what a codec reads and writes. */
export function columnsOf(rows: number, codec: Codec, shared: boolean): SnapshotColumns {
  if (!Number.isInteger(rows) || rows < 0 || rows > ROWS_MAX) {
    throw new SnapshotError(
      "snapshot-rows",
      `columns have a whole number of rows up to ${ROWS_MAX}, not ${String(rows)}`,
    );
  }
  const bits = padded(Math.ceil(rows / 8));
  let bytes = bits;
  for (const { scalar } of codec.columns) bytes += padded(rows * COLUMN_ARRAYS[scalar].BYTES_PER_ELEMENT);
  const buffer = allocate(bytes, shared);
  const fields: Record<string, Column> = {};
  let at = 0;
  for (const { name, scalar } of codec.columns) {
    const ColumnArray = COLUMN_ARRAYS[scalar];
    fields[name] = new ColumnArray(buffer, at, rows);
    at += padded(rows * ColumnArray.BYTES_PER_ELEMENT);
  }
  return { fields, changed: new Uint8Array(buffer, at, bits) };
}

/** Makes a buffer, or says that there is none. */
export function allocate(bytes: number, shared: boolean): ArrayBuffer | SharedArrayBuffer {
  if (shared && !canUseSAB()) {
    const message = "memory cannot be shared here: a page must be cross-origin isolated (ask `canUseSAB()` first)";
    throw new SupportError("no-shared-memory", message);
  }
  try {
    return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  } catch (cause) {
    throw new SnapshotError("snapshot-rows", `there is no memory for ${bytes} bytes of columns`, { cause });
  }
}
