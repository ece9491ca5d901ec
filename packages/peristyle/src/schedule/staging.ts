/**
 * Columns that are made of objects for a job that works in place, and are made objects again.
 *
 * A range list, its descriptors and the columns lie in one block of the world's memory, so lanes see no difference. The
 * block is kept from frame to frame and grows by half.
 *
 * # Rules
 * - Each chunk of the query is one range.
 * - What is kept from gathering to scattering are offsets, never views: a plain memory that grows in between (for the columns
 *   of another system of the wave, say) leaves views empty.
 * - Components that lie in columns are lent as they lie, beside those that are staged.
 * - Only rows that the job marked become objects again: new ones, with all other properties of the old.
 */
import type { Core } from "../core/core.js";
import { ValueError } from "../errors.js";
import type { Component } from "../world/component.js";
import { COLUMN_ARRAYS, type Column, type Scalar } from "../world/fields.js";
import type { Query } from "../world/query.js";
import { publishMarks } from "../world/view.js";
import type { World } from "../world/world.js";
import type { System } from "./system.js";

/** Scalars as numbers in descriptors (see `crates/layout`). */
const SCALARS: readonly Scalar[] = ["f32", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool"];

/** Bytes of the records (see `crates/layout/src/descriptor.rs`). */
const LIST_HEAD = 16;
const DESCRIPTOR = 56;
const GROUP = 24;
const COLUMN = 16;

const aligned = (bytes: number) => Math.ceil(bytes / 64) * 64;
const bitsBytes = (rows: number) => Math.ceil(rows / 64) * 8;

/** One component in one range. */
interface Staged {
  readonly component: Component;
  readonly names: readonly string[];
  readonly scalars: readonly Scalar[];
  /** Offsets of the columns. */
  readonly columns: readonly number[];
  /** Offset of the bits that the job marks. */
  readonly changed: number;
}

/** One range. */
interface Range {
  readonly chunk: number;
  readonly rows: number;
  readonly staged: readonly Staged[];
}

/** The staging columns of one system. */
export class Staging {
  readonly #world: World;
  readonly #system: System;
  readonly #query: Query;
  #offset = 0;
  #bytes = 0;
  #ranges: Range[] = [];

  constructor(world: World, system: System, query: Query) {
    this.#world = world;
    this.#system = system;
    this.#query = query;
  }

  /** Makes columns of the objects of all rows. Gives the offset of the range list, 0 if there are no rows. */
  gather(): { readonly list: number; readonly rows: number } {
    const { core } = this.#world;
    const listed = core.readWords(core.check(core.abi.chunks(this.#query.id)) * 2);
    const count = listed.length / 2;
    if (count === 0) return { list: 0, rows: 0 };
    const { components, layouts } = this.#system;
    const columnCount = (component: Component) =>
      component.codec ? component.codec.columns.length : Object.keys(layouts.get(component.id) ?? {}).length;
    const records = DESCRIPTOR + components.reduce((bytes, component) => bytes + GROUP + columnCount(component) * COLUMN, 0);
    const head = aligned(LIST_HEAD + count * 4);
    let bytes = head + count * aligned(records);
    let rows = 0;
    for (let i = 1; i < listed.length; i += 2) {
      rows += listed[i];
      bytes += components.length * aligned(bitsBytes(listed[i]));
      for (const fields of layouts.values()) {
        for (const scalar of Object.values(fields)) bytes += aligned(listed[i] * COLUMN_ARRAYS[scalar].BYTES_PER_ELEMENT);
      }
    }
    this.#reserve(core, bytes);
    let data = this.#offset + head + count * aligned(records);
    core.u32().set([0, count, 0, 0], this.#offset / 4);
    this.#ranges = [];
    for (let i = 0; i < count; i++) {
      const descriptor = this.#offset + head + i * aligned(records);
      core.u32()[(this.#offset + LIST_HEAD) / 4 + i] = descriptor;
      data = this.#range(listed[i * 2], listed[i * 2 + 1], descriptor, data);
    }
    return { list: this.#offset, rows };
  }

  #reserve(core: Core, bytes: number): void {
    if (bytes <= this.#bytes) return;
    if (this.#bytes > 0) core.release(this.#offset, this.#bytes);
    this.#bytes = 0;
    const wanted = aligned(bytes * 1.5);
    this.#offset = core.allocate(wanted);
    this.#bytes = wanted;
  }

  /** Writes one descriptor, and the columns that it names from `data` on. Gives where these end. */
  #range(chunkId: number, rows: number, descriptor: number, data: number): number {
    const { core, storage } = this.#world;
    const { components, layouts, writes } = this.#system;
    const pending = this.#query.follows ? pendingBits(core, this.#query, chunkId, rows) : undefined;
    const chunk = storage.chunk(chunkId);
    // After the core was asked: it may have made room for its answers, by which views of a plain memory are empty.
    const words = core.u32();
    const { buffer } = core;
    const groups = descriptor + DESCRIPTOR;
    let columns = groups + components.length * GROUP;
    const staged: Staged[] = [];
    words.fill(0, descriptor / 4, columns / 4);
    words[descriptor / 4] = 1;
    words[descriptor / 4 + 1] = rows;
    words[descriptor / 4 + 6] = chunk.eids.byteOffset;
    words[descriptor / 4 + 8] = groups;
    words[descriptor / 4 + 9] = components.length;
    components.forEach((component, i) => {
      const access = writes.has(component) ? 1 : 0;
      const at = (groups + i * GROUP) / 4;
      const layout = layouts.get(component.id);
      const group = chunk.groups[component.id];
      const known = layout ? Object.entries(layout) : [];
      let changed = 0;
      if (access && group && !layout) changed = group.changed.byteOffset;
      else if (access || this.#query.changed.includes(component)) {
        const bits = new Uint8Array(buffer, data, bitsBytes(rows));
        changed = data;
        data += aligned(bits.length);
        // Of what is only read, the rows that the query shows.
        if (access) bits.fill(0);
        else bits.set(pending!);
      }
      let lie: readonly number[] = group?.columns.map(({ byteOffset }) => byteOffset) ?? [];
      if (layout) {
        lie = known.map(([, scalar]) => {
          const column = data;
          data += aligned(rows * COLUMN_ARRAYS[scalar].BYTES_PER_ELEMENT);
          return column;
        });
        const names = known.map(([name]) => name);
        const scalars = known.map(([, scalar]) => scalar);
        const one: Staged = { component, names, scalars, columns: lie, changed };
        fill(one, buffer, chunk.eids, rows);
        staged.push(one);
      }
      words.set([component.id, access, changed, columns, lie.length, 0], at);
      lie.forEach((column, field) => {
        const scalar = layout ? known[field][1] : component.codec!.columns[field].scalar;
        words.set([column, rows, SCALARS.indexOf(scalar) + 1, 0], columns / 4);
        columns += COLUMN;
      });
    });
    this.#ranges.push({ chunk: chunkId, rows, staged });
    return data;
  }

  /**
   * Makes objects of the rows that the job marked, and tells everybody of all that it marked. Rows that a job that failed was
   * shown as changed are shown again.
   */
  scatter(isOk: boolean): void {
    const { core, storage } = this.#world;
    const { writes } = this.#system;
    const ranges = this.#ranges;
    this.#ranges = [];
    // First, as objects that are copied below may have getters that throw.
    for (const { chunk, rows } of ranges) {
      for (const component of writes) if (component.codec) publishMarks(storage, chunk, component.id, rows);
    }
    for (const { chunk, rows, staged } of ranges) {
      const { eids } = storage.chunk(chunk);
      for (const one of staged) {
        const { component, names, scalars } = one;
        if (!writes.has(component)) continue;
        const { buffer } = core;
        const columns = columnsOf(one, buffer, rows);
        const changed = new Uint8Array(buffer, one.changed, bitsBytes(rows));
        for (let row = 0; row < rows; row++) {
          if (!(changed[row >> 3] & (1 << (row & 7)))) continue;
          const index = eids[row];
          const old = component.values[index];
          const value: Record<string, unknown> = typeof old === "object" && old !== null ? { ...old } : {};
          for (let i = 0; i < names.length; i++) {
            value[names[i]] = scalars[i] === "bool" ? columns[i][row] !== 0 : columns[i][row];
          }
          component.values[index] = value;
          core.check(core.abi.mark(chunk, component.id, row, 1));
        }
      }
      // After its own marks: what a system wrote is not shown to it again.
      if (isOk && this.#query.follows) core.check(core.abi.clear_pending(this.#query.id, chunk, 0, rows));
    }
  }

  /** Gives back what it has of the world. */
  dispose(): void {
    const { core } = this.#world;
    this.#ranges = [];
    this.#world.dropQuery(this.#query);
    if (this.#bytes > 0) core.release(this.#offset, this.#bytes);
    this.#bytes = 0;
  }
}

/** The rows of a chunk that a query has not shown, as bits. */
function pendingBits(core: Core, query: Query, chunk: number, rows: number): Uint8Array {
  core.check(core.abi.pending(query.id, chunk));
  const at = core.scratch();
  return core.u8().slice(at, at + bitsBytes(rows));
}

/** Views of columns, of the memory as it is now. */
function columnsOf({ scalars, columns }: Staged, buffer: ArrayBufferLike, rows: number): Column[] {
  return columns.map((offset, i) => new COLUMN_ARRAYS[scalars[i]](buffer, offset, rows));
}

function fill(one: Staged, buffer: ArrayBufferLike, eids: Int32Array, rows: number): void {
  const { component, names, scalars } = one;
  const columns = columnsOf(one, buffer, rows);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const column = columns[i];
    const number = numberOf(component.name, name, scalars[i]);
    for (let row = 0; row < rows; row++) {
      const value = component.values[eids[row]] as Record<string, unknown> | null | undefined;
      column[row] = number(value?.[name]) as never;
    }
  }
}

/** What makes a value the number of a column: of what is not there zero, as of columns that nobody wrote. */
function numberOf(component: string, field: string, scalar: Scalar): (value: unknown) => number | bigint {
  if (scalar === "bool") return (value) => (value ? 1 : 0);
  if (scalar === "i64" || scalar === "u64") {
    return (value) => {
      if (typeof value === "bigint") return value;
      if (value === undefined || value === null) return 0n;
      // Objects that were written as JSON hold numbers.
      if (Number.isInteger(value) || typeof value === "boolean") return BigInt(value as number);
      const what = typeof value === "number" ? String(value) : `a value of type ${typeof value}`;
      const message = `\`${component}.${field}\` must be a whole number for a column of \`${scalar}\`, and is ${what}`;
      throw new ValueError("value-type", message);
    };
  }
  return (value) => (typeof value === "number" ? value : Number(value ?? 0));
}
