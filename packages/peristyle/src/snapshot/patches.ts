/** Applies patches to any world. */
import { WorldPatchError, type WorldPatchErrorCode } from "../errors.js";
import { skippedFor } from "../world/commands.js";
import type { Patch } from "./patch.js";
import type { SnapshotWorld } from "./world.js";

/** A world that patches may also add to and take from. */
export interface PatchedWorld extends SnapshotWorld {
  addComponent?(entity: number, type: never, value: never): unknown;
  removeComponent?(entity: number, type: never): unknown;
  destroyEntity?(entity: number): unknown;
  /** Component types by id; where a world has none, it is given `{ id, name }`. */
  readonly components?: ArrayLike<unknown>;
  /** The entity of an index, if the world has handles. */
  byIndex?(index: number): number;
}

/** What became of patches. */
export interface PatchesApplied {
  readonly applied: number;
  /** What was skipped, with why; its position is in the message. */
  readonly skipped: readonly WorldPatchError[];
}

const KINDS = ["set", "add", "remove", "destroy"];

/**
 * Applies patches in their order. Indices stand for the entities that have them before the first is applied. What names an
 * entity or a component that is not there is skipped and told.
 */
export function applyPatches(
  world: PatchedWorld,
  patches: readonly Patch[],
  types?: Readonly<Record<number, unknown>>,
): PatchesApplied {
  return applyTo(world, patches, targets(world, patches), "", types);
}

type Wrong = readonly [code: WorldPatchErrorCode, why: string, cause?: unknown];

/** Whom a patch is for, or why it is for nobody. */
export type Target = number | Wrong;

/**
 * The entities that patches are for. `eid` is a handle, or an index as jobs find it in `snap.eids`, which says no more than
 * that: it is asked before anything else is done to the world, as another entity may have the index afterwards.
 */
export function targets(world: PatchedWorld, patches: readonly Patch[]): Target[] {
  return patches.map((patch) => {
    let eid: unknown;
    try {
      // A job may return anything.
      eid = (patch as Patch | null | undefined)?.eid;
      if (typeof eid !== "number") return ["patch-entity", `\`eid\` must be a number, and is of type ${typeof eid}`];
      if (!Number.isSafeInteger(eid) || eid < 0) return ["patch-entity", `${eid} is no entity`];
      return world.byIndex ? world.byIndex(eid) : eid;
    } catch (cause) {
      const why = typeof eid === "number" ? `entity ${eid} does not live` : "its `eid` cannot be read";
      return ["patch-entity", why, cause];
    }
  });
}

/** Applies patches to their targets, in their order. What is skipped is told with `prefix`, which says whose it is. */
export function applyTo(
  world: PatchedWorld,
  patches: readonly Patch[],
  entities: readonly Target[],
  prefix: string,
  types?: Readonly<Record<number, unknown>>,
): PatchesApplied {
  const skipped: WorldPatchError[] = [];
  for (let i = 0; i < patches.length; i++) {
    try {
      const wrong = apply(world, patches[i], entities[i], types);
      if (wrong) skipped.push(new WorldPatchError(wrong[0], `${prefix}patch ${i}: ${wrong[1]}`, { cause: wrong[2] }));
    } catch (thrown) {
      skipped.push(skippedFor(`${prefix}patch ${i}`, thrown));
    }
  }
  return { applied: patches.length - skipped.length, skipped };
}

function apply(
  world: PatchedWorld,
  patch: Patch,
  entity: Target,
  types: Readonly<Record<number, unknown>> | undefined,
): Wrong | undefined {
  // A job may return anything.
  const { kind, cid, value } = (patch ?? {}) as Readonly<Record<string, unknown>>;
  if (!KINDS.includes(kind as string))
    return ["patch-kind", `\`kind\` must be ${KINDS.join(", ")}, not ${String(kind)}`];
  if (typeof entity !== "number") return entity;
  if (!world.isAlive(entity)) return ["patch-entity", `entity ${patch.eid} does not live`];
  const lacks = (): Wrong => ["patch-kind", `this world cannot do \`${String(kind)}\``];
  if (kind === "destroy") return world.destroyEntity ? void world.destroyEntity(entity) : lacks();
  // A list has more than its elements: `length`, and what its prototype has.
  const isId = Number.isSafeInteger(cid) && (cid as number) >= 0;
  const known = isId ? (types?.[cid as number] ?? world.components?.[cid as number]) : undefined;
  if (known === undefined && (types || world.components)) {
    return ["patch-component", `there is no component with the id ${String(cid)}`];
  }
  const type = (known ?? { id: cid, name: String(cid) }) as never;
  if (kind === "set") world.set(entity, type, value as never);
  else if (kind === "remove") return world.removeComponent ? void world.removeComponent(entity, type) : lacks();
  else if (world.addComponent) world.addComponent(entity, type, value as never);
  else return lacks();
  return undefined;
}
