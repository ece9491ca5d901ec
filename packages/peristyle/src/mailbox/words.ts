/**
 * The words of one mailbox, and sleeping on them.
 *
 * # Rules
 * - Who finds nothing sets its own parked word, looks once more, then sleeps while the word is set. Who changed something
 *   publishes that, then exchanges parked words of the other side, and wakes whom it won. `Atomics` are sequentially
 *   consistent, so one of the two sees the other.
 * - Who takes back a receiver's parked word, be it the receiver, lowers the number of sleepers.
 */
import { PeristyleError } from "../errors.js";
import * as at from "./layout.js";

/** What can be wrong with a mailbox or with what is asked of it. */
export type MailboxErrorCode =
  | "mailbox-options"
  | "mailbox-memory"
  | "mailbox-record"
  | "mailbox-closed"
  | "mailbox-died"
  | "mailbox-corrupt";

/** A mailbox cannot be made, opened, or used. Messages published before are not affected. */
export class MailboxError extends PeristyleError<MailboxErrorCode> {
  override readonly name = "MailboxError";
}

type WaitAsync = (
  words: Int32Array,
  index: number,
  value: number,
  timeout?: number,
) => { readonly async: false } | { readonly async: true; readonly value: Promise<unknown> };

/** How often a host without `Atomics.waitAsync` looks, in milliseconds. */
const LOOK_EVERY = 1;

/** The words, checked when the mailbox is opened. */
export class Words {
  readonly capacity: number;
  readonly buffer: SharedArrayBuffer;
  readonly offset: number;
  readonly slotBytes: number;
  readonly receivers: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;
  readonly #stride: number;
  readonly #firstSlot: number;

  constructor(buffer: SharedArrayBuffer, offset: number) {
    this.buffer = buffer;
    this.offset = offset;
    const bad = (why: string): MailboxError => new MailboxError("mailbox-memory", `no mailbox at byte ${offset}: ${why}`);
    if (!Number.isInteger(offset) || offset < 0 || offset % 64 !== 0) throw bad("its offset is no multiple of 64");
    if (offset + 256 > buffer.byteLength) throw bad(`the memory has ${buffer.byteLength} bytes`);
    const words = new Int32Array(buffer, offset, 8);
    const word = (place: number): number => words[place >> 2]! >>> 0;
    if (word(at.MAGIC_AT) !== at.MAGIC) throw bad("there is something else");
    if (word(at.VERSION_AT) !== at.VERSION) throw bad(`it has version ${word(at.VERSION_AT)}, this is ${at.VERSION}`);
    this.capacity = word(at.CAPACITY_AT);
    this.slotBytes = word(at.SLOT_BYTES_AT);
    this.receivers = word(at.RECEIVERS_AT);
    this.#stride = word(at.STRIDE_AT);
    this.#firstSlot = word(at.FIRST_SLOT_AT);
    const slots = word(at.SLOTS_AT);
    const bytes = this.#firstSlot + slots * this.#stride;
    const fits = this.capacity >= 1 && this.capacity <= slots && this.slotBytes <= this.#stride;
    const isMask = slots >= 1 && (slots & (slots - 1)) === 0;
    const some = this.receivers >= 1 && this.receivers <= at.RECEIVERS_MAX;
    if (!fits || !isMask || !some || this.#firstSlot !== at.headAt(this.receivers)) throw bad("its header is corrupt");
    if (offset + bytes > buffer.byteLength) throw bad(`its ${bytes} bytes reach beyond the memory`);
    this.#mask = slots - 1;
    this.#words = new Int32Array(buffer, offset, this.#firstSlot >> 2);
    this.#bytes = new Uint8Array(buffer, offset, bytes);
  }

  load(place: number): number {
    return Atomics.load(this.#words, place >> 2) >>> 0;
  }

  store(place: number, value: number): void {
    Atomics.store(this.#words, place >> 2, value | 0);
  }

  add(place: number, value: number): void {
    Atomics.add(this.#words, place >> 2, value);
  }

  /** Sets a parked word back and gives whether it was set. */
  take(place: number): boolean {
    return Atomics.compareExchange(this.#words, place >> 2, 1, 0) === 1;
  }

  /** Where the slot of a message begins, from the mailbox's start. */
  slotAt(number: number): number {
    return this.#firstSlot + (number & this.#mask) * this.#stride;
  }

  /** The bytes of a message's slot. */
  slot(number: number): Uint8Array {
    const start = this.slotAt(number);
    return this.#bytes.subarray(start, start + this.slotBytes);
  }

  wakeSender(): void {
    if (this.take(at.SENDER_PARKED_AT)) Atomics.notify(this.#words, at.SENDER_PARKED_AT >> 2, 1);
  }

  wakeReceivers(): void {
    if (this.load(at.SLEEPERS_AT) === 0) return;
    for (let receiver = 0; receiver < this.receivers; receiver++) {
      const place = at.receiverParkedAt(receiver);
      if (!this.take(place)) continue;
      this.add(at.SLEEPERS_AT, -1);
      Atomics.notify(this.#words, place >> 2, 1);
    }
  }

  /** Sleeps on the own parked word until `ready`, at most so many milliseconds; gives whether it is. */
  wait(parked: number, ready: () => boolean, timeout: number): boolean {
    const end = performance.now() + timeout;
    for (;;) {
      if (ready()) return true;
      this.#announce(parked);
      const left = ready() ? 0 : end - performance.now();
      if (left > 0) Atomics.wait(this.#words, parked >> 2, 1, left);
      this.#getUp(parked);
      if (left <= 0) return ready();
    }
  }

  /** As {@link wait}, for threads that must not block. */
  async waitAsync(parked: number, ready: () => boolean, timeout: number): Promise<boolean> {
    const end = performance.now() + timeout;
    const { waitAsync } = Atomics as unknown as { readonly waitAsync?: WaitAsync };
    for (;;) {
      if (ready()) return true;
      this.#announce(parked);
      const left = ready() ? 0 : end - performance.now();
      if (left > 0) {
        const slept = waitAsync?.(this.#words, parked >> 2, 1, left);
        if (slept?.async === true) await slept.value;
        if (slept === undefined) await new Promise((woken) => setTimeout(woken, LOOK_EVERY));
      }
      this.#getUp(parked);
      if (left <= 0) return ready();
    }
  }

  #announce(parked: number): void {
    if (parked !== at.SENDER_PARKED_AT) this.add(at.SLEEPERS_AT, 1);
    this.store(parked, 1);
  }

  #getUp(parked: number): void {
    if (this.take(parked) && parked !== at.SENDER_PARKED_AT) this.add(at.SLEEPERS_AT, -1);
  }
}
