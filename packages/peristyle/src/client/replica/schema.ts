/**
 * What a stream shows: components and fields by name, each with its coding and its predictor.
 *
 * It goes over the wire once, when a stream opens; numbers of components and fields are places in it.
 */
import { Fnv, Reader } from "./bytes.js";
import { FrameError } from "./error.js";

/** The types of fields. */
export type Scalar = "f32" | "f64" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64" | "bool";

/** The array that holds a field's values: of a `bool`, a byte each that is 0 or 1. */
export interface ColumnTypes {
  f32: Float32Array;
  f64: Float64Array;
  i8: Int8Array;
  u8: Uint8Array;
  i16: Int16Array;
  u16: Uint16Array;
  i32: Int32Array;
  u32: Uint32Array;
  i64: BigInt64Array;
  u64: BigUint64Array;
  bool: Uint8Array;
}

/** What a value is expected to be: nothing, the last one, or the last one and the last difference. */
export type Predictor = "none" | "hold" | "linear";

/** A field of a component in a view. */
export interface FieldSchema {
  /** Its flattened name. */
  readonly name: string;
  readonly scalar: Scalar;
  /** Values are multiples of this, if it is there; else they are exact. */
  readonly step?: number;
  readonly predictor: Predictor;
}

/** A component in a view. */
export interface ComponentSchema {
  readonly name: string;
  /** The hash of all its fields in the host's world. */
  readonly layoutHash: bigint;
  /** Whether every entity of the view has it. */
  readonly required: boolean;
  readonly fields: readonly FieldSchema[];
}

/** What a view shows. */
export interface Schema {
  readonly components: readonly ComponentSchema[];
  /** A hash of everything in it. */
  readonly hash: bigint;
}

/** First byte of every message of the format. */
export const MAGIC = 0xd7;
/** Version of the format. */
export const VERSION = 1;

export const KIND_SCHEMA = 0;
export const KIND_FRAME = 1;
export const KIND_ANSWER = 2;

const COMPONENTS_MAX = 32;
const FIELDS_MAX = 1024;
/** Bytes of a name. */
const NAME_MAX = 1024;

/** In the order of their numbers, of which the first is 1. */
const SCALARS: readonly Scalar[] = ["f32", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool"];
const PREDICTORS: readonly Predictor[] = ["none", "hold", "linear"];

/** Reads magic and version, and gives the kind of a message. */
export function readHeader(reader: Reader): number {
  if (reader.u8() !== MAGIC) throw reader.invalid("not a message of this format", 0);
  const version = reader.u8();
  if (version !== VERSION) {
    throw new FrameError("version", `the frame has version ${version} of the format, this is version ${VERSION}`, 1);
  }
  return reader.u8();
}

function readField(reader: Reader): FieldSchema {
  const name = reader.text(NAME_MAX);
  const scalar = SCALARS[reader.u8() - 1];
  if (scalar === undefined) throw reader.invalid("an unknown scalar");
  const coding = reader.u8();
  if (coding > 1) throw reader.invalid("an unknown coding");
  const step = coding === 1 ? reader.f64() : undefined;
  if (step !== undefined && !(step > 0 && step < Infinity && (scalar === "f32" || scalar === "f64"))) {
    throw reader.invalid("a quantisation that cannot be");
  }
  const predictor = PREDICTORS[reader.u8()];
  if (predictor === undefined) throw reader.invalid("an unknown predictor");
  return step === undefined ? { name, scalar, predictor } : { name, scalar, step, predictor };
}

function readComponent(reader: Reader): ComponentSchema {
  const name = reader.text(NAME_MAX);
  reader.u64();
  const layoutHash = (BigInt(reader.hi) << 32n) | BigInt(reader.lo);
  const required = reader.u8();
  if (required > 1) throw reader.invalid("neither required nor optional");
  const count = reader.bounded(FIELDS_MAX, "more fields than a component of a view has");
  const fields = Array.from({ length: count }, () => readField(reader));
  return { name, layoutHash, required: required === 1, fields };
}

/**
 * Reads the message that opens a stream, without its topic.
 *
 * @throws {@link FrameError}, with the place in `bytes`.
 */
export function decodeSchema(bytes: Uint8Array): Schema {
  const reader = new Reader(bytes);
  if (readHeader(reader) !== KIND_SCHEMA) throw reader.invalid("not a schema");
  reader.u64();
  const { lo, hi, at } = reader;
  const count = reader.bounded(COMPONENTS_MAX, "more components than a view has");
  const components = Array.from({ length: count }, () => readComponent(reader));
  if (reader.left !== 0) throw reader.invalid("bytes after the end of the schema");
  const hash = new Fnv();
  for (const byte of bytes.subarray(at)) hash.eat(byte, 0);
  if (hash.lo !== lo || hash.hi !== hi) throw reader.invalid("a hash that is not the schema's", 3);
  if (new Set(components.map((component) => component.name)).size !== count) {
    throw reader.invalid("a component that is there twice", 11);
  }
  return { components, hash: hash.value };
}

/** Whether codes of a field have 64 bits. */
export const isWide = ({ scalar, step }: FieldSchema): boolean =>
  step === undefined && (scalar === "f64" || scalar === "i64" || scalar === "u64");

/** Whether codes are bits of floats, whose differences mean nothing. */
const isBits = ({ scalar, step }: FieldSchema): boolean => step === undefined && (scalar === "f32" || scalar === "f64");

/** Whether the differences of codes are expected to go on. */
export const isLinear = (field: FieldSchema): boolean => field.predictor === "linear" && !isBits(field);

/** How a code follows from a difference. */
export const Way = {
  /** It is the difference. */
  Plain: 0,
  /** The difference is added to the last code. */
  Add: 1,
  /** It is added to the last code and the last difference. */
  AddTwice: 2,
  /** Bits that differ from the last code's. */
  Xor: 3,
} as const;
export type Way = (typeof Way)[keyof typeof Way];

/** How a field's codes follow from differences. */
export function wayOf(field: FieldSchema): Way {
  if (field.predictor === "none") return Way.Plain;
  if (isBits(field)) return Way.Xor;
  return isLinear(field) ? Way.AddTwice : Way.Add;
}
