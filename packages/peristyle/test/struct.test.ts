/** The struct compiler: the bytes of Rust's, schemas of other kinds, and what is refused. */
import { readFileSync } from "node:fs";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { z as z3 } from "zod/v3";
import { PeristyleError, SchemaError, ValueError } from "../src/errors.js";
import { type Infer, S, type StructLayout, compileStruct } from "../src/struct/index.js";

interface Vector {
  readonly schema: { readonly struct: unknown };
  readonly size: number;
  readonly align: number;
  readonly padding: number;
  readonly hash: string;
  readonly fields: readonly { readonly scalar: string }[];
  readonly values: readonly string[];
  readonly little: string;
  readonly big: string;
}

const vectors = JSON.parse(
  readFileSync(new URL("../../../crates/layout/vectors/structs.json", import.meta.url), "utf8"),
) as { readonly structs: readonly Vector[]; readonly refused: readonly unknown[] };

const fromHex = (hex: string): DataView => new DataView(Uint8Array.from(Buffer.from(hex, "hex")).buffer);
const toHex = (view: DataView): string => Buffer.from(view.buffer).toString("hex");

/** The scalars of a value, in order. */
const leaves = (value: unknown): unknown[] =>
  typeof value === "object" && value !== null ? Object.values(value).flatMap(leaves) : [value];

function parsed(text: string, scalar: string): unknown {
  if (scalar === "bool") return text === "true";
  return scalar === "i64" || scalar === "u64" ? BigInt(text) : Number(text);
}

describe("structs have the bytes that Rust gives them", () => {
  test.each(vectors.structs.map((vector) => [JSON.stringify(vector.schema).slice(0, 60), vector] as const))("%s", (_, vector) => {
    const layout = compileStruct(vector.schema) as StructLayout<unknown>;
    const { size, align, padding, fields } = layout;
    expect({ size, align, padding, fields }).toEqual({
      size: vector.size,
      align: vector.align,
      padding: vector.padding,
      fields: vector.fields,
    });
    expect(layout.hash.toString(16).padStart(16, "0")).toBe(vector.hash);
    const values = vector.values.map((text, index) => parsed(text, vector.fields[index]!.scalar));
    for (const [hex, littleEndian] of [[vector.little, true], [vector.big, false]] as const) {
      const value = layout.read(fromHex(hex), 0, littleEndian);
      expect(leaves(value)).toEqual(values);
      const dirty = new DataView(new Uint8Array(size).fill(0xaa).buffer);
      layout.write(dirty, value, 0, littleEndian);
      expect(toHex(dirty)).toBe(hex);
    }
  });

  test.each(vectors.refused.map((schema) => [JSON.stringify(schema).slice(0, 70), schema] as const))("refused: %s", (_, schema) => {
    expect(() => compileStruct(schema)).toThrow(SchemaError);
  });
});

const Body = S.struct({
  alive: S.bool(),
  at: S.struct({ x: S.f32(), y: S.f32() }),
  _: S.pad(3),
  trail: S.array(S.array(S.i16(), 2), 2),
  id: S.u64(),
  owner: S.entity(),
});

test("a schema is the document that Rust reads", () => {
  expect(JSON.parse(JSON.stringify(Body))).toEqual({
    struct: {
      alive: "bool",
      at: { struct: { x: "f32", y: "f32" } },
      _: { pad: 3 },
      trail: { array: { array: "i16", len: 2 }, len: 2 },
      id: "u64",
      owner: "entity",
    },
  });
});

test("records are read and written at an offset, and columns have a component's fields", () => {
  const layout = compileStruct(Body);
  const value = { alive: true, at: { x: 0.5, y: -1 }, trail: [[1, 2], [3, 4]], id: 2n ** 64n - 1n, owner: 4294967297 };
  const view = new DataView(new ArrayBuffer(layout.size + 16), 8);
  layout.write(view, value, 8);
  expect(layout.read(view, 8)).toEqual(value);
  expect(new Uint8Array(view.buffer, 0, 16)).toEqual(new Uint8Array(16));
  expect(layout.flattenColumns()).toEqual({
    alive: "bool", at_x: "f32", at_y: "f32", trail_0_0: "i16", trail_0_1: "i16", trail_1_0: "i16", trail_1_1: "i16",
    id: "u64", owner: "f64",
  });
  expect(Object.keys(layout.flattenColumns())[1]).toBe("at_x");
});

test("the value's type follows from the schema", () => {
  expectTypeOf<Infer<typeof Body>>().toEqualTypeOf<{
    alive: boolean;
    at: { x: number; y: number };
    trail: number[][];
    id: bigint;
    owner: number;
  }>();
  const Placed = S.struct({ a: S.at(8, S.u64()) });
  expectTypeOf<Infer<typeof Placed>>().toEqualTypeOf<{ a: bigint }>();
  const zod = z.object({ x: z.number(), tags: z.array(z.boolean()).length(2) });
  expectTypeOf<Infer<typeof zod>>().toEqualTypeOf<{ x: number; tags: boolean[] }>();
});

/** Name and scalar of each column. */
const columns = (schema: unknown): Record<string, string> => compileStruct(schema).flattenColumns();

test("schemas of zod that describe fixed numbers", () => {
  expect(
    columns(
      z.object({
        x: z.number(),
        f: z.float32(),
        i: z.int32(),
        u: z.uint32(),
        byte: z.int().min(0).max(255),
        small: z.number().int().gt(-129).lt(128),
        id: z.int(),
        big: z.int64(),
        large: z.uint64(),
        on: z.boolean(),
        at: z.array(z.object({ y: z.float64() })).length(2),
        pair: z.tuple([z.float32(), z.float32()]).readonly(),
      }),
    ),
  ).toEqual({
    x: "f64", f: "f32", i: "i32", u: "u32", byte: "u8", small: "i8", id: "f64", big: "i64", large: "u64", on: "bool",
    at_0_y: "f64", at_1_y: "f64", pair_0: "f32", pair_1: "f32",
  });
  expect(
    columns(
      z3.object({
        x: z3.number(),
        port: z3.number().int().min(0).max(65535),
        on: z3.boolean().brand("on"),
        at: z3.array(z3.number()).length(2),
        pair: z3.tuple([z3.boolean(), z3.boolean()]),
      }),
    ),
  ).toEqual({ x: "f64", port: "u16", on: "bool", at_0: "f64", at_1: "f64", pair_0: "bool", pair_1: "bool" });
});

test("JSON Schema that describes fixed numbers", () => {
  const schema = {
    type: "object",
    required: ["x", "f", "n", "level", "on", "at", "pair"],
    properties: {
      x: { type: "number" },
      f: { type: "number", format: "float" },
      n: { type: "integer", format: "int64" },
      level: { type: "integer", minimum: 0, exclusiveMaximum: 256 },
      on: { type: "boolean" },
      at: {
        type: "array",
        items: { type: "object", required: ["y"], properties: { y: { type: "integer" } } },
        minItems: 2,
        maxItems: 2,
      },
      pair: { type: "array", prefixItems: [{ type: "number" }, { type: "number" }] },
    },
  };
  expect(columns(schema)).toEqual({
    x: "f64", f: "f32", n: "i64", level: "u8", on: "bool", at_0_y: "f64", at_1_y: "f64", pair_0: "f64", pair_1: "f64",
  });
  // What zod makes of its own is read too.
  const zod = z.object({ x: z.float32(), n: z.int().min(0).max(9), at: z.array(z.boolean()).min(3).max(3) });
  expect(columns(z.toJSONSchema(zod))).toEqual({ x: "f64", n: "u8", at_0: "bool", at_1: "bool", at_2: "bool" });
});

function refusal(act: () => unknown): PeristyleError {
  try {
    act();
  } catch (error) {
    if (error instanceof PeristyleError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

test.each<[what: string, schema: unknown, code: string, message: RegExp]>([
  ["no object", 7, "schema-type", /outermost struct: 7 is no type/],
  ["a scalar that is not one", S.struct({ a: S.struct({ b: "f16" }) }), "schema-type", /`a\.b`: "f16" is no type, expected f32/],
  ["an element that is none", S.struct({ a: S.array({}, 2) }), "schema-type", /`a\[\]`: an object with nothing/],
  ["a misspelt option", { struct: { a: "f32" }, pakced: true }, "schema-type", /`pakced` is unknown/],
  ["a length that is none", S.struct({ a: S.array("u8", 1.5) }), "schema-size", /`a` is an array of 1.5 elements/],
  ["no elements", S.struct({ a: S.array("u8", 0) }), "schema-size", /`a` is an array without elements/],
  ["a negative pad", S.struct({ a: "u8", _: S.pad(-1) }), "schema-size", /padding is -1/],
  ["overlap", S.struct({ a: "u32", b: S.at(2, "u16") }), "schema-field", /`b` at 2 overlaps `a`/],
  ["two fields, one column", S.struct({ a: S.array("u8", 2), a_1: "u8" }), "schema-field", /`a\[1\]` and `a_1` are both the column `a_1`/],
  ["a string in zod", z.object({ a: z.object({ name: z.string() }) }), "schema-unsupported", /`a\.name`: a zod schema of type "string"/],
  ["what may be absent in zod", z.object({ a: z.number().optional() }), "schema-unsupported", /`a`: a zod schema of type "optional"/],
  ["a zod array of any length", z.object({ a: z.array(z.number()) }), "schema-unsupported", /`a`: an array without a fixed length/],
  ["a tuple of two types", z.object({ a: z.tuple([z.number(), z.boolean()]) }), "schema-unsupported", /`a`: a tuple of different/],
  ["a string in zod 3", z3.object({ a: z3.string() }), "schema-unsupported", /`a`: a zod schema of type "ZodString"/],
  ["a date in JSON Schema", { type: "object", required: ["a"], properties: { a: { type: "string", format: "date" } } }, "schema-unsupported", /`a`: a JSON Schema of type "string"/],
  ["what JSON Schema does not require", { type: "object", properties: { a: { type: "number" } } }, "schema-unsupported", /`a`: what is not in `required`/],
  ["a null beside", { type: "object", required: ["a"], properties: { a: { type: ["number", "null"] } } }, "schema-unsupported", /`a`: a JSON Schema of type \["number","null"\]/],
])("refused: %s", (_, schema, code, message) => {
  const error = refusal(() => compileStruct(schema));
  expect(error).toBeInstanceOf(SchemaError);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});

test("a schema that holds itself is too deep", () => {
  const loop: { struct: Record<string, unknown> } = { struct: {} };
  loop.struct["a"] = loop;
  expect(refusal(() => compileStruct(loop)).code).toBe("schema-depth");
});

test.each<[what: string, value: unknown, code: string, message: RegExp]>([
  ["no object", null, "value-type", /the record is an object|the record is an object, the value is null/],
  ["a field that is not there", { at: { x: 1, y: 2, z: 3 }, n: [1, 2], big: 0n, on: true }, "value-field", /`at` has no field `z`/],
  ["a field that is missing", { at: { x: 1 }, n: [1, 2], big: 0n, on: true }, "value-field", /`at\.y` is missing/],
  ["text for a number", { at: { x: 1, y: "2" }, n: [1, 2], big: 0n, on: true }, "value-type", /`at\.y` is a number, the value is "2"/],
  ["beyond f32", { at: { x: 1e39, y: 2 }, n: [1, 2], big: 0n, on: true }, "value-range", /`at\.x` is f32, which cannot hold 1e\+39/],
  ["beyond a byte", { at: { x: 1, y: 2 }, n: [1, 256], big: 0n, on: true }, "value-range", /`n\[1\]` is u8, which cannot hold 256/],
  ["a fraction", { at: { x: 1, y: 2 }, n: [0.5, 1], big: 0n, on: true }, "value-range", /`n\[0\]` is u8/],
  ["too many elements", { at: { x: 1, y: 2 }, n: [1, 2, 3], big: 0n, on: true }, "value-range", /`n` is an array of 2 elements, the value has 3/],
  ["a number for a bigint", { at: { x: 1, y: 2 }, n: [1, 2], big: 0, on: true }, "value-type", /`big` is a bigint/],
  ["beyond 64 bits", { at: { x: 1, y: 2 }, n: [1, 2], big: 2n ** 63n, on: true }, "value-range", /`big` is i64/],
  ["a number for a bool", { at: { x: 1, y: 2 }, n: [1, 2], big: 0n, on: 1 }, "value-type", /`on` is a bool, the value is 1/],
])("a value that does not fit changes nothing: %s", (_, value, code, message) => {
  const layout = compileStruct(
    S.struct({ at: S.struct({ x: "f32", y: "f32" }), n: S.array("u8", 2), big: "i64", on: "bool" }),
  );
  const view = new DataView(new Uint8Array(layout.size).fill(0x55).buffer);
  const error = refusal(() => layout.write(view, value as never));
  expect(error).toBeInstanceOf(ValueError);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(new Uint8Array(view.buffer)).toEqual(new Uint8Array(layout.size).fill(0x55));
});

test("a record that does not lie in the view is refused", () => {
  const layout = compileStruct(S.struct({ a: S.f64() }));
  const view = new DataView(new ArrayBuffer(12));
  for (const offset of [5, -1, 0.5, NaN]) {
    expect(refusal(() => layout.read(view, offset)).code).toBe("schema-size");
    expect(refusal(() => layout.write(view, { a: 1 }, offset)).code).toBe("schema-size");
  }
  expect(layout.read(view, 4)).toEqual({ a: 0 });
});
