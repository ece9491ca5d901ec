/**
 * What can go wrong, as types: each error has a stable `code` to match and a message that says what to do.
 *
 * # Rules
 * - Codes are part of the interface: never renamed, one meaning each. Messages may change.
 * - An error names what and where: the component, the entity, the system, the module.
 * - What was thrown elsewhere (by a job, by an engine) is kept as `cause`, untouched.
 */

/** Any error that Peristyle throws by itself. */
export class PeristyleError<Code extends string = string> extends Error {
  override readonly name: string = "PeristyleError";
  /** What kind of thing is wrong; stable. */
  readonly code: Code;

  constructor(code: Code, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** What can be wrong with a component or resource that is defined. */
export type ComponentErrorCode =
  | "component-name"
  | "component-taken"
  | "component-fields"
  | "component-scalar"
  | "component-foreign"
  | "component-not-columnar"
  | "component-limit";

/** A component or resource is not defined as it must be, or is another world's. */
export class ComponentError extends PeristyleError<ComponentErrorCode> {
  override readonly name = "ComponentError";
}

/** What can be wrong with an entity or with what is asked of it. */
export type EntityErrorCode = "entity-invalid" | "entity-destroyed" | "entity-provisional" | "component-absent";

/** An entity is not there, or has not what is asked of it. */
export class EntityError extends PeristyleError<EntityErrorCode> {
  override readonly name = "EntityError";
}

/** What can be wrong with a value. */
export type ValueErrorCode = "value-type" | "value-field" | "value-range";

/** A value does not fit its component. Nothing of it was written. */
export class ValueError extends PeristyleError<ValueErrorCode> {
  override readonly name = "ValueError";
}

/** What can be wrong with a query. */
export type QueryErrorCode = "query-empty" | "query-component" | "query-columns";

/** A query cannot be made. */
export class QueryError extends PeristyleError<QueryErrorCode> {
  override readonly name = "QueryError";
}

/** What can be wrong with the order of calls. */
export type TickErrorCode = "tick-nested" | "tick-none" | "frame-running" | "closed";

/** Something was asked at a time at which it cannot be done. */
export class TickError extends PeristyleError<TickErrorCode> {
  override readonly name = "TickError";
}

/** What can be wrong with a system or with the order of systems. */
export type ScheduleErrorCode =
  | "system-name"
  | "system-taken"
  | "system-unknown"
  | "system-options"
  | "stage-unknown"
  | "stage-taken"
  | "order-cycle"
  | "resource-unknown"
  | "resource-taken";

/** A system, a stage or a resource is not registered as it must be. */
export class ScheduleError extends PeristyleError<ScheduleErrorCode> {
  override readonly name = "ScheduleError";
}

/** How a job can fail. */
export type JobErrorCode =
  | "job-load"
  | "job-handle"
  | "job-threw"
  | "job-timeout"
  | "job-patch"
  | "job-columns"
  | "job-unclonable"
  | "job-shared"
  | "worker-lost"
  | "worker-start"
  | "queue-full"
  | "pool-closed";

/** A job could not be loaded, threw, or lost its worker. Others are not touched by it. */
export class JobError extends PeristyleError<JobErrorCode> {
  override readonly name = "JobError";
}

/** A system failed. The other systems of its frame ran. */
export class SystemError extends PeristyleError<"system-failed"> {
  override readonly name = "SystemError";
  /** The name of the system. */
  readonly system: string;

  constructor(system: string, cause: unknown) {
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super("system-failed", `system \`${system}\` failed: ${why}`, { cause });
    this.system = system;
  }
}

/** One or more systems of a frame failed. What they recorded until then counts, and the frame went on to its end. */
export class FrameFailure extends PeristyleError<"frame-failed"> {
  override readonly name = "FrameFailure";
  /** What failed, in the plan's order. */
  readonly failures: readonly SystemError[];

  constructor(failures: readonly SystemError[]) {
    super("frame-failed", failures.map(({ message }) => message).join("\n"), { cause: failures[0]?.cause });
    this.failures = failures;
  }
}

/** What can be wrong with the core. */
export type CoreErrorCode = "core-load" | "core-mismatch" | "core-trap" | "core-refused" | "memory-exhausted";

/** The core could not be loaded, does not fit the package, ran out of memory, or broke off. */
export class CoreError extends PeristyleError<CoreErrorCode> {
  override readonly name = "CoreError";
}

/** What a host may lack. */
export type SupportErrorCode = "no-shared-memory" | "no-workers" | "no-wasm" | "no-simd";

/** This page or process cannot do what is asked. */
export class SupportError extends PeristyleError<SupportErrorCode> {
  override readonly name = "SupportError";
}

/** What can be wrong with a snapshot of columns. */
export type SnapshotErrorCode = "snapshot-layout" | "snapshot-rows" | "snapshot-stale" | "snapshot-world";

/** Columns do not fit the world that they are made of or committed to. */
export class SnapshotError extends PeristyleError<SnapshotErrorCode> {
  override readonly name = "SnapshotError";
}

/** What can be wrong with the schema of a struct. */
export type SchemaErrorCode = "schema-type" | "schema-size" | "schema-depth" | "schema-field" | "schema-unsupported";

/** A schema does not describe fixed numbers, or a record does not fit it. */
export class SchemaError extends PeristyleError<SchemaErrorCode> {
  override readonly name = "SchemaError";
}

/** What can be wrong with a patch. */
export type WorldPatchErrorCode = "patch-kind" | "patch-component" | "patch-entity" | "patch-value";

/** A patch names something that is not there. It was skipped, and the others were applied. */
export class WorldPatchError extends PeristyleError<WorldPatchErrorCode> {
  override readonly name = "WorldPatchError";
}

/** What a served world can refuse. */
export type ServeErrorCode = "serve-component" | "serve-upgrade" | "serve-frame" | "serve-options";

/** A world cannot be served as asked, or a peer said nonsense. */
export class ServeError extends PeristyleError<ServeErrorCode> {
  override readonly name = "ServeError";
}
