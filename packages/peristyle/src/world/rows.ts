/** Loops over the rows of a query, which stay right whatever the loop's body does to the world. */
import type { AnyComponent, Component, ComponentType, Entity } from "./component.js";
import type { Query } from "./query.js";
import { CHUNK_ROWS, type Chunk } from "./storage.js";
import type { World } from "./world.js";

/**
 * Goes through the rows of a query. Each row is `[entity, get, ...values]`.
 *
 * A query that follows changes forgets what was shown when a chunk is over, so that what the loop itself writes is not shown
 * to it again. If rows are about to move it forgets everything at once, as it then goes by what was noted.
 */
export function* rows(world: World, query: Query, components: readonly Component[]): Generator<unknown[], void, undefined> {
  const { core, storage, moves } = world;
  const { abi } = core;
  const listed = core.readWords(core.check(abi.chunks(query.id)) * 2);
  const chunks: Noted[] = [];
  for (let i = 0; i < listed.length; i += 2) chunks.push(new Noted(world, query, listed[i], listed[i + 1]));
  let at = 0;
  // Rows of chunks that are yet to come may be moved to where the loop was already, so their entities are noted before.
  const hold = () => {
    for (let i = at; i < chunks.length; i++) {
      chunks[i].note();
      chunks[i].forget(chunks[i].rows);
    }
  };
  world.holds.add(hold);
  let entity: Entity = 0;
  let chunk!: Chunk;
  let row = 0;
  const get = (type: AnyComponent) => world.read(chunk, row, entity >>> 0, world.component(type as ComponentType));
  let seen = 0;
  try {
    for (; at < chunks.length; at++) {
      const noted = chunks[at];
      const entities = noted.note();
      for (seen = 0; seen < entities.length; ) {
        const place = seen++;
        if (!noted.shows(place)) continue;
        entity = entities[place];
        if (world.moves === moves) {
          chunk = storage.chunk(noted.chunk);
          row = place;
        } else {
          const now = abi.locate(entity);
          if (now < 0) continue;
          chunk = storage.chunk(Math.floor(now / CHUNK_ROWS));
          row = now % CHUNK_ROWS;
          if (!matches(query, chunk)) continue;
        }
        const tuple: unknown[] = [entity, get];
        for (const component of components) tuple.push(world.read(chunk, row, entity >>> 0, component));
        yield tuple;
      }
      noted.forget(seen);
    }
  } finally {
    world.holds.delete(hold);
    // Who broke off is shown the rest another time.
    if (at < chunks.length) {
      chunks[at].forget(Math.floor(seen / 64) * 64);
      for (let i = at; i < chunks.length; i++) chunks[i].restore(i === at ? seen : 0);
    }
  }
}

/** What is known of a chunk that a loop is to go through. */
class Noted {
  readonly chunk: number;
  readonly rows: number;
  readonly #world: World;
  readonly #query: Query;
  /** The rows that are shown, if not all. */
  readonly #pending: Uint8Array | undefined;
  #entities: Float64Array | undefined;
  #forgotten = 0;

  constructor(world: World, query: Query, chunk: number, rows: number) {
    this.#world = world;
    this.#query = query;
    this.chunk = chunk;
    this.rows = rows;
    if (!query.follows) return;
    const { core } = world;
    core.check(core.abi.pending(query.id, chunk));
    const at = core.scratch();
    this.#pending = core.u8().slice(at, at + Math.ceil(rows / 64) * 8);
  }

  /** Its entities. */
  note(): Float64Array {
    const { core } = this.#world;
    return (this.#entities ??= core.readNumbers(core.check(core.abi.handles(this.chunk, 0, this.rows))));
  }

  shows(row: number): boolean {
    return !this.#pending || (this.#pending[row >> 3] & (1 << (row & 7))) !== 0;
  }

  /** The query need not show the first rows again. */
  forget(rows: number): void {
    if (!this.#pending || rows <= this.#forgotten) return;
    const { core } = this.#world;
    core.check(core.abi.clear_pending(this.#query.id, this.chunk, 0, rows));
    this.#forgotten = rows;
  }

  /** Marks rows from `seen` on that were forgotten and not shown. */
  restore(seen: number): void {
    const { core } = this.#world;
    for (let row = seen; row < this.#forgotten; row++) {
      const place = this.shows(row) ? core.abi.locate(this.#entities![row]) : -1;
      if (place < 0) continue;
      const chunk = Math.floor(place / CHUNK_ROWS);
      for (const { id } of this.#query.changed) {
        if (this.#world.storage.chunk(chunk).groups[id]) core.check(core.abi.mark(chunk, id, place % CHUNK_ROWS, 1));
      }
    }
  }
}

/** Whether an entity whose rows moved is still meant. */
function matches({ all, any, none }: Query, { groups }: Chunk): boolean {
  const has = ({ id }: AnyComponent) => groups[id] !== undefined;
  return all.every(has) && (any.length === 0 || any.some(has)) && !none.some(has);
}
