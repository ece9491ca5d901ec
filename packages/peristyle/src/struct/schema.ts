/**
 * What a struct is made of: scalars, entities, fixed arrays, nested structs, explicit padding.
 *
 * A schema is plain data, and its JSON is the document that Rust's `peristyle_layout::schema::Type` and the command
 * `peristyle layout` read: `S.struct({ at: S.array(S.f32(), 2) })` is `{ struct: { at: { array: "f32", len: 2 } } }`.
 */
import type { Scalar } from "../client/replica/schema.js";

/** Bytes that nothing uses, in the place of a field. */
export interface Pad<N extends number = number> {
  readonly pad: N;
}

/** A fixed array. */
export interface ArraySchema<E = unknown, N extends number = number> {
  readonly array: E;
  readonly len: N;
}

/** A field at an offset of its own. */
export interface PlacedField<T = unknown> {
  readonly type: T;
  readonly at?: number;
}

/** How a struct is laid out, where it is not as C does it. */
export interface StructOptions {
  /** Leaves no padding between fields nor behind the last one. What nested structs are like is theirs to say. */
  readonly packed?: boolean;
  /** Aligns the struct to at least that many bytes, a power of two, and makes its size a multiple of it. */
  readonly align?: number;
}

/** A struct of fields, in their order; the key of a pad means nothing. */
export interface StructSchema<F = Readonly<Record<string, unknown>>> extends StructOptions {
  readonly struct: F;
}

/** Where `zod` of version 3 and 4 keep the type of what a schema gives. */
interface ZodLike<O> {
  readonly _output: O;
}

/** The value that a schema describes. Of JSON Schema nothing is known: its values are `unknown`. */
export type Infer<T> = T extends ZodLike<infer O>
  ? O
  : T extends "i64" | "u64"
    ? bigint
    : T extends "bool"
      ? boolean
      : T extends Scalar | "entity"
        ? number
        : T extends { readonly array: infer E; readonly len: number }
          ? Infer<E>[]
          : T extends { readonly struct: infer F }
            ? F extends readonly unknown[]
              ? unknown
              : { -readonly [K in keyof F as F[K] extends Pad ? never : K]: Infer<F[K]> }
            : T extends { readonly type: infer U; readonly at: number }
              ? Infer<U>
              : unknown;

/** Makes schemas. */
export const S = {
  f32: (): "f32" => "f32",
  f64: (): "f64" => "f64",
  i8: (): "i8" => "i8",
  u8: (): "u8" => "u8",
  i16: (): "i16" => "i16",
  u16: (): "u16" => "u16",
  i32: (): "i32" => "i32",
  u32: (): "u32" => "u32",
  /** A `bigint`. */
  i64: (): "i64" => "i64",
  /** A `bigint`. */
  u64: (): "u64" => "u64",
  /** A byte, 0 or 1; any other reads as true. */
  bool: (): "bool" => "bool",
  /** An entity's handle: an `f64` that holds its integer, 0 for none. */
  entity: (): "entity" => "entity",
  /** A fixed array of `len` elements. */
  array: <const E, const N extends number>(element: E, len: N): ArraySchema<E, N> => ({ array: element, len }),
  /** A struct, laid out as C does it unless `options` say otherwise. */
  struct: <const F extends Readonly<Record<string, unknown>>>(fields: F, options: StructOptions = {}): StructSchema<F> => ({
    struct: fields,
    ...options,
  }),
  /** Bytes that nothing uses, as a field under any name. */
  pad: <const N extends number>(bytes: N): Pad<N> => ({ pad: bytes }),
  /** A field at an offset of its own in its struct. The next field follows it. */
  at: <const T>(offset: number, type: T): { readonly type: T; readonly at: number } => ({ type, at: offset }),
} as const;
