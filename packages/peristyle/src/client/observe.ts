/**
 * What UI libraries show of a client and of a world: values that say when they are others.
 *
 * Libraries with signals of their own need little of it; those without find here what keeps a value the same object while
 * it says the same.
 *
 * # Rules
 * - A value is the same object until it changed, so that identity tells what to draw again: also for each row of a query,
 *   and for each component of a row.
 * - Who is told of a change asks for the value; what a selector throws is thrown there, where libraries catch it.
 * - Nobody is told after having left, and who has left is forgotten.
 */
import type { ComponentType, Values } from "./replica/component.js";
import type { ViewWorld } from "./replica/view-world.js";
import { Listeners, type Unsubscribe } from "./transports/transport.js";

/** A value that changes. */
export interface Observed<T> {
  /** The value. */
  get(): T;
  /** Tells a listener whenever there is another value, until told to stop. */
  subscribe(listener: () => void): Unsubscribe;
}

/** Whether two values say the same. */
export type Equals<T> = (value: T, previous: T) => boolean;

/** Gives the last value again for one that says the same. */
export function keeper<T>(equals: Equals<T> = Object.is): (value: T) => T {
  let kept: { readonly value: T } | undefined;
  return (value) => {
    if (kept === undefined || !equals(value, kept.value)) kept = { value };
    return kept.value;
  };
}

/** Where a world is seen: a connection, or a replica's stream. */
export interface WorldSource {
  /** The world, as soon as it is known what it shows. */
  readonly view: ViewWorld | undefined;
  on(event: "view" | "frame", listener: () => void): Unsubscribe;
}

type Components = readonly ComponentType[];

/** Which entities to show, by their components. */
export interface EntityQuery<All extends Components = Components> {
  /** Those that have all of these, whose values are shown. */
  readonly all: All;
  /** And one of these at least. */
  readonly any?: Components;
  /** And none of these. */
  readonly none?: Components;
  /**
   * Whose changes are shown; those of `all` unless told. With it the list is another when a row comes or goes or one of these
   * changed in it, and a row has all values as they were then: `{ all: [Name, Position], changed: [Name] }`.
   */
  readonly changed?: Components;
}

/** An entity, and the values of the components that a query asks for, in its order. */
export type QueryRow<All extends Components> = readonly [
  entity: number,
  ...values: { [K in keyof All]: All[K] extends ComponentType<infer F> ? Readonly<Values<F>> : never },
];

/** Whether two queries ask for the same. */
export function isSameQuery(a: EntityQuery, b: EntityQuery): boolean {
  const isSame = (a: Components = [], b: Components = []): boolean =>
    a.length === b.length && a.every((component, at) => component === b[at]);
  // To follow nothing is not to follow all.
  const isFollowed = isSame(a.changed ?? a.all, b.changed ?? b.all);
  return isSame(a.all, b.all) && isSame(a.any, b.any) && isSame(a.none, b.none) && isFollowed;
}

/**
 * The entities that a query finds, ordered by their rows in the view; `undefined` while there is no world.
 *
 * `get` throws a `TypeError` if the host does not show a component of `all` with its fields. Values are copies: they stay
 * as they are when the next frame comes. What a frame costs follows what it changed of the query's components.
 */
export function observeQuery<const All extends Components>(
  source: WorldSource,
  query: EntityQuery<All>,
): Observed<readonly QueryRow<All>[] | undefined> {
  const found = new Found(query);
  const listeners = new Listeners<[]>();
  let leave: Unsubscribe[] = [];
  let wasRead = false;
  const look = (): void => {
    if (found.follow(source.view, true)) listeners.emit();
  };
  return {
    get() {
      wasRead = true;
      found.follow(source.view, false);
      return found.rows() as readonly QueryRow<All>[] | undefined;
    },
    subscribe(listener) {
      if (listeners.size === 0) leave = [source.on("view", look), source.on("frame", look)];
      const unsubscribe = listeners.add(listener);
      // Frames may have come since it was read.
      if (found.follow(source.view, false) && wasRead) listener();
      return () => {
        unsubscribe();
        if (listeners.size === 0) for (const stop of leave.splice(0)) stop();
      };
    },
  };
}

type Row = readonly [entity: number, ...values: object[]];

/** What a query finds, kept from frame to frame. */
class Found {
  readonly #query: EntityQuery;
  #view: ViewWorld | undefined;
  #tick: number | undefined;
  /** By row of the view. */
  readonly #rows = new Map<number, Row>();
  #list: readonly Row[] | undefined;

  constructor(query: EntityQuery) {
    this.#query = query;
  }

  /** Goes on to what the view shows; whether anything is another. `isNext`: by one frame at most. */
  follow(view: ViewWorld | undefined, isNext: boolean): boolean {
    if (view === this.#view && view?.tick === this.#tick) return false;
    const goesOn = isNext && view === this.#view && this.#tick !== undefined;
    this.#view = view;
    this.#tick = view?.tick;
    if (view?.tick === undefined) {
      this.#rows.clear();
      this.#list = undefined;
      return true;
    }
    const touched = goesOn ? this.#touched(view) : Array.from({ length: view.rows }, (_, row) => row);
    if (!goesOn) this.#rows.clear();
    let isAnother = !goesOn;
    for (const row of touched) {
      if (this.#finds(view, row)) this.#rows.set(row, this.#read(view, row, this.#rows.get(row)));
      else if (!this.#rows.delete(row)) continue;
      isAnother = true;
    }
    if (isAnother) this.#list = undefined;
    return isAnother;
  }

  /** What it finds now; the same list until it is another. */
  rows(): readonly Row[] | undefined {
    const view = this.#view;
    if (view?.tick === undefined) return undefined;
    // So that a component that the host lacks is an error, and not an empty list.
    const { all, changed = [] } = this.#query;
    for (const component of [...all, ...changed]) view.get(component);
    this.#list ??= Array.from(this.#rows)
      .sort(([a], [b]) => a - b)
      .map(([, row]) => row);
    return this.#list;
  }

  /** The rows that the last frame may have brought, taken, or changed for the query. */
  #touched(view: ViewWorld): Iterable<number> {
    const touched = new Set<number>();
    for (const { row } of view.removed) touched.add(row);
    for (const row of view.added) touched.add(row);
    for (const row of view.remasked) touched.add(row);
    // Of the others, only those that it shows: whichever are fewer are looked up in the others.
    const { all, changed: followed = all } = this.#query;
    for (const changed of followed.map((component) => view.changed(component))) {
      const isFew = this.#rows.size < changed.length;
      for (const row of isFew ? this.#rows.keys() : changed) {
        if (isFew ? changed.has(row) : this.#rows.has(row)) touched.add(row);
      }
    }
    return touched;
  }

  #finds(view: ViewWorld, row: number): boolean {
    const { all, any = [], none = [] } = this.#query;
    const has = (component: ComponentType): boolean => view.has(component, row);
    return view.entity(row) !== 0 && all.every(has) && (any.length === 0 || any.some(has)) && !none.some(has);
  }

  /** The values of a row; those that did not change are the objects that they were. */
  #read(view: ViewWorld, row: number, before: Row | undefined): Row {
    const entity = view.entity(row);
    const known = before?.[0] === entity ? before : undefined;
    const { all, changed } = this.#query;
    const values = all.map((component, at) => {
      const value = known?.[at + 1] as object | undefined;
      // What is not followed may have changed in any frame since.
      const isSure = value && (!changed || changed.includes(component)) && !view.changed(component).has(row);
      if (isSure) return value;
      const now = view.read(component, entity) as object;
      return changed && value && isEqual(value, now) ? value : now;
    });
    return [entity, ...values] as Row;
  }
}

/** Whether two values of a component have the same fields. */
function isEqual(a: object, b: object): boolean {
  return Object.entries(a).every(([field, value]) => Object.is(value, (b as Record<string, unknown>)[field]));
}
