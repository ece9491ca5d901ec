/** What threads tell each other by message. Everything else goes over the board. */
import type { Failure } from "./failure.js";
import type { JobMail } from "./jobs.js";
import type { JobShape } from "./lanes.js";
import type { Patch } from "../snapshot/patch.js";

/** To a worker. Each counts as one piece of mail. */
export type ToWorker =
  /** Joins a board; the first message of a lane, if its columns are shared. */
  | {
      readonly type: "join";
      readonly lane: number;
      readonly board: SharedArrayBuffer;
      readonly memory: WebAssembly.Memory | SharedArrayBuffer;
      readonly spans: boolean;
    }
  | { readonly type: "arena"; readonly buffer: SharedArrayBuffer }
  | { readonly type: "load"; readonly job: number; readonly mail: JobMail; readonly shape: JobShape }
  | { readonly type: "unload"; readonly job: number }
  | { readonly type: "carry"; readonly version: number; readonly value: unknown; readonly oldest: number }
  /** Runs a range whose columns lie in `buffer`, and gives the buffer back. */
  | {
      readonly type: "range";
      readonly id: number;
      readonly job: number;
      readonly buffer: ArrayBuffer;
      readonly at: number;
      readonly generations: number;
      readonly dt: number;
      readonly time: number;
      readonly extra: unknown;
      readonly values: Readonly<Record<number, readonly unknown[]>> | undefined;
    }
  /** Calls a module with any input. */
  | { readonly type: "call"; readonly id: number; readonly url: string; readonly input: unknown };

/** From a worker. */
export type FromWorker =
  /** The caller should look at the board. */
  | { readonly type: "ring" }
  /** What a range of a lease on the board gave. */
  | {
      readonly type: "outcome";
      readonly serial: number;
      readonly range: number;
      readonly patches?: readonly Patch[];
      readonly failure?: Failure;
    }
  | {
      readonly type: "span";
      readonly serial: number;
      readonly range: number;
      readonly start: number;
      readonly end: number;
    }
  | { readonly type: "loaded"; readonly job: number; readonly failure?: Failure }
  | {
      readonly type: "range";
      readonly id: number;
      /** Missing if the job gave it away; then there is a failure. */
      readonly buffer?: ArrayBuffer;
      readonly patches?: readonly Patch[];
      readonly failure?: Failure;
      readonly start: number;
      readonly end: number;
    }
  | { readonly type: "answer"; readonly id: number; readonly value?: unknown; readonly failure?: Failure };
