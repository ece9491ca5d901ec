/** What a client knows of a component beforehand: so that its columns have types. */
import type { ColumnTypes, Scalar } from "./schema.js";

/** The fields of a component, by name. */
export type Fields = Readonly<Record<string, Scalar>>;

/** A component that a client knows. `peristyle types` writes these from the Rust definitions. */
export interface ComponentType<F extends Fields = Fields> {
  readonly name: string;
  readonly fields: F;
}

/** The columns of a component, by field. */
export type Columns<F extends Fields> = { readonly [K in keyof F]: ColumnTypes[F[K]] };

/** A value of a scalar. */
export type ScalarValue<S extends Scalar> = S extends "i64" | "u64" ? bigint : S extends "bool" ? boolean : number;

/** The values of a component of one entity. */
export type Values<F extends Fields> = { -readonly [K in keyof F]: ScalarValue<F[K]> };

/**
 * Names a component and the fields that the client uses of it.
 *
 * ```ts
 * const Position = component("Position", { latitude: "f32", longitude: "f32" });
 * view.get(Position).latitude; // Float32Array
 * ```
 */
export function component<const F extends Fields>(name: string, fields: F): ComponentType<F> {
  return { name, fields };
}
