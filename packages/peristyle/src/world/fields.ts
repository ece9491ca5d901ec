/**
 * Fields of a component: scalars, fixed arrays and nested structs, and the columns that they flatten to.
 *
 * A field `pos: { x: "f32" }` is the column `pos_x`, `values: ["f32", 2]` are `values_0` and `values_1`. A value of the
 * component is an object of that shape; a {@link Codec} moves it in and out of columns.
 *
 * # Rules
 * - Columns are in the order of fields, depth first: the order of the core's layout.
 * - A value is checked wholly before its first number is written.
 */
import type { ColumnTypes, Scalar } from "../client/replica/schema.js";
import { ComponentError, ValueError } from "../errors.js";

export type { ColumnTypes, Scalar } from "../client/replica/schema.js";

/** What a field can be: a scalar, `[element, length]`, or a struct of fields. */
export type FieldSpec = Scalar | readonly [element: FieldSpec, length: number] | Fields;

/** The fields of a component, by name. */
export interface Fields {
  readonly [name: string]: FieldSpec;
}

/** The value of a field. */
export type FieldValue<F> = F extends "i64" | "u64"
  ? bigint
  : F extends "bool"
    ? boolean
    : F extends Scalar
      ? number
      : F extends readonly [infer E, number]
        ? FieldValue<E>[]
        : { -readonly [K in keyof F]: FieldValue<F[K]> };

// What is known only to be fields has columns of any name.
type Entry<F, P extends string> = [FieldSpec] extends [F] ? never : Known<F, P>;

type Known<F, P extends string> = F extends Scalar
  ? readonly [P, F]
  : F extends readonly [infer E, number]
    ? Entry<E, `${P}_${number}`>
    : { [K in keyof F & string]: Entry<F[K], P extends "" ? K : `${P}_${K}`> }[keyof F & string];

type ByName<E> = {
  readonly [N in E as N extends readonly [infer Name extends string, Scalar] ? Name : never]: N extends readonly [
    string,
    infer S extends Scalar,
  ]
    ? ColumnTypes[S]
    : never;
};

/** The columns of fields, by flattened name. */
export type ColumnsOf<F> = string extends keyof F ? Readonly<Record<string, Column>> : ByName<Entry<F, "">>;

/** Any column. */
export type Column = ColumnTypes[Scalar];

/** One column of a component. */
export interface ColumnSpec {
  /** Its flattened name: `pos_x`. */
  readonly name: string;
  /** Where its value is: `pos.x`, `values[0]`. */
  readonly path: string;
  readonly scalar: Scalar;
}

type ColumnArrayConstructor = {
  new (length: number): Column;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Column;
  readonly BYTES_PER_ELEMENT: number;
};

/** The typed array that holds a scalar's values. */
export const COLUMN_ARRAYS: Readonly<Record<Scalar, ColumnArrayConstructor>> = {
  f32: Float32Array as ColumnArrayConstructor,
  f64: Float64Array as ColumnArrayConstructor,
  i8: Int8Array as ColumnArrayConstructor,
  u8: Uint8Array as ColumnArrayConstructor,
  i16: Int16Array as ColumnArrayConstructor,
  u16: Uint16Array as ColumnArrayConstructor,
  i32: Int32Array as ColumnArrayConstructor,
  u32: Uint32Array as ColumnArrayConstructor,
  i64: BigInt64Array as ColumnArrayConstructor,
  u64: BigUint64Array as ColumnArrayConstructor,
  bool: Uint8Array as ColumnArrayConstructor,
};

const SCALARS = Object.keys(COLUMN_ARRAYS).join(", ");

/** How deep fields may be nested, and how many columns a component may have. */
const DEPTH_MAX = 32;
const COLUMNS_MAX = 1024;

/** Moves values of a component in and out of its columns. */
export interface Codec<T = unknown> {
  readonly columns: readonly ColumnSpec[];
  /** Makes the value of a row. */
  read(columns: readonly Column[], row: number): T;
  /** Writes a value whose shape is known to be right. */
  write(columns: readonly Column[], row: number, value: T): void;
  /** Whether a value is whole and right. */
  fits(value: unknown): value is T;
  /** Says what is wrong with a value, by an error. */
  check(value: unknown): void;
  /** A whole value: what `value` has, then what `base` has. Throws for what is unknown. */
  complete(value: unknown, base: T): T;
  /** The value whose numbers are 0. */
  zero(): T;
}

/** Part of a value: a number of one column, or an array or a struct of parts. */
interface Part {
  read(columns: readonly Column[], row: number): unknown;
  write(columns: readonly Column[], row: number, value: unknown): void;
  check(value: unknown): void;
  complete(value: unknown, base: unknown): unknown;
  zero(): unknown;
}

function fail(component: string, path: string, must: string, value: unknown): never {
  const where = path === "" ? `\`${component}\`` : `\`${component}.${path}\``;
  const what = value === null ? "null" : Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
  throw new ValueError("value-type", `${where} must be ${must}, and was given ${what}`);
}

function scalarPart(component: string, path: string, scalar: Scalar, at: number): Part {
  const wide = scalar === "i64" || scalar === "u64";
  const complete = (value: unknown, base: unknown) => (value === undefined ? base : (check(value), value));
  let check: (value: unknown) => void;
  if (wide) {
    check = (value) => {
      if (typeof value !== "bigint") fail(component, path, "a BigInt", value);
    };
    return {
      read: (columns, row) => columns[at][row],
      write: (columns, row, value) => void (columns[at][row] = value as never),
      check,
      complete,
      zero: () => 0n,
    };
  }
  if (scalar === "bool") {
    check = (value) => {
      if (typeof value !== "boolean") fail(component, path, "a boolean", value);
    };
    return {
      read: (columns, row) => columns[at][row] !== 0,
      write: (columns, row, value) => void (columns[at][row] = Number(value)),
      check,
      complete,
      zero: () => false,
    };
  }
  check = (value) => {
    if (typeof value !== "number") fail(component, path, "a number", value);
  };
  return {
    read: (columns, row) => columns[at][row],
    write: (columns, row, value) => void (columns[at][row] = value as number),
    check,
    complete,
    zero: () => 0,
  };
}

function arrayPart(component: string, path: string, elements: readonly Part[]): Part {
  const check = (value: unknown): value is unknown[] => {
    if (!Array.isArray(value)) fail(component, path, `an array of ${elements.length}`, value);
    if (value.length !== elements.length) {
      const message = `\`${component}.${path}\` must have ${elements.length} elements, and was given ${value.length}`;
      throw new ValueError("value-field", message);
    }
    return true;
  };
  return {
    read: (columns, row) => elements.map((element) => element.read(columns, row)),
    write: (columns, row, value) => elements.forEach((part, i) => part.write(columns, row, (value as unknown[])[i])),
    check: (value) => check(value) && elements.forEach((part, i) => part.check(value[i])),
    complete(value, base) {
      if (value === undefined) return base;
      return check(value) && elements.map((part, i) => part.complete(value[i], (base as unknown[])[i]));
    },
    zero: () => elements.map((part) => part.zero()),
  };
}

type Struct = Record<string, unknown>;

function structPart(component: string, path: string, names: readonly string[], parts: readonly Part[]): Part {
  const known = new Set(names);
  const prefix = path === "" ? "" : `${path}.`;
  const unknown = (value: object): never | void => {
    for (const name in value) {
      if (known.has(name)) continue;
      const message = `\`${component}\` has no field \`${prefix}${name}\`; it has ${names.join(", ")}`;
      throw new ValueError("value-field", message);
    }
  };
  const count = names.length;
  return {
    read(columns, row) {
      const value: Struct = {};
      for (let i = 0; i < count; i++) value[names[i]] = parts[i].read(columns, row);
      return value;
    },
    write(columns, row, value) {
      for (let i = 0; i < count; i++) parts[i].write(columns, row, (value as Struct)[names[i]]);
    },
    check(value) {
      if (typeof value !== "object" || value === null) fail(component, path, "an object", value);
      for (let i = 0; i < count; i++) {
        const field = (value as Struct)[names[i]];
        if (field === undefined) {
          const message = `\`${component}\` needs a value for its field \`${prefix}${names[i]}\``;
          throw new ValueError("value-field", message);
        }
        parts[i].check(field);
      }
      unknown(value);
    },
    complete(value, base) {
      if (value === undefined) return base;
      if (typeof value !== "object" || value === null) fail(component, path, "an object", value);
      unknown(value);
      const whole: Struct = {};
      for (let i = 0; i < count; i++) {
        whole[names[i]] = parts[i].complete((value as Struct)[names[i]], (base as Struct)[names[i]]);
      }
      return whole;
    },
    zero: () => Object.fromEntries(names.map((name, i) => [name, parts[i].zero()])),
  };
}

/** Structs of one to four scalars are nearly all components there are: without loops and calls they cost a third. */
function flatCodec<T>(columns: readonly ColumnSpec[], general: Codec<T>): Codec<T> {
  const flat = ({ name, path, scalar }: ColumnSpec) => name === path && !["i64", "u64", "bool"].includes(scalar);
  if (columns.length > 4 || !columns.every(flat)) return general;
  const [a, b, c, d] = columns.map(({ path }) => path);
  type Numbers = Record<string, number>;
  const count = columns.length;
  const fits = (value: unknown): value is T => {
    if (typeof value !== "object" || value === null) return false;
    let known = 0;
    for (const name in value) {
      if (name !== a && name !== b && name !== c && name !== d) return false;
      if (typeof (value as Numbers)[name] !== "number") return false;
      known++;
    }
    return known === count;
  };
  // Whoever gave what is right is let through at once; the general way says what is wrong.
  const check = (value: unknown) => fits(value) || general.check(value);
  const writes: Codec<T>["write"][] = [
    (cols, row, v) => void (cols[0][row] = (v as Numbers)[a]),
    (cols, row, v) => {
      cols[0][row] = (v as Numbers)[a];
      cols[1][row] = (v as Numbers)[b];
    },
    (cols, row, v) => {
      cols[0][row] = (v as Numbers)[a];
      cols[1][row] = (v as Numbers)[b];
      cols[2][row] = (v as Numbers)[c];
    },
    (cols, row, v) => {
      cols[0][row] = (v as Numbers)[a];
      cols[1][row] = (v as Numbers)[b];
      cols[2][row] = (v as Numbers)[c];
      cols[3][row] = (v as Numbers)[d];
    },
  ];
  const reads: Codec<T>["read"][] = [
    (cols, row) => ({ [a]: cols[0][row] }) as T,
    (cols, row) => ({ [a]: cols[0][row], [b]: cols[1][row] }) as T,
    (cols, row) => ({ [a]: cols[0][row], [b]: cols[1][row], [c]: cols[2][row] }) as T,
    (cols, row) => ({ [a]: cols[0][row], [b]: cols[1][row], [c]: cols[2][row], [d]: cols[3][row] }) as T,
  ];
  return { ...general, fits, check, read: reads[count - 1], write: writes[count - 1] };
}

/** Checks the name of a component or resource. The core is told of it in a text of lines, so it must be one line. */
export function checkName(what: "component" | "resource", name: unknown): asserts name is string {
  if (typeof name !== "string" || name === "") {
    throw new ComponentError("component-name", `a ${what} needs a \`name\`: a text that is not empty`);
  }
  if (/[\p{Cc}\u2028\u2029]/u.test(name)) {
    const message = `the name of a ${what} has no line breaks and no control characters; it was given ${JSON.stringify(name)}`;
    throw new ComponentError("component-name", message);
  }
  if (name === "__proto__") throw new ComponentError("component-name", `a ${what} cannot have the name \`__proto__\``);
}

/** Compiles the fields of a component. Throws a {@link ComponentError} that names the field that is wrong. */
export function compileFields<T>(component: string, fields: unknown): Codec<T> {
  const columns: ColumnSpec[] = [];
  const wrong = (path: string, why: string): never => {
    throw new ComponentError("component-fields", `component \`${component}\`, field \`${path}\`: ${why}`);
  };
  const part = (spec: unknown, name: string, path: string, depth: number): Part => {
    if (depth > DEPTH_MAX) wrong(path, `fields are nested deeper than ${DEPTH_MAX}`);
    if (typeof spec === "string") {
      if (!Object.hasOwn(COLUMN_ARRAYS, spec)) {
        const message = `component \`${component}\`, field \`${path}\`: unknown scalar \`${spec}\`; there are ${SCALARS}`;
        throw new ComponentError("component-scalar", message);
      }
      if (columns.length === COLUMNS_MAX) wrong(path, `a component has at most ${COLUMNS_MAX} columns`);
      if (name === "__proto__") wrong(path, "its column cannot have the name `__proto__`");
      if (columns.some((column) => column.name === name)) wrong(path, `another field is the column \`${name}\` too`);
      columns.push({ name, path, scalar: spec as Scalar });
      return scalarPart(component, path, spec as Scalar, columns.length - 1);
    }
    if (Array.isArray(spec)) {
      const [element, length] = spec as [unknown, unknown];
      if (spec.length !== 2 || !Number.isInteger(length) || (length as number) < 1 || (length as number) > COLUMNS_MAX) {
        wrong(path, `an array is said as [element, length], with a length from 1 to ${COLUMNS_MAX}`);
      }
      const elements = Array.from({ length: length as number }, (_, i) =>
        part(element, `${name}_${i}`, `${path}[${i}]`, depth + 1),
      );
      return arrayPart(component, path, elements);
    }
    if (typeof spec !== "object" || spec === null) return wrong(path, "must be a scalar, [element, length] or fields");
    const names = Object.keys(spec);
    if (names.length === 0) wrong(path, "there are no fields; leave `fields` out for a component that holds any value");
    for (const key of names) {
      const where = path === "" ? key : `${path}.${key}`;
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) wrong(where, "a field's name has letters, digits and _");
      if (key === "__proto__") wrong(where, "a field cannot have this name");
    }
    const parts = names.map((key) =>
      part((spec as Struct)[key], name === "" ? key : `${name}_${key}`, path === "" ? key : `${path}.${key}`, depth + 1),
    );
    return structPart(component, path, names, parts);
  };
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw new ComponentError("component-fields", `component \`${component}\`: \`fields\` must be an object`);
  }
  const root = part(fields, "", "", 0);
  const fits = (value: unknown): value is T => {
    try {
      return root.check(value), true;
    } catch {
      return false;
    }
  };
  const codec = { ...root, columns, fits } as Codec<T>;
  return flatCodec(columns, codec);
}
