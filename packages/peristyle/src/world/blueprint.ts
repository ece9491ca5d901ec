/** Blueprints: lists of components that entities are made of, again and again. */
import { ComponentError, ValueError } from "../errors.js";
import type { AnyComponent, ComponentType, Entity, ValueOf } from "./component.js";
import { idOf, type World } from "./world.js";

/** One component of a blueprint: with a value, or with one for each entity by its position in the call of `spawn`. */
export interface BlueprintStep<T = unknown> {
  readonly c: ComponentType<T>;
  readonly v?: T | Partial<T> | ((i: number) => T | Partial<T>);
}

/** What entities are made of. */
export interface Blueprint {
  readonly name: string;
  readonly steps: readonly BlueprintStep[];
}

/** Values that replace those of the blueprint, by component id. */
export type Overrides = Readonly<Record<number, unknown>>;

/** Steps whose values fit their components. */
type Steps<C extends readonly AnyComponent[]> = { readonly [K in keyof C]: BlueprintStep<ValueOf<C[K]>> & { readonly c: C[K] } };

/** Makes a blueprint. */
export function makeBlueprint<const C extends readonly AnyComponent[]>(name: string, steps: Steps<C>): Blueprint {
  const list = steps as unknown as readonly BlueprintStep[];
  const seen = new Set<number>();
  for (const { c } of list) {
    if (typeof c?.id !== "number") {
      throw new ComponentError("component-foreign", `blueprint \`${name}\`: a step needs a component as its \`c\``);
    }
    if (seen.has(c.id)) throw new ComponentError("component-taken", `blueprint \`${name}\` has \`${c.name}\` twice`);
    seen.add(c.id);
  }
  return { name, steps: [...list] };
}

/**
 * Makes `count` entities of a blueprint. `overrides` replace values of its components, and add others, by component id; a
 * function gives the value of the `i`th entity.
 */
export function spawn(world: World, blueprint: Blueprint, count = 1, overrides: Overrides = {}): Entity[] {
  if (!Number.isInteger(count) || count < 0) {
    throw new ValueError("value-range", `blueprint \`${blueprint.name}\`: the count must be a whole number, not ${count}`);
  }
  const values = new Map<number, unknown>(blueprint.steps.map(({ c, v }) => [c.id, v]));
  for (const key in overrides) {
    const id = idOf(key);
    if (!world.known(id)) {
      const message = `blueprint \`${blueprint.name}\`: there is no component with the id ${JSON.stringify(key)}`;
      throw new ComponentError("component-foreign", message);
    }
    values.set(id, overrides[id]);
  }
  return world.createEntities(count, values);
}
