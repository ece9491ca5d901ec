/** What a core that refuses or breaks off says, as errors of the package. */

import {
  ComponentError,
  CoreError,
  EntityError,
  type PeristyleError,
  ScheduleError,
  ServeError,
  TickError,
} from "../errors.js";
import type { Status } from "./abi.js";

type Make = (message: string) => PeristyleError;

const core =
  (code: "core-refused" | "memory-exhausted"): Make =>
  (message) =>
    new CoreError(code, message);
const entity =
  (code: "entity-destroyed" | "entity-provisional" | "component-absent"): Make =>
  (message) =>
    new EntityError(code, message);
const schedule =
  (code: "system-unknown" | "system-taken" | "stage-unknown" | "order-cycle"): Make =>
  (message) =>
    new ScheduleError(code, message);
const tick =
  (code: "tick-nested" | "tick-none" | "frame-running"): Make =>
  (message) =>
    new TickError(code, message);

const MAKE: Readonly<Record<Exclude<Status, "ok">, Make>> = {
  stale: entity("entity-destroyed"),
  provisional: entity("entity-provisional"),
  missing: entity("component-absent"),
  "out-of-memory": core("memory-exhausted"),
  "entities-exhausted": core("memory-exhausted"),
  "nested-tick": tick("tick-nested"),
  "no-tick": tick("tick-none"),
  "name-taken": (message) => new ComponentError("component-taken", message),
  "bad-field": (message) => new ComponentError("component-fields", message),
  "bad-argument": core("core-refused"),
  "bad-text": core("core-refused"),
  leased: tick("frame-running"),
  "unknown-system": schedule("system-unknown"),
  "duplicate-system": schedule("system-taken"),
  "no-stage": schedule("stage-unknown"),
  "wrong-stage": schedule("order-cycle"),
  cycle: schedule("order-cycle"),
  "frame-running": tick("frame-running"),
  "no-frame": tick("tick-none"),
  "bad-view": (message) => new ServeError("serve-component", message),
  "bad-message": (message) => new ServeError("serve-frame", message),
  flooded: (message) => new ServeError("serve-frame", message),
  closed: (message) => new ServeError("serve-frame", message),
};

/** The error that a status stands for. */
export function failure(status: Exclude<Status, "ok">, message: string): PeristyleError {
  return MAKE[status](message);
}
