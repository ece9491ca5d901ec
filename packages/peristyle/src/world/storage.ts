/**
 * Tables and chunks of a world, as the layers above see them: what the core says, kept until it changes.
 *
 * A chunk is seen through typed arrays over the core's memory. They stay right until the core's layout version (a chunk
 * was replaced) or the memory's generation (a plain memory has grown) moves; then all of them are made again, when next
 * looked at.
 */
import { HEADER, type Abi } from "../core/abi.js";
import type { Core } from "../core/core.js";
import type { Component } from "./component.js";
import { COLUMN_ARRAYS, type Column } from "./fields.js";

/** Rows of a full-sized chunk: a place is `chunk * CHUNK_ROWS + row`. */
export const CHUNK_ROWS = 16_384;

/** A set of components, and where to go from it. */
export interface Table {
  readonly id: number;
  /** Ascending by id. */
  readonly components: readonly Component[];
  /** Those whose values are kept in lists by entity index. */
  readonly objects: readonly Component[];
  /** Whether something must be done for each entity that leaves. */
  readonly watched: boolean;
  /** Whether somebody is told of each entity that comes. */
  readonly isTold: boolean;
}

/** The columns of one component in one chunk. */
export interface Group {
  readonly columns: readonly Column[];
  /** The columns by flattened name. */
  readonly fields: Readonly<Record<string, Column>>;
  /** A bit for each row, to be set for what was written; zero outside of leases. */
  readonly changed: Uint8Array;
}

/** One chunk, seen through typed arrays as long as its capacity. */
export interface Chunk {
  readonly id: number;
  readonly table: Table;
  readonly capacity: number;
  /** Entity indices by row. */
  readonly eids: Int32Array;
  /** By component id. */
  readonly groups: readonly (Group | undefined)[];
}

/** What the core says of tables and chunks. */
export class Storage {
  readonly core: Core;
  readonly abi: Abi;
  readonly #components: readonly Component[];
  readonly #tables: Table[] = [];
  readonly #byComponents = new Map<string, Table>();
  readonly #with: Table[][] = [];
  readonly #without: Table[][] = [];
  #chunks: Chunk[] = [];
  #layout = -1;
  #generation = -1;

  constructor(core: Core, components: readonly Component[]) {
    this.core = core;
    this.abi = core.abi;
    this.#components = components;
  }

  /** The table of exactly these components. `ids` is sorted in place. */
  table(ids: number[]): Table {
    const key = ids.length > 1 ? ids.sort((a, b) => a - b).join() : String(ids[0] ?? "");
    const known = this.#byComponents.get(key);
    if (known) return known;
    const table = this.#known(this.core.check(this.abi.table(this.core.writeWords(ids))));
    this.#byComponents.set(key, table);
    return table;
  }

  /** The table that has a component too. */
  with(table: Table, component: Component): Table {
    const row = (this.#with[table.id] ??= []);
    return (row[component.id] ??= this.#known(this.core.check(this.abi.table_with(table.id, component.id))));
  }

  /** The table that lacks a component. */
  without(table: Table, component: Component): Table {
    const row = (this.#without[table.id] ??= []);
    return (row[component.id] ??= this.#known(this.core.check(this.abi.table_without(table.id, component.id))));
  }

  /** The table of an entity that lives. */
  tableOf(entity: number): Table {
    return this.#known(this.core.check(this.abi.table_of(entity)));
  }

  #known(id: number): Table {
    const known = this.#tables[id];
    if (known) return known;
    const count = this.core.check(this.abi.table_components(id));
    const components = Array.from(this.core.readWords(count), (component) => this.#components[component]);
    const objects = components.filter(({ codec }) => !codec);
    return (this.#tables[id] = {
      id,
      components,
      objects,
      isTold: components.some(({ onAdd }) => onAdd),
      watched: objects.length > 0 || components.some(({ onRemove }) => onRemove),
    });
  }

  /** A chunk as it is now. */
  chunk(id: number): Chunk {
    const layout = this.core.header(HEADER.layoutVersion);
    if (layout !== this.#layout || this.core.generation !== this.#generation) {
      this.#layout = layout;
      this.#generation = this.core.generation;
      this.#chunks = [];
    }
    return this.#chunks[id] ?? this.#look(id);
  }

  /** The chunk of the row that was made last; {@link madeRow} is that row. */
  made(): Chunk {
    return this.chunk(this.core.header(HEADER.chunk));
  }

  madeRow(): number {
    return this.core.header(HEADER.row);
  }

  #look(id: number): Chunk {
    const words = this.core.readWords(this.core.check(this.abi.chunk(id)));
    const [tableId, , capacity, eids, , count] = words;
    const table = this.#known(tableId);
    const { buffer } = this.core;
    const groups: (Group | undefined)[] = [];
    let at = 6;
    for (let i = 0; i < count; i++) {
      const component = this.#components[words[at++]];
      const changed = new Uint8Array(buffer, words[at++], Math.ceil(capacity / 64) * 8);
      const specs = component.codec?.columns ?? [];
      at++;
      const columns = specs.map(({ scalar }) => new COLUMN_ARRAYS[scalar](buffer, words[at++], capacity));
      const fields = Object.fromEntries(specs.map(({ name }, field) => [name, columns[field]]));
      groups[component.id] = { columns, fields, changed };
    }
    // What was made above may itself have moved the memory's generation; that is seen when the chunk is next asked for.
    return (this.#chunks[id] = { id, table, capacity, eids: new Int32Array(buffer, eids, capacity), groups });
  }
}
