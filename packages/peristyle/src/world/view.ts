/** Rows of one chunk as typed arrays, in the shape in which jobs see them. */
import type { Core } from "../core/core.js";
import type { AnyComponent, ColumnsOfComponent, Entity } from "./component.js";
import type { Column } from "./fields.js";
import type { Chunk, Storage } from "./storage.js";

/** The columns of one component. */
export interface ViewedGroup {
  /** By flattened name, each as long as there are rows. */
  readonly fields: Readonly<Record<string, Column>>;
  /** A bit for each row: of a component that is written, set those of rows that were. */
  readonly changed: Uint8Array;
}

/** Rows of one chunk as typed arrays: valid until the loop goes on. */
export interface ChunkView {
  /** Whether workers see the same memory. */
  readonly shared: boolean;
  readonly rows: number;
  /** Entity indices by row. */
  readonly eids: Int32Array;
  /** Columns by component id, and by name. */
  readonly comps: Readonly<Record<string | number, ViewedGroup>>;
  /** The handle of a row's entity. */
  entity(row: number): Entity;
  /** The columns of a component that all rows have. */
  columns<C extends AnyComponent>(component: C): ColumnsOfComponent<C>;
}

/** A view of the first rows of a chunk. */
export class View implements ChunkView {
  readonly shared: boolean;
  readonly rows: number;
  readonly eids: Int32Array;
  readonly comps: Record<string | number, ViewedGroup> = {};
  /** @internal */
  readonly chunk: Chunk;
  readonly #core: Core;

  constructor(core: Core, chunk: Chunk, rows: number) {
    this.shared = core.isShared;
    this.rows = rows;
    this.chunk = chunk;
    this.#core = core;
    this.eids = chunk.eids.subarray(0, rows);
    for (const { id, name } of chunk.table.components) {
      const { fields, changed } = chunk.groups[id]!;
      const cut = Object.entries(fields).map(([field, column]) => [field, column.subarray(0, rows)]);
      this.comps[id] = this.comps[name] = { fields: Object.fromEntries(cut), changed };
    }
  }

  entity(row: number): Entity {
    return this.#core.check(this.#core.abi.entity(this.eids[row]));
  }

  columns<C extends AnyComponent>(component: C): ColumnsOfComponent<C> {
    return this.comps[component.id].fields as ColumnsOfComponent<C>;
  }
}

/** Tells everybody which of the first rows of a chunk were marked, and takes the marks off again. */
export function publishMarks(storage: Storage, chunk: number, component: number, rows: number): void {
  const { core, abi } = storage;
  const bits = storage.chunk(chunk).groups[component]?.changed;
  if (!bits) return;
  const mark = (first: number, count: number): void => void core.check(abi.mark(chunk, component, first, count));
  const words = new Uint32Array(bits.buffer, bits.byteOffset, Math.ceil(rows / 32));
  for (let word = 0; word < words.length; ) {
    if (words[word] === 0) {
      word++;
      continue;
    }
    if (words[word] === 0xffff_ffff) {
      const first = word;
      while (word < words.length && words[word] === 0xffff_ffff) words[word++] = 0;
      mark(first * 32, Math.min((word - first) * 32, rows - first * 32));
      continue;
    }
    const marked = words[word];
    for (let bit = 0; bit < 32; bit++) {
      const row = word * 32 + bit;
      if (marked & (1 << bit) && row < rows) mark(row, 1);
    }
    words[word++] = 0;
  }
}
