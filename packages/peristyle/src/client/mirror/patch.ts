/**
 * Patches of a state tree.
 *
 * Containers on the path are copied, once for all patches of a message; everything else stays identical, so that
 * identity tells what changed. What is given is never written: a failure halfway leaves nothing behind.
 */
import { PeristyleError } from "../../errors.js";
import { INDEX_MAX, segments, type Patch, type PathSegment } from "./message.js";

/** A patch that does not fit the state. */
export class PatchError extends PeristyleError<"patch-apply-failed"> {
  override readonly name = "PatchError";
  /** The patch. */
  readonly patch: Patch;
  constructor(message: string, patch: Patch) {
    super("patch-apply-failed", `${message}: ${patch.op} of ${JSON.stringify(patch.path)}`);
    this.patch = patch;
  }
}

/** How patches apply beyond what the protocol asks. */
export interface PatchOptions {
  /** Takes `replace` of an array's `length` by a smaller integer as truncation. */
  readonly length?: boolean;
}

type Container = Record<string, unknown> | unknown[];

const isContainer = (value: unknown): value is Container => typeof value === "object" && value !== null;

/** The index that a segment names, and -1 if it names none. */
function index(segment: PathSegment): number {
  if (typeof segment === "number") return segment;
  const number = Number(segment);
  return String(number) === segment && Number.isInteger(number) && number >= 0 && number <= INDEX_MAX ? number : -1;
}

/** Whether a container has an element or member of its own of that name. */
function has(container: Container, segment: PathSegment): boolean {
  if (!Array.isArray(container)) return Object.hasOwn(container, segment);
  const at = index(segment);
  return at >= 0 && at < container.length;
}

/**
 * A state with patches applied, in order.
 *
 * @throws {@link PatchError} if one does not fit.
 */
export function applyPatches(state: unknown, patches: readonly Patch[], options: PatchOptions = {}): unknown {
  const root: { state: unknown } = { state };
  const copies = new Set<Container>();
  for (const patch of patches) {
    const path = segments(patch.path);
    if (path.length === 0) {
      root.state = patch.op === "remove" ? undefined : patch.value;
      continue;
    }
    const own = (container: Container): Container => {
      if (copies.has(container)) return container;
      const copy = Array.isArray(container) ? container.slice() : { ...container };
      copies.add(copy);
      return copy;
    };
    if (!isContainer(root.state)) throw new PatchError("there is nothing to change", patch);
    let container = (root.state = own(root.state)) as Record<PathSegment, unknown>;
    for (const step of path.slice(0, -1)) {
      const next = has(container, step) ? container[step] : undefined;
      if (!isContainer(next)) throw new PatchError(`nothing to go through at ${JSON.stringify(step)}`, patch);
      container = (container[step] = own(next)) as Record<PathSegment, unknown>;
    }
    change(container, path[path.length - 1] as PathSegment, patch, options);
  }
  return root.state;
}

function change(container: Container, last: PathSegment, patch: Patch, options: PatchOptions): void {
  if (!Array.isArray(container)) {
    if (patch.op !== "add" && !has(container, last)) throw new PatchError("there is no such member", patch);
    if (patch.op === "remove") delete container[last];
    else container[last] = patch.value;
    return;
  }
  if (options.length && last === "length" && patch.op === "replace") {
    const { value } = patch;
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > container.length) {
      throw new PatchError("not a length to cut to", patch);
    }
    container.length = value as number;
    return;
  }
  const at = index(last);
  const end = patch.op === "add" ? container.length : container.length - 1;
  if (at < 0 || at > end) throw new PatchError("there is no such element", patch);
  if (patch.op === "add") container.splice(at, 0, patch.value);
  else if (patch.op === "remove") container.splice(at, 1);
  else container[at] = patch.value;
}
