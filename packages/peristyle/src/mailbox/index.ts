/**
 * Mailboxes: messages of fixed size from one sender to one or many receivers, through shared memory.
 *
 * The sender writes a message into a free slot and publishes it; each receiver sees every message, in order. Nothing is
 * lost and nothing is allocated: a full mailbox refuses, or has the sender wait. The bytes are those of Rust's
 * `peristyle_memory::mailbox`.
 *
 * ```ts
 * const mailbox = createMailbox({ capacity: 64, record: compileStruct(S.struct({ x: S.f32(), y: S.f32() })) });
 * worker.postMessage({ buffer: mailbox.buffer }); // there: openMailbox(buffer, 0, record).receiver()
 * mailbox.sender().push({ x: 1, y: 2 });
 * ```
 */
import type { StructLayout } from "../struct/index.js";
import * as at from "./layout.js";
import { MailboxError, Words } from "./words.js";

export { MailboxError, type MailboxErrorCode } from "./words.js";

/** How a mailbox is made. */
export interface MailboxOptions {
  /** Messages that fit, from 1 to 2^30. */
  readonly capacity: number;
  /** How many receive, from 1 to 32; 1 if not given. */
  readonly receivers?: number;
  /** Shared memory to put it into, of zeros, and where: at a multiple of 64. Made if not given. */
  readonly buffer?: SharedArrayBuffer;
  readonly offset?: number;
}

/** What each message is: bytes, or a record of a struct. */
export interface Bytes {
  /** Bytes of a message. */
  readonly slotBytes: number;
}
export interface Records<T> {
  /** The layout of a message. */
  readonly record: StructLayout<T>;
}

/** What was waited for: it is there, or the time is over. */
export type Waited = "ready" | "timed-out";

/** The side that writes messages. There is one in all threads together. */
export interface MailboxSender<T> {
  /**
   * Sends a message, and gives whether there was room.
   *
   * @throws {@link MailboxError}: `mailbox-closed` if every receiver is gone, `mailbox-died` once for each that died,
   * `mailbox-record` for bytes that are longer than a slot. What a record refuses is thrown as it is.
   */
  push(message: T): boolean;
  /** Blocks until there is room, or every receiver is gone. Not on a page's main thread. */
  wait(timeout?: number): Waited;
  /** Waits for the same without blocking. */
  waitAsync(timeout?: number): Promise<Waited>;
  /** Leaves. What was sent can still be received. */
  close(): void;
}

/** A side that reads messages. There is one of each number in all threads together. */
export interface MailboxReceiver<T> {
  /** Messages that are there. */
  readonly length: number;
  /**
   * Takes the oldest message; `undefined` if there is none.
   *
   * @throws {@link MailboxError}: `mailbox-closed` or `mailbox-died` if there is none and the sender is gone.
   */
  pop(): T | undefined;
  /** Blocks until there is a message, or the sender is gone. Not on a page's main thread. */
  wait(timeout?: number): Waited;
  /** Waits for the same without blocking. */
  waitAsync(timeout?: number): Promise<Waited>;
  /** Leaves: the sender waits for it no more. */
  close(): void;
}

/** A mailbox, as each thread that has its memory sees it. */
export interface Mailbox<T> {
  /** The memory, to be posted to other threads. */
  readonly buffer: SharedArrayBuffer;
  /** Where in it the mailbox lies. */
  readonly offset: number;
  readonly capacity: number;
  readonly slotBytes: number;
  readonly receivers: number;
  /** The side that writes. */
  sender(): MailboxSender<T>;
  /** The side that reads, the first if no number is given. */
  receiver(index?: number): MailboxReceiver<T>;
}

/** Moves messages in and out of slots. */
interface Codec<T> {
  write(words: Words, number: number, message: T): void;
  read(words: Words, number: number): T;
}

const BYTES: Codec<Uint8Array> = {
  write(words, number, message) {
    if (message.length > words.slotBytes) {
      const why = `a message of ${message.length} bytes does not fit into a slot of ${words.slotBytes}`;
      throw new MailboxError("mailbox-record", why);
    }
    const slot = words.slot(number);
    slot.set(message);
    slot.fill(0, message.length);
  },
  // A copy, for the slot is written again.
  read: (words, number) => words.slot(number).slice(),
};

function recordCodec<T>(record: StructLayout<T>, words: Words): Codec<T> {
  const view = new DataView(words.buffer, words.offset);
  return {
    write: (_, number, message) => record.write(view, message, words.slotAt(number)),
    read: (_, number) => record.read(view, words.slotAt(number)),
  };
}

function integer(value: number, low: number, high: number, what: string): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new MailboxError("mailbox-options", `${what} is ${value}, expected an integer from ${low} to ${high}`);
}

/** The power of two from `count` on. */
const powerFrom = (count: number): number => 2 ** (32 - Math.clz32(count - 1));

/** Bytes that a mailbox takes, for those who bring their own memory. */
export function mailboxBytes({ capacity, receivers = 1 }: MailboxOptions, slotBytes: number): number {
  integer(capacity, 1, at.CAPACITY_MAX, "the capacity");
  integer(receivers, 1, at.RECEIVERS_MAX, "the number of receivers");
  integer(slotBytes, 0, 0x7fffffff, "the size of a message");
  return at.headAt(receivers) + powerFrom(capacity) * at.lines(slotBytes);
}

/**
 * Makes a mailbox, of bytes or of records.
 *
 * @throws {@link MailboxError}: `mailbox-options`, and `mailbox-memory` if it has no room or this host no shared memory.
 */
export function createMailbox(options: MailboxOptions & Bytes): Mailbox<Uint8Array>;
export function createMailbox<T>(options: MailboxOptions & Records<T>): Mailbox<T>;
export function createMailbox<T>(options: MailboxOptions & Partial<Bytes & Records<T>>): Mailbox<T> {
  const { capacity, receivers = 1, offset = 0, record } = options;
  const slotBytes = record?.size ?? options.slotBytes ?? -1;
  const bytes = mailboxBytes(options, slotBytes);
  const slots = powerFrom(capacity);
  if (typeof SharedArrayBuffer === "undefined") {
    const message = "this page has no shared memory: it must be isolated (headers COOP and COEP) to have mailboxes";
    throw new MailboxError("mailbox-memory", message);
  }
  const buffer = options.buffer ?? new SharedArrayBuffer(offset + bytes);
  if (!Number.isInteger(offset) || offset < 0 || offset % 64 !== 0 || offset + bytes > buffer.byteLength) {
    const message = `a mailbox of ${bytes} bytes at ${offset} does not lie in ${buffer.byteLength} bytes, at a multiple of 64`;
    throw new MailboxError("mailbox-memory", message);
  }
  const words = new Int32Array(buffer, offset, 8);
  words[at.VERSION_AT >> 2] = at.VERSION;
  words[at.CAPACITY_AT >> 2] = capacity;
  words[at.SLOTS_AT >> 2] = slots;
  words[at.SLOT_BYTES_AT >> 2] = slotBytes;
  words[at.STRIDE_AT >> 2] = at.lines(slotBytes);
  words[at.RECEIVERS_AT >> 2] = receivers;
  words[at.FIRST_SLOT_AT >> 2] = at.headAt(receivers);
  Atomics.store(words, at.MAGIC_AT >> 2, at.MAGIC);
  return open(buffer, offset, record);
}

/**
 * Opens a mailbox that another thread made, or Rust did.
 *
 * @throws {@link MailboxError}: `mailbox-memory` if there is none, `mailbox-record` if its messages are not of that size.
 */
export function openMailbox(buffer: SharedArrayBuffer, offset?: number): Mailbox<Uint8Array>;
export function openMailbox<T>(buffer: SharedArrayBuffer, offset: number, record: StructLayout<T>): Mailbox<T>;
export function openMailbox<T>(buffer: SharedArrayBuffer, offset = 0, record?: StructLayout<T>): Mailbox<T> {
  return open(buffer, offset, record);
}

function open<T>(buffer: SharedArrayBuffer, offset: number, record: StructLayout<T> | undefined): Mailbox<T> {
  const words = new Words(buffer, offset);
  const { capacity, slotBytes, receivers } = words;
  if (record !== undefined && record.size !== slotBytes) {
    const why = `messages have ${slotBytes} bytes, the record has ${record.size}`;
    throw new MailboxError("mailbox-record", why);
  }
  const codec = record === undefined ? (BYTES as Codec<unknown> as Codec<T>) : recordCodec(record, words);
  return {
    buffer,
    offset,
    capacity,
    slotBytes,
    receivers,
    sender: () => new Sender(words, codec),
    receiver(index = 0) {
      integer(index, 0, receivers - 1, "the receiver's number");
      return new Receiver(words, codec, index);
    },
  };
}

class Sender<T> implements MailboxSender<T> {
  readonly #words: Words;
  readonly #codec: Codec<T>;
  /** Receivers that are there, as far as is known. */
  #there: number[];
  #departed = 0;

  constructor(words: Words, codec: Codec<T>) {
    this.#words = words;
    this.#codec = codec;
    this.#there = Array.from({ length: words.receivers }, (_, receiver) => receiver);
  }

  push(message: T): boolean {
    this.#seeDepartures();
    const words = this.#words;
    if (words.load(at.SENDER_STATE_AT) !== at.THERE) throw new MailboxError("mailbox-closed", "this sender was closed");
    if (this.#there.length === 0) throw new MailboxError("mailbox-closed", "every receiver is gone");
    if (!this.#hasRoom()) return false;
    const tail = words.load(at.TAIL_AT);
    this.#codec.write(words, tail, message);
    words.store(at.TAIL_AT, tail + 1);
    words.wakeReceivers();
    return true;
  }

  wait(timeout = Infinity): Waited {
    return waited(this.#words.wait(at.SENDER_PARKED_AT, () => this.#isReady(), timeout));
  }

  async waitAsync(timeout = Infinity): Promise<Waited> {
    return waited(await this.#words.waitAsync(at.SENDER_PARKED_AT, () => this.#isReady(), timeout));
  }

  close(): void {
    if (this.#words.load(at.SENDER_STATE_AT) !== at.THERE) return;
    this.#words.store(at.SENDER_STATE_AT, at.LEFT);
    this.#words.wakeReceivers();
  }

  /** Whether there is room, or something that `push` throws. */
  #isReady(): boolean {
    return this.#words.load(at.DEPARTED_AT) !== this.#departed || this.#there.length === 0 || this.#hasRoom();
  }

  #hasRoom(): boolean {
    const words = this.#words;
    if (words.load(at.INTERRUPT_AT) !== 0) return false;
    const tail = words.load(at.TAIL_AT);
    const { capacity } = words;
    for (const receiver of this.#there) {
      const head = words.load(at.headAt(receiver));
      const held = (tail - head) >>> 0;
      if (held > capacity) {
        const message = `the mailbox is corrupt: receiver ${receiver} says ${head}, which is not among the ${capacity} before ${tail}`;
        throw new MailboxError("mailbox-corrupt", message);
      }
      if (held === capacity) return false;
    }
    return true;
  }

  /** Takes receivers that left off the list. */
  #seeDepartures(): void {
    if (this.#words.load(at.DEPARTED_AT) === this.#departed) return;
    for (const receiver of this.#there) {
      const state = this.#words.load(at.receiverStateAt(receiver));
      if (state === at.THERE) continue;
      this.#there = this.#there.filter((other) => other !== receiver);
      this.#departed = (this.#departed + 1) >>> 0;
      if (state === at.DIED) throw new MailboxError("mailbox-died", `receiver ${receiver} died`);
    }
  }
}

class Receiver<T> implements MailboxReceiver<T> {
  readonly #words: Words;
  readonly #codec: Codec<T>;
  readonly #index: number;

  constructor(words: Words, codec: Codec<T>, index: number) {
    this.#words = words;
    this.#codec = codec;
    this.#index = index;
  }

  get length(): number {
    const words = this.#words;
    const head = words.load(at.headAt(this.#index));
    const tail = words.load(at.TAIL_AT);
    const held = (tail - head) >>> 0;
    if (held <= words.capacity) return held;
    const message = `the mailbox is corrupt: the sender says ${tail}, which is not among the ${words.capacity} after ${head}`;
    throw new MailboxError("mailbox-corrupt", message);
  }

  pop(): T | undefined {
    const words = this.#words;
    const index = this.#index;
    if (words.load(at.receiverStateAt(index)) !== at.THERE) {
      throw new MailboxError("mailbox-closed", "this receiver was closed");
    }
    if (this.length === 0) {
      const state = words.load(at.SENDER_STATE_AT);
      // It may have sent before it left.
      if (state === at.THERE || this.length > 0) return undefined;
      const [code, what] = state === at.DIED ? (["mailbox-died", "died"] as const) : (["mailbox-closed", "is gone"] as const);
      throw new MailboxError(code, `the sender ${what}, and all that it sent was received`);
    }
    const head = words.load(at.headAt(index));
    const message = this.#codec.read(words, head);
    words.store(at.headAt(index), head + 1);
    words.wakeSender();
    return message;
  }

  wait(timeout = Infinity): Waited {
    return waited(this.#words.wait(at.receiverParkedAt(this.#index), () => this.#isReady(), timeout));
  }

  async waitAsync(timeout = Infinity): Promise<Waited> {
    return waited(await this.#words.waitAsync(at.receiverParkedAt(this.#index), () => this.#isReady(), timeout));
  }

  close(): void {
    const words = this.#words;
    if (words.load(at.receiverStateAt(this.#index)) !== at.THERE) return;
    words.store(at.receiverStateAt(this.#index), at.LEFT);
    words.add(at.DEPARTED_AT, 1);
    words.wakeSender();
  }

  /** Whether there is a message, or something that `pop` throws. */
  #isReady(): boolean {
    return this.length > 0 || this.#words.load(at.SENDER_STATE_AT) !== at.THERE;
  }
}

const waited = (isReady: boolean): Waited => (isReady ? "ready" : "timed-out");
