/** Makes the changes that a job returned as patches. */
import { WorldPatchError, type WorldPatchErrorCode } from "../errors.js";
import type { Patch } from "../snapshot/patch.js";
import { skippedFor, type Applied } from "../world/commands.js";
import type { Entity } from "../world/component.js";
import type { World } from "../world/world.js";

/** Whom a patch is for, or why it is for nobody. */
export type Target = Entity | Skip;

type Skip = readonly [code: WorldPatchErrorCode, why: string, cause?: unknown];

/**
 * The entities that patches are for. `eid` is a handle, or an index as jobs find it in `snap.eids`, which says no more than
 * that: it is asked before anything else is done to the world, as another entity may have the index afterwards.
 */
export function targets(world: World, patches: readonly Patch[]): Target[] {
  return patches.map((patch) => {
    try {
      // A job may return anything.
      const eid = (patch as Patch | null | undefined)?.eid as unknown;
      if (typeof eid !== "number") return ["patch-entity", `\`eid\` must be a number, and is of type ${typeof eid}`];
      return world.byIndex(eid);
    } catch (error) {
      return ["patch-entity", error instanceof Error ? error.message : String(error), error];
    }
  });
}

/** Makes changes in their order. What is no patch, or names what is not there, is skipped and told. */
export function mergePatches(
  world: World,
  system: string,
  patches: readonly Patch[],
  entities: readonly Target[],
): Applied {
  const skipped: WorldPatchError[] = [];
  for (let i = 0; i < patches.length; i++) {
    try {
      const target = entities[i];
      const wrong = typeof target === "number" ? mergePatch(world, patches[i], target) : target;
      if (wrong) {
        skipped.push(new WorldPatchError(wrong[0], `system \`${system}\`, patch ${i}: ${wrong[1]}`, { cause: wrong[2] }));
      }
    } catch (error) {
      skipped.push(skippedFor(`system \`${system}\`, patch ${i}`, error));
    }
  }
  return { applied: patches.length - skipped.length, skipped };
}

function mergePatch(world: World, patch: Patch, entity: Entity): Skip | undefined {
  const { kind, cid, value } = patch as Readonly<Record<string, unknown>>;
  if (kind === "destroy") return void world.destroyEntity(entity);
  if (kind !== "set" && kind !== "add" && kind !== "remove") {
    return ["patch-kind", `\`kind\` must be set, add, remove or destroy, not ${String(kind)}`];
  }
  const component = world.known(cid);
  if (!component) return ["patch-component", `there is no component with the id ${String(cid)}`];
  if (kind === "remove") world.removeComponent(entity, component);
  else if (kind === "add") world.addComponent(entity, component, value as never);
  else world.set(entity, component, value);
  return undefined;
}
