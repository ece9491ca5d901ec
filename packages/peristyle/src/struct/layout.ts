/**
 * From a schema to where everything lies: the same bytes, columns and hash as `peristyle_layout::schema` in Rust.
 *
 * A struct is laid out as C does it: each field at a multiple of its alignment, the size a multiple of the largest.
 */
import type { Scalar } from "../client/replica/schema.js";
import { SchemaError } from "../errors.js";
import { type Type, at, within } from "./lower.js";

/** The most columns that a struct may flatten to. */
export const COLUMNS_MAX = 16_384;
/** The most bytes of a struct. */
export const SIZE_MAX = 0x7fffffff;
/** The most bytes of a column's path, such as `vel[3].y`, and of a field's name. */
export const NAME_BYTES_MAX = 255;
/** The largest alignment that can be asked for: a page. */
export const ALIGN_MAX = 4096;

/** One scalar of a struct: a column when records are taken apart. */
export interface StructField {
  /** Where it is in the struct: `vel[3].y`. */
  readonly path: string;
  /** The column's name: `vel_3_y`. */
  readonly name: string;
  readonly scalar: Scalar;
  /** Whether it holds entities. */
  readonly entity: boolean;
  /** Bytes from the record's start. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** Alignment of its type in bytes. In a packed struct `offset` need not be a multiple of it. */
  readonly align: number;
}

/** A type with its measures. */
export type Node = { readonly size: number; readonly align: number; readonly columns: number } & (
  | { readonly kind: "scalar"; readonly scalar: Scalar; readonly entity: boolean }
  | { readonly kind: "array"; readonly element: Node; readonly len: number }
  | { readonly kind: "struct"; readonly fields: readonly { readonly name: string; readonly offset: number; readonly node: Node }[] }
);

const BYTES: Readonly<Record<Scalar, number>> = {
  f32: 4,
  f64: 8,
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
  i64: 8,
  u64: 8,
  bool: 1,
};

/** The numbers of scalars in layout hashes, from 1. */
const ORDER: readonly Scalar[] = ["f32", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool"];

const up = (bytes: number, align: number): number => Math.ceil(bytes / align) * align;

function bounded(size: number, path: string): number {
  if (size > SIZE_MAX) throw new SchemaError("schema-size", `${at(path)} is larger than ${SIZE_MAX} bytes`);
  return size;
}

function few(columns: number, path: string): number {
  if (columns > COLUMNS_MAX) throw new SchemaError("schema-size", `${at(path)} is more than ${COLUMNS_MAX} columns`);
  return columns;
}

/**
 * Measures a type that lies at `path`.
 *
 * @throws {@link SchemaError}
 */
export function measure(type: Type, path: string): Node {
  switch (type.kind) {
    case "scalar": {
      const size = BYTES[type.scalar];
      return { size, align: size, columns: 1, kind: "scalar", scalar: type.scalar, entity: type.entity };
    }
    case "array": {
      const { len } = type;
      const element = measure(type.element, `${path}[]`);
      if (len === 0) throw new SchemaError("schema-size", `${at(path)} is an array without elements`);
      const columns = few(element.columns * len, path);
      return { size: bounded(element.size * len, path), align: element.align, columns, kind: "array", element, len };
    }
    case "struct":
      return measureStruct(type, path);
  }
}

/** Bytes that a field, or padding without a name, takes in a struct. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly name: string | undefined;
}

function measureStruct(type: Type & { readonly kind: "struct" }, path: string): Node {
  let { align } = type;
  if (align < 1 || align > ALIGN_MAX || (align & (align - 1)) !== 0) {
    const message = `${at(path)}: the alignment ${align} is not a power of two of at most ${ALIGN_MAX}`;
    throw new SchemaError("schema-size", message);
  }
  const fields: { name: string; offset: number; node: Node }[] = [];
  const names = new Set<string>();
  const spans: Span[] = [];
  let end = 0;
  let size = 0;
  let columns = 0;
  for (const member of type.members) {
    if ("pad" in member) {
      spans.push({ start: end, end: bounded(end + member.pad, path), name: undefined });
      end += member.pad;
      size = Math.max(size, end);
      continue;
    }
    const { name } = member;
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || name.length > NAME_BYTES_MAX) {
      const rule = `letters, digits and _ , no digit first, at most ${NAME_BYTES_MAX}`;
      const message = `${at(path)}: ${JSON.stringify(name.slice(0, NAME_BYTES_MAX))} is not a name for a field (${rule})`;
      throw new SchemaError("schema-field", message);
    }
    const here = within(path, name);
    if (names.has(name)) throw new SchemaError("schema-field", `two fields are called ${at(here)}`);
    names.add(name);
    const node = measure(member.type, here);
    const own = type.packed ? 1 : node.align;
    const offset = member.at ?? up(end, own);
    end = bounded(offset + node.size, here);
    if (offset % own !== 0) {
      throw new SchemaError("schema-field", `${at(here)} at ${offset} is not aligned to ${own} bytes`);
    }
    align = Math.max(align, own);
    size = Math.max(size, end);
    columns = few(columns + node.columns, here);
    fields.push({ name, offset, node });
    spans.push({ start: offset, end, name });
  }
  if (fields.length === 0) throw new SchemaError("schema-field", `${at(path)} has no fields`);
  refuseOverlap(spans, path);
  return { size: bounded(up(size, align), path), align, columns, kind: "struct", fields };
}

/** No byte is two fields', nor a field's and explicit padding. */
function refuseOverlap(spans: readonly Span[], path: string): void {
  const taken = spans.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start);
  // What reaches furthest so far: two pads may overlap each other, and then both count.
  let furthest: Span = { start: 0, end: 0, name: undefined };
  for (const next of taken) {
    if (next.start < furthest.end && (next.name ?? furthest.name) !== undefined) {
      const [field, other] = next.name === undefined ? [furthest, next] : [next, furthest];
      const what = other.name === undefined ? "padding" : at(within(path, other.name));
      throw new SchemaError("schema-field", `${at(within(path, field.name!))} at ${field.start} overlaps ${what}`);
    }
    if (next.end > furthest.end) furthest = next;
  }
}

/**
 * Lists the columns of a struct, in order of declaration.
 *
 * @throws {@link SchemaError} for a path that is too long, and for two fields that flatten to one column.
 */
export function listColumns(root: Node): StructField[] {
  const columns: StructField[] = [];
  const list = (node: Node, path: string, name: string, offset: number): void => {
    if (path.length > NAME_BYTES_MAX) {
      const message = `a path is longer than ${NAME_BYTES_MAX} bytes: \`${path.slice(0, NAME_BYTES_MAX)}\`...`;
      throw new SchemaError("schema-field", message);
    }
    switch (node.kind) {
      case "scalar": {
        const { scalar, entity, size, align } = node;
        columns.push({ path, name, scalar, entity, offset, size, align });
        break;
      }
      case "array":
        for (let i = 0; i < node.len; i++) {
          list(node.element, `${path}[${i}]`, `${name}_${i}`, offset + i * node.element.size);
        }
        break;
      case "struct":
        for (const field of node.fields) {
          const line = name === "" ? "" : "_";
          list(field.node, within(path, field.name), `${name}${line}${field.name}`, offset + field.offset);
        }
    }
  };
  list(root, "", "", 0);
  const paths = new Map<string, string>();
  for (const { name, path } of columns) {
    const first = paths.get(name);
    if (first !== undefined) {
      throw new SchemaError("schema-field", `\`${first}\` and \`${path}\` are both the column \`${name}\``);
    }
    paths.set(name, path);
  }
  return columns;
}

/** Hash of columns, by which a component of these fields is known in files and on wires: FNV-1a of 64 bits. */
export function layoutHash(columns: readonly StructField[]): bigint {
  let hash = 0xcbf29ce484222325n;
  const eat = (byte: number): void => {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  };
  for (const { name, scalar, entity } of columns) {
    for (let i = 0; i < name.length; i++) eat(name.charCodeAt(i));
    eat(0);
    eat(ORDER.indexOf(scalar) + 1);
    eat(entity ? 1 : 0);
  }
  return hash;
}
