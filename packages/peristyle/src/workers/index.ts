/** Workers: the lanes of a world, and pools of their own. */
import { SupportError } from "../errors.js";
import { LocalLanes } from "./local-lanes.js";
import type { LaneMemory, Lanes, LanesOptions } from "./lanes.js";
import { cores, nodeSerializer, sizeOf } from "./node.js";
import { PageWorkers } from "./page-workers.js";
import { SharedLanes } from "./shared-lanes.js";
import { createStarter } from "./thread.js";
import { TransferredLanes } from "./transferred-lanes.js";

export type * from "./lanes.js";
export type { JobInput, Snap, SnapComponent } from "./input.js";
export { createPortablePool, type PortablePool, type PortablePoolOptions } from "./pool.js";
export type { ResourceLimits } from "./thread.js";

/**
 * Makes the lanes of a world's memory: shared if that is, transferred if workers can be started, else local.
 *
 * In Node it does not wait for its workers: until they take part, the caller's thread does everything.
 */
export async function createLanes(memory: LaneMemory, options: LanesOptions = {}): Promise<Lanes> {
  const size = sizeOf(options.size ?? (await cores()) - 1);
  if (options.size === 0) return new LocalLanes(memory, "asked for no workers", options);
  try {
    const { worker, limits } = options;
    const starter = await createStarter({ ...(worker && { worker }), ...(limits && { limits }) });
    const pageWorkers = new PageWorkers(options.browserWorkers ?? {}, size, memory, options.silence);
    const lanes = memory.isShared
      ? new SharedLanes(memory, starter, size, await nodeSerializer(), pageWorkers, options)
      : new TransferredLanes(memory, starter, size, pageWorkers, "the world's memory is not shared", options);
    if (starter.isNode) return lanes;
    await lanes.ready;
    if (lanes.hasWorkers) return lanes;
    await lanes.close();
    return new LocalLanes(memory, "workers cannot be started here", options);
  } catch (error) {
    if (error instanceof SupportError) return new LocalLanes(memory, error.message, options);
    throw error;
  }
}
