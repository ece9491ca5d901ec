/** Queries: which entities are meant, by the components that they have. */
import { QueryError } from "../errors.js";
import type { AnyComponent } from "./component.js";

/** Which entities are meant. */
export interface QuerySpec {
  /** They have all of these. */
  readonly all?: readonly AnyComponent[];
  /** They have at least one of these, if any is listed. */
  readonly any?: readonly AnyComponent[];
  /** They have none of these. */
  readonly none?: readonly AnyComponent[];
  /** At least one of these was written since this query was last gone through; at first all count as written. */
  readonly changed?: readonly AnyComponent[];
  /** At least one of these was attached since this query was last gone through. */
  readonly added?: readonly AnyComponent[];
}

/** A query of a world. One with `changed` or `added` remembers what it has shown: keep it, rather than make it anew. */
export class Query {
  /** @internal Its number in the core. */
  id: number;
  /** @internal Whether it shows rows by what happened to them. */
  readonly follows: boolean;
  readonly all: readonly AnyComponent[];
  readonly any: readonly AnyComponent[];
  readonly none: readonly AnyComponent[];
  readonly changed: readonly AnyComponent[];
  readonly added: readonly AnyComponent[];

  /** @internal */
  constructor(id: number, spec: QuerySpec) {
    this.id = id;
    this.all = spec.all ?? [];
    this.any = spec.any ?? [];
    this.none = spec.none ?? [];
    this.changed = spec.changed ?? [];
    this.added = spec.added ?? [];
    this.follows = this.changed.length + this.added.length > 0;
  }
}

const LISTS = ["all", "any", "none", "changed", "added"] as const;

/**
 * The words by which the core knows a query: five lists of component ids, each led by its length.
 * `known` says whether a component is one of the world.
 */
export function queryWords(spec: QuerySpec, known: (component: AnyComponent) => boolean): number[] {
  if (typeof spec !== "object" || spec === null) {
    throw new QueryError("query-component", "a query is an object with lists of components: { all, any, none, changed }");
  }
  const unknown = spec instanceof Query ? undefined : Object.keys(spec).find((key) => !(LISTS as readonly string[]).includes(key));
  if (unknown !== undefined) {
    throw new QueryError("query-component", `a query has no list \`${unknown}\`; it has ${LISTS.join(", ")}`);
  }
  return LISTS.flatMap((list) => {
    const components = spec[list] ?? [];
    const foreign = components.findIndex((component) => !known(component));
    if (foreign >= 0) {
      const what = `\`${list}[${foreign}]\` of the query`;
      throw new QueryError("query-component", `${what} is no component that was defined by this world`);
    }
    const ids = [...new Set(components.map(({ id }) => id))].sort((a, b) => a - b);
    return [ids.length, ...ids];
  });
}
