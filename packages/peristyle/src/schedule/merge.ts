/** Makes the changes that a job returned as patches. */
import { WorldPatchError, type WorldPatchErrorCode } from "../errors.js";
import type { Patch } from "../snapshot/patch.js";
import { skippedFor, type Applied } from "../world/commands.js";
import type { Component } from "../world/component.js";
import type { World } from "../world/world.js";

/**
 * Makes changes in their order. What is no patch, or names what is not there, is skipped and told. `eid` is a handle, or
 * an index as jobs find it in `snap.eids`.
 */
export function mergePatches(world: World, system: string, patches: readonly Patch[]): Applied {
  const skipped: WorldPatchError[] = [];
  for (let i = 0; i < patches.length; i++) {
    try {
      const wrong = mergePatch(world, patches[i]);
      if (wrong) skipped.push(new WorldPatchError(wrong[0], `system \`${system}\`, patch ${i}: ${wrong[1]}`));
    } catch (error) {
      skipped.push(skippedFor(`system \`${system}\`, patch ${i}`, error));
    }
  }
  return { applied: patches.length - skipped.length, skipped };
}

function mergePatch(world: World, patch: Patch): [WorldPatchErrorCode, string] | undefined {
  // A job may return anything.
  const { kind, eid, cid, value } = (patch ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof eid !== "number") return ["patch-entity", `\`eid\` must be a number, not ${String(eid)}`];
  const entity = world.byIndex(eid);
  if (kind === "destroy") return void world.destroyEntity(entity);
  if (kind !== "set" && kind !== "add" && kind !== "remove") {
    return ["patch-kind", `\`kind\` must be set, add, remove or destroy, not ${String(kind)}`];
  }
  const component = world.components[cid as number] as Component | undefined;
  if (!component) return ["patch-component", `there is no component with the id ${String(cid)}`];
  if (kind === "remove") world.removeComponent(entity, component);
  else if (kind === "add") world.addComponent(entity, component, value as never);
  else world.set(entity, component, value);
  return undefined;
}
