/** Systems and frames. */
export { Scheduler, type FrameOptions, type Plan, type PoolOptions, type SchedulerOptions } from "./scheduler.js";
export { Scheduler as ParallelScheduler, Scheduler as ZCScheduler } from "./scheduler.js";
export type { FrameReport } from "./frame.js";
export {
  STAGES,
  type Access,
  type OffloadOptions,
  type Stage,
  type SystemContext,
  type SystemOptions,
  type ZeroCopyOptions,
} from "./system.js";
