/** Records: values read from bytes and written to them, one function a part of the struct. */
import type { Scalar } from "../client/replica/schema.js";
import { ValueError } from "../errors.js";
import type { Node } from "./layout.js";
import { within } from "./lower.js";

/** Reads the value at an offset. */
export type Read = (view: DataView, offset: number, littleEndian: boolean) => unknown;
/** Writes a value that is known to fit. */
export type Write = (view: DataView, value: never, offset: number, littleEndian: boolean) => void;
/** Refuses a value that does not fit. */
export type Check = (value: unknown, path: string) => void;

/** What can be done with a part of a struct. */
export interface Codec {
  readonly read: Read;
  readonly write: Write;
  readonly check: Check;
}

const quoted = (path: string): string => (path === "" ? "the record" : `\`${path}\``);

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

const wrong = (path: string, expected: string, value: unknown): ValueError =>
  new ValueError("value-type", `${quoted(path)} is ${expected}, the value is ${show(value)}`);

const beyond = (path: string, scalar: Scalar, value: unknown): ValueError =>
  new ValueError("value-range", `${quoted(path)} is ${scalar}, which cannot hold ${show(value)}`);

/** Of integers of at most 32 bits: reader, writer and what they hold. */
const INTEGERS = {
  i8: ["getInt8", "setInt8", -0x80, 0x7f],
  u8: ["getUint8", "setUint8", 0, 0xff],
  i16: ["getInt16", "setInt16", -0x8000, 0x7fff],
  u16: ["getUint16", "setUint16", 0, 0xffff],
  i32: ["getInt32", "setInt32", -0x80000000, 0x7fffffff],
  u32: ["getUint32", "setUint32", 0, 0xffffffff],
} as const;

function scalarCodec(scalar: Scalar): Codec {
  switch (scalar) {
    case "bool":
      return {
        read: (view, offset) => view.getUint8(offset) !== 0,
        write: (view, value: boolean, offset) => view.setUint8(offset, value ? 1 : 0),
        check: (value, path) => {
          if (typeof value !== "boolean") throw wrong(path, "a bool", value);
        },
      };
    case "f32":
      return {
        read: (view, offset, little) => view.getFloat32(offset, little),
        write: (view, value: number, offset, little) => view.setFloat32(offset, value, little),
        check: (value, path) => {
          if (typeof value !== "number") throw wrong(path, "a number", value);
          if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) throw beyond(path, scalar, value);
        },
      };
    case "f64":
      return {
        read: (view, offset, little) => view.getFloat64(offset, little),
        write: (view, value: number, offset, little) => view.setFloat64(offset, value, little),
        check: (value, path) => {
          if (typeof value !== "number") throw wrong(path, "a number", value);
        },
      };
    case "i64":
    case "u64": {
      const wrap = scalar === "i64" ? BigInt.asIntN : BigInt.asUintN;
      const get = scalar === "i64" ? "getBigInt64" : "getBigUint64";
      const set = scalar === "i64" ? "setBigInt64" : "setBigUint64";
      return {
        read: (view, offset, little) => view[get](offset, little),
        write: (view, value: bigint, offset, little) => view[set](offset, value, little),
        check: (value, path) => {
          if (typeof value !== "bigint") throw wrong(path, "a bigint", value);
          if (wrap(64, value) !== value) throw beyond(path, scalar, value);
        },
      };
    }
    default: {
      const [get, set, low, high] = INTEGERS[scalar];
      return {
        read: (view, offset, little) => view[get](offset, little),
        write: (view, value: number, offset, little) => view[set](offset, value, little),
        check: (value, path) => {
          if (typeof value !== "number") throw wrong(path, "a number", value);
          if (!Number.isInteger(value) || value < low || value > high) throw beyond(path, scalar, value);
        },
      };
    }
  }
}

/** The codec of a part of a struct. */
export function codec(node: Node): Codec {
  switch (node.kind) {
    case "scalar":
      return scalarCodec(node.scalar);
    case "array": {
      const { len } = node;
      const { size } = node.element;
      const element = codec(node.element);
      return {
        read: (view, offset, little) => {
          const values = new Array<unknown>(len);
          for (let i = 0; i < len; i++) values[i] = element.read(view, offset + i * size, little);
          return values;
        },
        write: (view, values: readonly never[], offset, little) => {
          for (let i = 0; i < len; i++) element.write(view, values[i]!, offset + i * size, little);
        },
        check: (values, path) => {
          // Typed arrays are taken too.
          if (!Array.isArray(values) && !(ArrayBuffer.isView(values) && "length" in values)) {
            throw wrong(path, `an array of ${len} elements`, values);
          }
          const { length } = values as ArrayLike<unknown>;
          if (length !== len) {
            throw new ValueError("value-range", `${quoted(path)} is an array of ${len} elements, the value has ${length}`);
          }
          for (let i = 0; i < len; i++) element.check((values as ArrayLike<unknown>)[i], `${path}[${i}]`);
        },
      };
    }
    case "struct": {
      const fields = node.fields.map(({ name, offset, node }) => ({ name, at: offset, codec: codec(node) }));
      const names = new Set(fields.map(({ name }) => name));
      return {
        read: (view, offset, little) => {
          const value: Record<string, unknown> = {};
          for (const { name, at, codec } of fields) value[name] = codec.read(view, offset + at, little);
          return value;
        },
        write: (view, value: Readonly<Record<string, never>>, offset, little) => {
          for (const { name, at, codec } of fields) codec.write(view, value[name]!, offset + at, little);
        },
        check: (value, path) => {
          if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(path, "an object", value);
          const unknown = Object.keys(value).find((name) => !names.has(name));
          if (unknown !== undefined) {
            throw new ValueError("value-field", `${quoted(path)} has no field \`${unknown}\``);
          }
          for (const { name, codec } of fields) {
            const part = (value as Record<string, unknown>)[name];
            if (part === undefined) throw new ValueError("value-field", `\`${within(path, name)}\` is missing`);
            codec.check(part, within(path, name));
          }
        },
      };
    }
  }
}
