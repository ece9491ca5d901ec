/**
 * The struct compiler: what a struct is made of, where each part lies, and records read and written by it.
 *
 * ```ts
 * const Body = S.struct({ alive: S.bool(), at: S.struct({ x: S.f32(), y: S.f32() }), trail: S.array(S.f32(), 2) });
 * const layout = compileStruct(Body);
 * layout.size; // 20
 * layout.flattenColumns(); // { alive: "bool", at_x: "f32", at_y: "f32", trail_0: "f32", trail_1: "f32" }
 * const view = new DataView(new ArrayBuffer(layout.size));
 * layout.write(view, { alive: true, at: { x: 1, y: 2 }, trail: [3, 4] });
 * ```
 */
import type { Scalar } from "../client/replica/schema.js";
import { SchemaError } from "../errors.js";
import { type StructField, layoutHash, listColumns, measure } from "./layout.js";
import { lower } from "./lower.js";
import { codec } from "./record.js";
import type { Infer } from "./schema.js";

export { S } from "./schema.js";
export type { ArraySchema, Infer, Pad, PlacedField, StructOptions, StructSchema } from "./schema.js";
export { ALIGN_MAX, COLUMNS_MAX, NAME_BYTES_MAX, SIZE_MAX, type StructField } from "./layout.js";
export { NESTING_MAX } from "./lower.js";

/** Where everything in a struct lies. */
export interface StructLayout<T> {
  /** Bytes of a record, padding included: also the distance from one record to the next. */
  readonly size: number;
  /** Alignment of a record in bytes. Reading and writing does without. */
  readonly align: number;
  /** Bytes of a record that belong to no field. */
  readonly padding: number;
  /** The scalars, in order of declaration. */
  readonly fields: readonly StructField[];
  /** Hash of the columns, by which a component of these fields is known; offsets are not part of it. */
  readonly hash: bigint;
  /**
   * Reads the record at `offset`, 0 if not given; big-endian if `littleEndian` is false.
   *
   * @throws {@link SchemaError} (`schema-size`) if the record is not wholly in `view`.
   */
  read(view: DataView, offset?: number, littleEndian?: boolean): T;
  /**
   * Writes a record. Padding becomes 0.
   *
   * @throws {@link ValueError} with the path of what does not fit, {@link SchemaError} as for `read`; nothing is written.
   */
  write(view: DataView, value: T, offset?: number, littleEndian?: boolean): void;
  /** The columns of a component that holds this struct, as `fields` of `defineComponent`: `{ pos_x: "f32" }`. */
  flattenColumns(): Record<string, Scalar>;
}

/**
 * Lays out a struct: one made by {@link S}, the same as JSON, a schema of `zod`, or a JSON Schema.
 *
 * @throws {@link SchemaError}, with the path of what is wrong or is no fixed number.
 */
export function compileStruct<const T>(schema: T): StructLayout<Infer<T>> {
  const root = measure(lower(schema), "");
  if (root.kind !== "struct") throw new SchemaError("schema-type", "the outermost type has to be a struct");
  const fields = listColumns(root);
  const { read, write, check } = codec(root);
  const { size, align } = root;
  const used = fields.reduce((bytes, field) => bytes + field.size, 0);

  const require = (view: DataView, offset: number): void => {
    if (Number.isInteger(offset) && offset >= 0 && offset + size <= view.byteLength) return;
    const message = `a record of ${size} bytes at ${offset} does not lie in ${view.byteLength} bytes`;
    throw new SchemaError("schema-size", message);
  };
  return {
    size,
    align,
    padding: size - used,
    fields,
    hash: layoutHash(fields),
    read(view, offset = 0, littleEndian = true) {
      require(view, offset);
      return read(view, offset, littleEndian) as Infer<T>;
    },
    write(view, value, offset = 0, littleEndian = true) {
      require(view, offset);
      check(value, "");
      if (used < size) new Uint8Array(view.buffer, view.byteOffset + offset, size).fill(0);
      write(view, value as never, offset, littleEndian);
    },
    flattenColumns: () => Object.fromEntries(fields.map(({ name, scalar }) => [name, scalar])),
  };
}
