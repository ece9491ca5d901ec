/** Values of components without fields, for the rows of a range. */
import type { Component } from "../world/component.js";
import type { World } from "../world/world.js";

/** Words of a range list before its descriptors. */
const LIST_HEAD = 4;
/** Words of a descriptor (see `crates/layout/src/descriptor.rs`): rows, and where the entity indices are. */
const ROWS = 1;
const EIDS = 6;

/** Gives the values of components for the rows of a range of a lease, aligned with its entity indices. */
export function valuesOf(
  world: World,
  list: number,
  components: readonly Component[],
): (range: number) => Record<number, readonly unknown[]> {
  return (range) => {
    const words = world.core.u32();
    const descriptor = words[list / 4 + LIST_HEAD + range] / 4;
    const rows = words[descriptor + ROWS];
    const first = words[descriptor + EIDS] / 4;
    const eids = words.subarray(first, first + rows);
    return Object.fromEntries(
      components.map(({ id, values }) => [id, Array.from(eids, (index: number) => values[index])]),
    );
  };
}
