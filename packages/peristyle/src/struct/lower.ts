/**
 * Schemas of any kind as one: our own, those of `zod` (3 and 4) and JSON Schema, as far as they describe fixed numbers.
 *
 * | described as | is |
 * |---|---|
 * | number | `f64`; with a format (`float32`, `int32`, `uint16` ...) that scalar |
 * | integer with both bounds | the smallest integer scalar that holds them; beyond 32 bits `f64`, up to 2^53 |
 * | integer without | `f64`, which holds all safe integers |
 * | `bigint` of 64 bits | `i64`, `u64` |
 * | boolean | `bool` |
 * | array or tuple of equal elements with a fixed length | an array |
 * | object whose fields are all required | a struct |
 *
 * What is anything else, or may be absent, is refused with its path. Nothing here needs `zod`: its schemas are known by
 * their shape.
 */
import type { Scalar } from "../client/replica/schema.js";
import { SchemaError } from "../errors.js";

/** How deep arrays and structs may be nested in each other, the outermost struct included. */
export const NESTING_MAX = 32;

/** A field of a struct, or padding. */
export type Member = { readonly name: string; readonly type: Type; readonly at: number | undefined } | { readonly pad: number };

/** Any schema, in one form. */
export type Type =
  | { readonly kind: "scalar"; readonly scalar: Scalar; readonly entity: boolean }
  | { readonly kind: "array"; readonly element: Type; readonly len: number }
  | { readonly kind: "struct"; readonly members: readonly Member[]; readonly packed: boolean; readonly align: number };

const SCALARS: readonly string[] = ["f32", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool"];

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** A path in quotes, or words for the outermost struct. */
export const at = (path: string): string => (path === "" ? "the outermost struct" : `\`${path}\``);

export const within = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

const scalar = (name: Scalar): Type => ({ kind: "scalar", scalar: name, entity: false });

function unsupported(path: string, what: string): SchemaError {
  return new SchemaError("schema-unsupported", `${at(path)}: ${what} is not a fixed number, nor made of such`);
}

/** What a value that is no schema looks like. */
function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 255));
  return isObject(value) ? `an object with ${Object.keys(value).slice(0, 8).join(", ") || "nothing"}` : String(value);
}

/**
 * Reads a schema of any kind.
 *
 * @throws {@link SchemaError}, with the path of what is no fixed number.
 */
export function lower(schema: unknown, path = "", depth = 0): Type {
  if (depth > NESTING_MAX) {
    throw new SchemaError("schema-depth", `${at(path)} is nested deeper than ${NESTING_MAX}`);
  }
  if (typeof schema === "string") {
    if (SCALARS.includes(schema)) return scalar(schema as Scalar);
    if (schema === "entity") return { kind: "scalar", scalar: "f64", entity: true };
  } else if (isObject(schema)) {
    if (isObject(schema["_zod"])) return ofZod4(schema["_zod"]["def"], path, depth);
    if (isObject(schema["_def"]) && typeof schema["_def"]["typeName"] === "string") {
      return ofZod3(schema["_def"], path, depth);
    }
    if ("struct" in schema) return ofStruct(schema, path, depth);
    if ("array" in schema) return array(lower(schema["array"], `${path}[]`, depth + 1), schema["len"], path);
    if ("type" in schema || "$ref" in schema || "anyOf" in schema || "enum" in schema || "const" in schema) {
      return ofJson(schema, path, depth);
    }
  }
  throw new SchemaError(
    "schema-type",
    `${at(path)}: ${describe(schema)} is no type, expected ${SCALARS.join(", ")}, entity, an array or a struct`,
  );
}

function array(element: Type, len: unknown, path: string): Type {
  if (!Number.isSafeInteger(len) || (len as number) < 0) {
    throw new SchemaError("schema-size", `${at(path)} is an array of ${describe(len)} elements, expected an integer`);
  }
  return { kind: "array", element, len: len as number };
}

const struct = (members: readonly Member[]): Type => ({ kind: "struct", members, packed: false, align: 1 });

/** Refuses keys that mean nothing, for a misspelt one would change a layout in silence. */
function allow(object: Record<string, unknown>, path: string, keys: readonly string[]): void {
  for (const key of Object.keys(object)) {
    if (!keys.includes(key)) {
      throw new SchemaError("schema-type", `${at(path)}: \`${key}\` is unknown, expected ${keys.join(", ")}`);
    }
  }
}

function bytes(value: unknown, path: string, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new SchemaError("schema-size", `${at(path)}: ${what} is ${describe(value)}, expected a number of bytes`);
  }
  return value;
}

function ofStruct(schema: Record<string, unknown>, path: string, depth: number): Type {
  allow(schema, path, ["struct", "packed", "align"]);
  const { struct: fields, packed = false, align } = schema;
  if (typeof packed !== "boolean") {
    throw new SchemaError("schema-type", `${at(path)}: \`packed\` is ${describe(packed)}, expected true or false`);
  }
  if (!isObject(fields)) {
    throw new SchemaError("schema-type", `${at(path)}: the fields are ${describe(fields)}, expected an object or a list`);
  }
  const members = Array.isArray(fields)
    ? fields.map((entry: unknown) => ofEntry(entry, path, depth))
    : Object.entries(fields).map(([name, field]) => ofField(name, field, path, depth));
  return { kind: "struct", members, packed, align: align === undefined ? 1 : bytes(align, path, "the alignment") };
}

/** A field in a list. */
function ofEntry(entry: unknown, path: string, depth: number): Member {
  if (isObject(entry) && "pad" in entry) return ofField("", entry, path, depth);
  if (!isObject(entry) || typeof entry["name"] !== "string" || !("type" in entry)) {
    throw new SchemaError("schema-type", `${at(path)}: ${describe(entry)} is no field, expected \`name\` and \`type\`, or \`pad\``);
  }
  allow(entry, path, ["name", "type", "at"]);
  return placed(entry["name"], entry["type"], entry["at"], path, depth);
}

/** A field under its name: a type, an offset with one, or padding. */
function ofField(name: string, field: unknown, path: string, depth: number): Member {
  if (isObject(field) && "pad" in field) {
    allow(field, within(path, name), ["pad"]);
    return { pad: bytes(field["pad"], path, "padding") };
  }
  const placedField = isObject(field) && "at" in field && "type" in field;
  const bare = isObject(field) && "type" in field && Object.keys(field).length === 1 && !isJsonType(field["type"]);
  if (!placedField && !bare) return placed(name, field, undefined, path, depth);
  allow(field, within(path, name), ["type", "at"]);
  return placed(name, field["type"], field["at"], path, depth);
}

function placed(name: string, type: unknown, offset: unknown, path: string, depth: number): Member {
  const here = within(path, name);
  const start = offset === undefined ? undefined : bytes(offset, here, "the offset");
  return { name, type: lower(type, here, depth + 1), at: start };
}

// JSON Schema.

const JSON_TYPES: readonly unknown[] = ["object", "array", "number", "integer", "boolean", "string", "null"];
const isJsonType = (type: unknown): boolean => Array.isArray(type) || JSON_TYPES.includes(type);

/** Formats of numbers in OpenAPI, in JSON Schema in the wild, and in `zod`. */
const FORMATS: Readonly<Record<string, Scalar>> = {
  float: "f32",
  float32: "f32",
  double: "f64",
  float64: "f64",
  safeint: "f64",
  int8: "i8",
  uint8: "u8",
  int16: "i16",
  uint16: "u16",
  int32: "i32",
  uint32: "u32",
  int64: "i64",
  uint64: "u64",
};

const formatted = (format: unknown): Scalar | undefined =>
  typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;

const BOUNDS: readonly [Scalar, low: number, high: number][] = [
  ["u8", 0, 0xff],
  ["i8", -0x80, 0x7f],
  ["u16", 0, 0xffff],
  ["i16", -0x8000, 0x7fff],
  ["u32", 0, 0xffffffff],
  ["i32", -0x80000000, 0x7fffffff],
];

/** The smallest scalar for integers from `low` to `high`. */
const integer = (low: number, high: number): Type =>
  scalar(BOUNDS.find(([, least, most]) => least <= low && high <= most)?.[0] ?? "f64");

const bound = (value: unknown, otherwise: number): number => (typeof value === "number" ? value : otherwise);

function ofJson(schema: Record<string, unknown>, path: string, depth: number): Type {
  const { type } = schema;
  switch (type) {
    case "boolean":
      return scalar("bool");
    case "number":
    case "integer": {
      const format = formatted(schema["format"]);
      if (format !== undefined) return scalar(format);
      if (type === "number") return scalar("f64");
      const low = bound(schema["minimum"], bound(schema["exclusiveMinimum"], -Infinity) + 1);
      return integer(low, bound(schema["maximum"], bound(schema["exclusiveMaximum"], Infinity) - 1));
    }
    case "array": {
      if (Array.isArray(schema["prefixItems"])) return tuple(schema["prefixItems"], path, depth);
      const { items, minItems, maxItems } = schema;
      if (Array.isArray(items)) return tuple(items, path, depth);
      if (minItems === undefined || minItems !== maxItems) throw unsupported(path, "an array without a fixed length");
      return array(lower(items, `${path}[]`, depth + 1), minItems, path);
    }
    case "object": {
      const { properties = {}, required = [] } = schema;
      if (!isObject(properties)) throw unsupported(path, "an object without properties");
      const optional = Object.keys(properties).find((name) => !(Array.isArray(required) && required.includes(name)));
      if (optional !== undefined) throw unsupported(within(path, optional), "what is not in `required`");
      return struct(Object.entries(properties).map(([name, field]) => placed(name, field, undefined, path, depth)));
    }
    default:
      throw unsupported(path, type === undefined ? describe(schema) : `a JSON Schema of type ${JSON.stringify(type)}`);
  }
}

/** Elements that all have the same type are an array. */
function tuple(items: readonly unknown[], path: string, depth: number): Type {
  const elements = items.map((item, index) => lower(item, `${path}[${index}]`, depth + 1));
  const [first] = elements;
  if (first === undefined || elements.some((element) => JSON.stringify(element) !== JSON.stringify(first))) {
    throw unsupported(path, "a tuple of different elements");
  }
  return { kind: "array", element: first, len: elements.length };
}

// zod.

/** Types of both versions that only wrap another. */
const WRAPPERS: readonly unknown[] = ["readonly", "ZodReadonly", "ZodBranded"];

/** What a check of zod 4 says. */
const checks = (def: Record<string, unknown>): Record<string, unknown>[] =>
  (Array.isArray(def["checks"]) ? (def["checks"] as unknown[]) : []).flatMap((check) => {
    const own = isObject(check) && isObject(check["_zod"]) ? check["_zod"]["def"] : undefined;
    return isObject(own) ? [own] : [];
  });

function ofZod4(def: unknown, path: string, depth: number): Type {
  if (!isObject(def)) throw unsupported(path, "a schema of an unknown version of zod");
  const { type } = def;
  switch (type) {
    case "boolean":
      return scalar("bool");
    case "number":
    case "bigint": {
      const all = [def, ...checks(def)];
      const formats = all.map((check) => check["format"]).filter((format) => format !== undefined);
      const format = formats.map(formatted).find((name) => name !== undefined && name !== "f64");
      if (type === "bigint") {
        if (format === undefined) throw unsupported(path, "a bigint without a format of 64 bits");
        return scalar(format);
      }
      if (format !== undefined) return scalar(format);
      if (!formats.includes("safeint")) return scalar("f64");
      const limit = (kind: string, step: number): number[] =>
        all
          .filter(({ check }) => check === kind)
          .map(({ value, inclusive }) => bound(value, NaN) + (inclusive === false ? step : 0));
      return integer(Math.max(-Infinity, ...limit("greater_than", 1)), Math.min(Infinity, ...limit("less_than", -1)));
    }
    case "array": {
      const length = checks(def).find(({ check }) => check === "length_equals");
      if (length === undefined) throw unsupported(path, "an array without a fixed length");
      return array(lower(def["element"], `${path}[]`, depth + 1), length["length"], path);
    }
    case "tuple":
      if (def["rest"] !== null && def["rest"] !== undefined) throw unsupported(path, "a tuple with a rest");
      return tuple(def["items"] as unknown[], path, depth);
    case "object":
      return struct(shape(def["shape"], path, depth));
    default:
      if (WRAPPERS.includes(type)) return lower(def["innerType"], path, depth);
      throw unsupported(path, `a zod schema of type ${describe(type)}`);
  }
}

function ofZod3(def: Record<string, unknown>, path: string, depth: number): Type {
  const { typeName } = def;
  const all = (Array.isArray(def["checks"]) ? def["checks"] : []) as Record<string, unknown>[];
  switch (typeName) {
    case "ZodBoolean":
      return scalar("bool");
    case "ZodNumber": {
      if (!all.some(({ kind }) => kind === "int")) return scalar("f64");
      const limit = (name: string, step: number): number[] =>
        all
          .filter(({ kind }) => kind === name)
          .map(({ value, inclusive }) => bound(value, NaN) + (inclusive === false ? step : 0));
      return integer(Math.max(-Infinity, ...limit("min", 1)), Math.min(Infinity, ...limit("max", -1)));
    }
    case "ZodArray": {
      const length = def["exactLength"];
      if (!isObject(length)) throw unsupported(path, "an array without a fixed length");
      return array(lower(def["type"], `${path}[]`, depth + 1), length["value"], path);
    }
    case "ZodTuple":
      if (def["rest"] !== null) throw unsupported(path, "a tuple with a rest");
      return tuple(def["items"] as unknown[], path, depth);
    case "ZodObject":
      return struct(shape((def["shape"] as () => unknown)(), path, depth));
    default:
      if (WRAPPERS.includes(typeName)) return lower(def["innerType"] ?? def["type"], path, depth);
      throw unsupported(path, `a zod schema of type ${describe(typeName)}`);
  }
}

const shape = (fields: unknown, path: string, depth: number): Member[] =>
  Object.entries(fields as Record<string, unknown>).map(([name, field]) => placed(name, field, undefined, path, depth));
