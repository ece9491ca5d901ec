/** What a host does around frames; only the native runtime does anything. */
import type { Span } from "../workers/lanes.js";
import type { World } from "../world/world.js";
import type { Scheduler } from "./scheduler.js";

/** @internal */
export interface FrameHooks {
  /** Before each frame of each scheduler, which waits for it. */
  before?: (scheduler: Scheduler) => Promise<void> | undefined;
  /** When lanes ran ranges of a system, which is named by its number in the core. Lanes take note of that if this is set. */
  spans?: (world: World, system: number, spans: readonly Span[]) => void;
}

/** @internal The hooks of this realm. */
export const hooks: FrameHooks = {};
