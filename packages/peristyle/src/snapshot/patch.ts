/** What a job may return instead of writing columns: changes of single entities, applied when the stage ends. */

/** A change of one entity. `eid` is the entity's handle, `cid` a component's id. */
export type Patch =
  | { readonly kind: "set" | "add"; readonly eid: number; readonly cid: number; readonly value: unknown }
  | { readonly kind: "remove"; readonly eid: number; readonly cid: number }
  | { readonly kind: "destroy"; readonly eid: number };
