/**
 * A small world by hand: columns, entities' records, descriptors and range lists in a real memory, as the core makes
 * them.
 */
import { ACCESS_WRITE, bitsBytes, SCALARS, scalarBytes, viewColumn } from "../../src/workers/descriptor.js";
import type { JobShape, LaneMemory } from "../../src/workers/lanes.js";
import type { Column } from "../../src/world/fields.js";

/** A component of the world by hand. */
export interface Layout {
  readonly id: number;
  readonly name: string;
  readonly fields: Record<string, string>;
  readonly write?: boolean;
}

/** Rows of one chunk, and a memory that they lie in. */
export class HandWorld implements LaneMemory {
  readonly memory: WebAssembly.Memory;
  readonly isShared: boolean;
  readonly reason = "it was made by hand";
  readonly rows: number;
  readonly layout: readonly Layout[];
  #top = 64;
  readonly #entities: number;
  readonly #eids: number;
  readonly #despawn: number;
  readonly #columns = new Map<string, { offset: number; scalar: number }>();
  readonly #bits = new Map<number, number>();

  constructor(isShared: boolean, rows: number, layout: readonly Layout[]) {
    this.memory = new WebAssembly.Memory({ initial: 256, maximum: 1024, shared: isShared });
    this.isShared = isShared;
    this.rows = rows;
    this.layout = layout;
    this.#entities = this.allocate(rows * 8);
    this.#eids = this.allocate(rows * 4);
    this.#despawn = this.allocate(bitsBytes(rows));
    const words = this.words;
    for (let row = 0; row < rows; row++) {
      // Generations differ, so that a handle is no index.
      words[(this.#entities >> 2) + row * 2 + 1] = this.generation(row) << 12;
      words[(this.#eids >> 2) + row] = row;
    }
    for (const { id, name, fields } of layout) {
      this.#bits.set(id, this.allocate(bitsBytes(rows)));
      for (const [field, scalar] of Object.entries(fields)) {
        const number = SCALARS.indexOf(scalar as never);
        this.#columns.set(`${name}.${field}`, { offset: this.allocate(rows * scalarBytes(number)), scalar: number });
      }
    }
  }

  get buffer(): ArrayBuffer | SharedArrayBuffer {
    return this.memory.buffer;
  }

  get words(): Uint32Array {
    return new Uint32Array(this.buffer);
  }

  allocate(bytes: number): number {
    const at = this.#top;
    this.#top += (bytes + 63) & ~63;
    const missing = this.#top - this.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65_536));
    return at;
  }

  /** Bytes that were given back. */
  released = 0;
  release(_: number, bytes: number): void {
    this.released += bytes;
  }

  entities(): number {
    return this.#entities;
  }

  generation(row: number): number {
    return 1 + (row % 5);
  }

  handle(row: number): number {
    return row + this.generation(row) * 2 ** 32;
  }

  column(name: string): Column {
    const { offset, scalar } = this.#columns.get(name)!;
    return viewColumn(this.buffer, offset, this.rows, scalar);
  }

  bits(id: number): Uint8Array {
    return new Uint8Array(this.buffer, this.#bits.get(id), bitsBytes(this.rows));
  }

  despawn(): Uint8Array {
    return new Uint8Array(this.buffer, this.#despawn, bitsBytes(this.rows));
  }

  /** What jobs on it are told. */
  shape(writes: readonly number[] = [], inPlace?: boolean): JobShape {
    const components = this.layout.map(({ id, name, fields }) => ({ id, name, fields: fields as never }));
    return { components, writes, ...(inPlace !== undefined && { inPlace }) };
  }

  /** Makes a range list of all rows, with ranges of `rows` rows. Gives its offset. */
  lease(rows = this.rows, dt = 0.5, time = 2): number {
    const ranges = Math.ceil(this.rows / rows);
    const list = this.allocate((4 + ranges) * 4);
    const places: number[] = [];
    for (let first = 0; first < this.rows; first += rows)
      places.push(this.#descriptor(first, Math.min(rows, this.rows - first), dt, time));
    this.words.set([0, ranges, 0, 0, ...places], list >> 2);
    return list;
  }

  /** Begins a lease again. */
  reset(list: number): void {
    const words = this.words;
    for (const word of [0, 2, 3]) words[(list >> 2) + word] = 0;
  }

  #descriptor(first: number, rows: number, dt: number, time: number): number {
    const columns = this.layout.reduce((sum, { fields }) => sum + Object.keys(fields).length, 0);
    const at = this.allocate(56);
    const groups = this.allocate(this.layout.length * 24);
    let column = this.allocate(columns * 16);
    const words = this.words;
    new Float64Array(this.buffer).set([dt, time], (at + 8) >> 3);
    words.set([1, rows], at >> 2);
    words.set(
      [this.#eids + first * 4, this.#despawn + first / 8, groups, this.layout.length, 0, 0, 0, 0],
      (at >> 2) + 6,
    );
    for (const [i, { id, name, fields, write }] of this.layout.entries()) {
      const names = Object.keys(fields);
      const bits = write ? this.#bits.get(id)! + first / 8 : 0;
      words.set([id, write ? ACCESS_WRITE : 0, bits, column, names.length, 0], (groups + i * 24) >> 2);
      for (const field of names) {
        const { offset, scalar } = this.#columns.get(`${name}.${field}`)!;
        words.set([offset + first * scalarBytes(scalar), rows, scalar, 0], column >> 2);
        column += 16;
      }
    }
    return at;
  }
}

/** Positions and velocities, with numbers in them. */
export function particles(isShared: boolean, rows: number): HandWorld {
  const world = new HandWorld(isShared, rows, [
    { id: 3, name: "Pos", fields: { x: "f32", y: "f32" }, write: true },
    { id: 7, name: "Vel", fields: { x: "f32", y: "f32" } },
  ]);
  for (let row = 0; row < rows; row++) {
    world.column("Pos.x")[row] = row;
    world.column("Vel.x")[row] = (row % 7) - 3;
    world.column("Vel.y")[row] = row % 3;
  }
  return world;
}
