/** Makers: what creates entities of the same components, one by one. */
import { ComponentError, ValueError } from "../errors.js";
import type { AnyComponent, Component, ComponentType, Entity, ValueOf } from "./component.js";
import type { Table } from "./storage.js";
import type { World } from "./world.js";

/** Values for components; what is left out is the component's default. */
type Given<C extends readonly AnyComponent[]> = { readonly [K in keyof C]?: ValueOf<C[K]> | Partial<ValueOf<C[K]>> };

/**
 * Creates entities of exactly the components that it was made for. Where their table is was found out once, and values are
 * told by position, so that no object with ids as keys is made and read for each.
 */
export class Maker<C extends readonly AnyComponent[]> {
  readonly #world: World;
  readonly #components: readonly Component[];
  readonly #table: Table;

  /** @internal */
  constructor(world: World, types: C) {
    this.#world = world;
    this.#components = types.map((type) => world.component(type as ComponentType));
    for (const [i, { name }] of this.#components.entries()) {
      if (types.indexOf(types[i]) < i) throw new ComponentError("component-taken", `a maker was given \`${name}\` twice`);
    }
    this.#table = world.storage.table(this.#components.map(({ id }) => id));
  }

  /** Creates an entity with a value for each component, in the order in which the maker was given them. */
  create(...values: Given<C>): Entity {
    if (values.length > this.#components.length) {
      const message = `a maker of ${this.#components.length} components was given ${values.length} values`;
      throw new ValueError("value-field", message);
    }
    return this.#world.make(this.#table, this.#components, values);
  }
}
