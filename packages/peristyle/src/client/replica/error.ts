/** What kind of thing is wrong with a frame. */
export type FrameErrorCode =
  "truncated" | "invalid" | "version" | "schema" | "no-schema" | "gap" | "hash" | "too-many-rows";

/** Why a message of a replica stream was not taken in. The view-world is as before, save for `hash`. */
export class FrameError extends Error {
  override readonly name = "FrameError";
  constructor(
    /** What kind of thing is wrong. */
    readonly code: FrameErrorCode,
    message: string,
    /** The byte of the message at which it was found. */
    readonly offset?: number,
  ) {
    super(message);
  }
}
