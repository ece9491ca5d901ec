/** What a client asks of the host of a view, and what the host answers to inputs. */
import { Reader, Writer } from "./bytes.js";
import { KIND_ANSWER, MAGIC, VERSION, readHeader } from "./schema.js";

const ACKNOWLEDGE = 16;
const INTEREST = 17;
const INPUT = 18;

/** Bounds that an interest has at most. */
const LIMITS_MAX = 4;

/**
 * A part of the world: entities of which each of these fields of a component is at least the first number and below the
 * second.
 */
export interface Interest {
  /** The component, which every entity of the view has. */
  readonly component: string;
  /** Least and end by field; at most four fields. */
  readonly within: Readonly<Record<string, readonly [least: number, end: number]>>;
}

const start = (kind: number): Writer => new Writer().put(MAGIC, VERSION, kind);

/** The request that says: the frame of this tick was taken in, build on it. For transports that lose frames. */
export function encodeAcknowledge(tick: number): Uint8Array<ArrayBuffer> {
  return start(ACKNOWLEDGE).varint(tick).finish();
}

/**
 * The request to see a part of the world; everything if `undefined`.
 * @throws {RangeError} for more than four bounds, or a bound that is no number.
 */
export function encodeInterest(interest: Interest | undefined): Uint8Array<ArrayBuffer> {
  const limits = Object.entries(interest?.within ?? {});
  if (limits.length > LIMITS_MAX) throw new RangeError(`an interest of ${limits.length} bounds, at most 4 fit`);
  const writer = start(INTEREST)
    .text(interest?.component ?? "")
    .varint(limits.length);
  for (const [field, [least, end]] of limits) {
    if (Number.isNaN(least) || Number.isNaN(end)) throw new RangeError(`a bound of \`${field}\` is no number`);
    writer.text(field).f64(least).f64(end);
  }
  return writer.finish();
}

/** The request that says what the client did. Numbers rise, from 1 on. */
export function encodeInput(number: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return start(INPUT).varint(number).bytes(bytes).finish();
}

/** The host's word that a client's inputs up to a number are in what it shows of a tick. */
export interface Answer {
  readonly tick: number;
  readonly input: number;
}

/**
 * Reads an answer.
 * @throws {@link FrameError}.
 */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const reader = new Reader(bytes);
  if (readHeader(reader) !== KIND_ANSWER) throw reader.invalid("not an answer");
  const tick = reader.varint();
  const input = reader.varint();
  if (reader.left !== 0) throw reader.invalid("bytes after the end of the answer");
  return { tick, input };
}
