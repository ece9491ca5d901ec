/**
 * Where the words of a mailbox are: byte offsets from its start, as in `crates/memory/src/mailbox/layout.rs`, which draws
 * them and says who writes which.
 */

/** The letters "pmbx". */
export const MAGIC = 0x78626d70;
export const VERSION = 1;

export const MAGIC_AT = 0;
export const VERSION_AT = 4;
export const CAPACITY_AT = 8;
export const SLOTS_AT = 12;
export const SLOT_BYTES_AT = 16;
export const STRIDE_AT = 20;
export const RECEIVERS_AT = 24;
export const FIRST_SLOT_AT = 28;

/** Number of the next message that will be published. */
export const TAIL_AT = 64;
export const SENDER_STATE_AT = 68;

export const SENDER_PARKED_AT = 128;
/** Not 0: the sender gets no more slots. */
export const INTERRUPT_AT = 132;
/** Receivers that sleep, or are about to. */
export const SLEEPERS_AT = 136;
/** Receivers that left. */
export const DEPARTED_AT = 140;

/** Most receivers. */
export const RECEIVERS_MAX = 32;
/** Most messages. */
export const CAPACITY_MAX = 2 ** 30;

/** States of a side. */
export const THERE = 0;
export const LEFT = 1;
export const DIED = 2;

/** Number of the first message that a receiver still holds. */
export const headAt = (receiver: number): number => 192 + 64 * receiver;
export const receiverStateAt = (receiver: number): number => headAt(receiver) + 4;
export const receiverParkedAt = (receiver: number): number => headAt(receiver) + 8;

/** The next multiple of 64: a cache line. */
export const lines = (bytes: number): number => Math.ceil(bytes / 64) * 64;
