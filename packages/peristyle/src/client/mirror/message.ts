/**
 * The five messages of the mirror protocol, and what makes one valid.
 *
 * Validity is decided for a whole message before anything else looks at it: one malformed patch makes the message
 * invalid. Unknown extra fields are ignored.
 */

import { PeristyleError } from "../../errors.js";

/** One step of a path: a key, or an index. */
export type PathSegment = string | number;

/** One change of a state. */
export type Patch =
  | { readonly op: "add" | "replace"; readonly path: string | readonly PathSegment[]; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string | readonly PathSegment[]; readonly value?: unknown };

/** Host to client: it has started. */
export interface ReadyMessage {
  readonly type: "ready";
  /** Tells this run of the host from others. */
  readonly epoch?: number;
}

/** Host to client: a whole state, or what changed in it. */
export interface StateMessage {
  readonly type: "state";
  readonly version: number;
  readonly sync: "patch" | "snapshot";
  readonly state?: Readonly<Record<string, unknown>>;
  readonly patches?: readonly Patch[];
  readonly sections?: readonly string[];
  readonly syncId?: number;
}

/** Client to host: run a method. */
export interface CallMessage {
  readonly type: "call";
  readonly id: number;
  readonly module: string;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** Host to client: what became of a call. */
export interface ResultMessage {
  readonly type: "result";
  readonly id: number;
  readonly stateVersion?: number;
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly message: string; readonly stack?: string };
}

/** Client to host: send the whole state. */
export interface SyncMessage {
  readonly type: "sync";
  readonly id: number;
  readonly stateVersion?: number;
  /** The version that the client has, so that the host can answer with what is missing. */
  readonly have?: number;
  /** The run of the host that `have` is of. */
  readonly epoch?: number;
}

/** Any message of the protocol. */
export type Message = ReadyMessage | StateMessage | CallMessage | ResultMessage | SyncMessage;

type Fields = Readonly<Record<string, unknown>>;

/** Whether a value is an object that is no list. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is an object without a class: what JSON and structured clone make. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (!isRecord(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // An object of another realm has another `Object.prototype`, which has no prototype either.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isOptional = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value);
const isString = (value: unknown): value is string => typeof value === "string";
const isName = (value: unknown): boolean => isString(value) && value !== "";

/** The greatest index of an array. */
export const INDEX_MAX = 2 ** 32 - 2;

/** Keys that reach beyond the state. */
const REFUSED: ReadonlySet<unknown> = new Set(["__proto__", "constructor", "prototype"]);

function isSegment(segment: unknown): boolean {
  if (isString(segment)) return !REFUSED.has(segment);
  return isInteger(segment) && segment <= INDEX_MAX;
}

/** The segments of a path. */
export function segments(path: string | readonly PathSegment[]): readonly PathSegment[] {
  if (typeof path !== "string") return path;
  const steps = path.split("/").slice(1);
  return steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function isPath(path: unknown): boolean {
  if (isString(path)) {
    if (path !== "" && !path.startsWith("/")) return false;
    return !/~(?![01])/.test(path) && segments(path).every(isSegment);
  }
  // `every` would pass over holes.
  return Array.isArray(path) && Array.from(path).every(isSegment);
}

function isPatch(patch: unknown): boolean {
  if (!isRecord(patch) || !isPath(patch.path)) return false;
  return patch.op === "remove" || ((patch.op === "add" || patch.op === "replace") && Object.hasOwn(patch, "value"));
}

function isState(message: Fields): boolean {
  const { version, sync, state, patches, sections, syncId } = message;
  return (
    isInteger(version) &&
    isOptional(syncId, isInteger) &&
    isOptional(state, isPlain) &&
    isOptional(patches, (list) => Array.isArray(list) && Array.from(list).every(isPatch)) &&
    isOptional(sections, (list) => Array.isArray(list) && Array.from(list).every(isString)) &&
    (sync === "snapshot" ? state !== undefined : sync === "patch" && (state ?? patches) !== undefined)
  );
}

function isError(error: unknown): boolean {
  return isRecord(error) && isString(error.name) && isString(error.message) && isOptional(error.stack, isString);
}

/** What arrived and is no valid message. It was dropped, and changed nothing. */
export class InvalidMessageError extends PeristyleError<"message-invalid"> {
  override readonly name = "InvalidMessageError";
  /** What arrived. */
  readonly received: unknown;

  constructor(received: unknown) {
    const type = isRecord(received) ? JSON.stringify(received.type) : typeof received;
    super("message-invalid", `not a valid message, of type ${type}: do both ends speak the mirror protocol?`);
    this.received = received;
  }
}

/** Is told of what arrived and is no valid message. */
export type InvalidMessageObserver = (message: unknown, error: InvalidMessageError) => void;

/** Whether a value is a valid message. */
export function isMessage(value: unknown): value is Message {
  if (!isRecord(value)) return false;
  const { type, id, stateVersion } = value;
  switch (type) {
    case "ready":
      return true;
    case "state":
      return isState(value);
    case "call":
      return isInteger(id) && isName(value.module) && isName(value.method) && Array.isArray(value.args);
    case "result":
      return isInteger(id) && isOptional(stateVersion, isInteger) && isOptional(value.error, isError);
    case "sync":
      return isInteger(id) && isOptional(stateVersion, isInteger);
    default:
      return false;
  }
}
