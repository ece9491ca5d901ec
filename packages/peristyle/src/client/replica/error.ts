import { PeristyleError } from "../../errors.js";

/** What kind of thing is wrong with a frame. */
export type FrameErrorCode =
  "truncated" | "invalid" | "version" | "schema" | "no-schema" | "gap" | "hash" | "too-many-rows";

/** Why a message of a replica stream was not taken in. The view-world is as before, save for `hash`. */
export class FrameError extends PeristyleError<FrameErrorCode> {
  override readonly name = "FrameError";
  /** The byte of the message at which it was found. */
  readonly offset: number | undefined;

  constructor(code: FrameErrorCode, message: string, offset?: number) {
    super(code, message);
    this.offset = offset;
  }
}
