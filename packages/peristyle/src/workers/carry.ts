/**
 * How values cross to other threads: as JSON text where that says all of them, else as bytes of Node's serializer, else
 * in a message.
 */
import { CARRIED } from "./board.js";

/** Reads what Node's serializer wrote. */
export type Decode = (bytes: Uint8Array) => unknown;
/** Node's serializer. */
export type Encode = (value: unknown) => Uint8Array;

/** A value in bytes; or to be sent in a message. */
export interface Carried {
  readonly kind: number;
  readonly bytes: Uint8Array;
  /** The text, if it is JSON. */
  readonly text?: string;
}

const DEPTH_MAX = 64;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const NO_BYTES = new Uint8Array(0);

/** Whether JSON says all of a value. */
export function isPlain(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0);
    case "object": {
      if (value === null) return true;
      if (depth === DEPTH_MAX) return false;
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) if (!isPlain(value[i], depth + 1)) return false;
        return true;
      }
      const prototype: unknown = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null) return false;
      if ("toJSON" in value) return false;
      for (const key in value) {
        if (key === "__proto__" || !isPlain((value as Record<string, unknown>)[key], depth + 1)) return false;
      }
      return true;
    }
    default:
      return false;
  }
}

/** Puts a value into bytes, if it can be. */
export function toBytes(value: unknown, encode: Encode | undefined): Carried {
  if (value === undefined) return { kind: CARRIED.nothing, bytes: NO_BYTES };
  if (isPlain(value)) {
    const text = JSON.stringify(value);
    return { kind: CARRIED.json, bytes: encoder.encode(text), text };
  }
  if (encode) {
    try {
      return { kind: CARRIED.clone, bytes: encode(value) };
    } catch {
      // Shared memory goes by message alone; what can be sent by no means is told by that.
    }
  }
  return { kind: CARRIED.message, bytes: NO_BYTES };
}

/** Reads what {@link toBytes} wrote. */
export function fromBytes(kind: number, bytes: Uint8Array, decode: Decode | undefined): unknown {
  if (kind === CARRIED.nothing) return undefined;
  // Decoders do not take shared memory.
  const own = bytes.slice();
  if (kind === CARRIED.json) return JSON.parse(decoder.decode(own));
  if (!decode) throw new RangeError("bytes of Node's serializer, and this is no Node");
  return decode(own);
}

/** Freezes plain objects to their leaves: what a job sees is the same in each of its calls. */
export function freezeAll<T>(value: T): T {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return value;
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) freezeAll(part);
  return value;
}
