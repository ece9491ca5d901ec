/**
 * What a job is called with, made of a descriptor.
 *
 * A {@link JobCall} belongs to one job and one place of a descriptor. Its objects are made once; a call only looks
 * whether columns moved, and makes new views of those that did. So a frame like the one before allocates nothing. The
 * lists of the patch form (`eids`, `cols`) are made when a job asks for them.
 *
 * # Rules
 * - Views are right during the call that they were made for. A job that keeps them sees whatever is there later.
 * - Groups of a descriptor are found by id; a component without columns need not be there.
 */
import { compileFields, type Codec, type Column, type Fields } from "../world/fields.js";
import {
  COLUMN,
  COLUMN_WORDS,
  DESCRIPTOR,
  DESCRIPTOR_VERSION,
  GROUP,
  GROUP_WORDS,
  bitsBytes,
  viewColumn,
} from "./descriptor.js";
import type { GroupShape, JobShape } from "./lanes.js";

/** The columns and bits of one component, of the rows of a call. */
export interface SnapComponent {
  /** Columns by flattened field name. */
  readonly fields: Readonly<Record<string, Column>>;
  /**
   * One bit per row. Of a component that the job writes: to be set for rows that it wrote. Of one that it only reads: set
   * for rows that changed since the system last ran, if the system's query lists the component in `changed`. Empty
   * otherwise, as nobody follows its changes: `isChanged` says false of every row, and `markChanged` throws.
   */
  changed: Uint8Array;
  /** The values of a component that holds objects, as copies. */
  values?: readonly unknown[] | undefined;
}

/** The rows of a call. */
export interface Snap {
  /** Whether the columns are the world's own, in shared memory. */
  readonly shared: boolean;
  readonly rows: number;
  /** Entity indices by row. */
  readonly eids: Int32Array;
  /** Components by id and by name. */
  readonly comps: Readonly<Record<string | number, SnapComponent>>;
  /** Columns of resources, by the resource's name. */
  readonly res: Readonly<Record<string, Readonly<Record<string, Column>>>>;
  /** Bits of rows whose entities are to be destroyed; nothing if the job did not declare that it despawns. */
  despawn: Uint8Array | undefined;
  /** The handle of a row's entity. */
  entity(row: number): number;
}

/** What a job is called with, in both forms. */
export interface JobInput {
  /** Handles of entities by row. */
  readonly eids: number[];
  /** Values by component id (or name) and row. */
  readonly cols: Readonly<Record<string | number, readonly unknown[]>>;
  readonly snap: Snap;
  readonly dt: number;
  readonly time: number;
  /** Ids of components that may be patched. */
  readonly writes: readonly number[];
  readonly extra: unknown;
}

/** Where the bytes of a call are. */
export interface Bytes {
  readonly buffer: ArrayBufferLike;
  readonly words: Uint32Array;
  readonly isShared: boolean;
  /** Where entities' records lie, or where the generation of each row does. */
  readonly entities: number;
  readonly areRows: boolean;
}

/** The bits of an entity's record that are its generation: 44 to 63. */
const GENERATION_SHIFT = 12;
const INDEX_RANGE = 2 ** 32;

interface Group {
  readonly shape: GroupShape;
  readonly codec: Codec | undefined;
  readonly columns: Column[];
  readonly fields: Record<string, Column>;
  readonly component: SnapComponent;
  changedAt: number;
  values: readonly unknown[] | undefined;
}

/** The bits of what is neither written nor followed. */
const NO_BITS = new Uint8Array(0);

function groupOf(shape: GroupShape): Group {
  const codec = shape.fields && compileFields(shape.name, shape.fields as Fields);
  const fields: Record<string, Column> = {};
  const component: SnapComponent = codec ? { fields, changed: NO_BITS } : { fields, changed: NO_BITS, values: [] };
  return { shape, codec, columns: [], fields, component, changedAt: 0, values: undefined };
}

/** A job's calls on one place. */
export class JobCall {
  readonly input: JobInput;
  readonly #components: readonly Group[];
  readonly #resources: readonly Group[];
  readonly #snap: { -readonly [K in keyof Snap]: Snap[K] };
  readonly #input: Input;
  #bytes: Bytes | undefined;
  #eidsAt = -1;
  #despawnAt = 0;

  constructor(shape: JobShape, isShared: boolean) {
    this.#components = shape.components.map(groupOf);
    this.#resources = (shape.resources ?? []).map(groupOf);
    const comps: Record<string | number, SnapComponent> = {};
    for (const { shape, component } of this.#components) comps[shape.name] = component;
    // Ids win over names that look like them.
    for (const { shape, component } of this.#components) comps[shape.id] = component;
    const res: Record<string, Record<string, Column>> = {};
    for (const { shape, fields } of this.#resources) res[shape.name] = fields;
    this.#snap = {
      shared: isShared,
      rows: 0,
      eids: new Int32Array(0),
      comps: Object.freeze(comps),
      res: Object.freeze(res),
      despawn: undefined,
      entity: (row) => this.#entity(row),
    };
    this.#input = new Input(this.#snap, Object.freeze([...shape.writes]), this.#components);
    this.input = this.#input;
  }

  /** Puts the views of a descriptor in place. `at` is its offset. Gives the input. */
  put(bytes: Bytes, at: number, dt: number, time: number, extra: unknown, values?: Values): JobInput {
    const { words, buffer } = bytes;
    const all = this.#bytes?.buffer !== buffer;
    this.#bytes = bytes;
    const word = at >> 2;
    if (words[word + DESCRIPTOR.version] !== DESCRIPTOR_VERSION) {
      throw new RangeError(
        `a descriptor of version ${words[word + DESCRIPTOR.version]}, this is ${DESCRIPTOR_VERSION}`,
      );
    }
    const snap = this.#snap;
    const rows = words[word + DESCRIPTOR.rows];
    const resized = all || rows !== snap.rows;
    snap.rows = rows;
    const eids = words[word + DESCRIPTOR.eids];
    if (resized || eids !== this.#eidsAt) snap.eids = new Int32Array(buffer, (this.#eidsAt = eids), rows);
    const despawn = words[word + DESCRIPTOR.despawn];
    if (resized || despawn !== this.#despawnAt) {
      this.#despawnAt = despawn;
      snap.despawn = despawn === 0 ? undefined : new Uint8Array(buffer, despawn, bitsBytes(rows));
    }
    const components = words[word + DESCRIPTOR.components];
    let group = words[word + DESCRIPTOR.groups] >> 2;
    for (let i = 0; i < components; i++, group += GROUP_WORDS) {
      const known = find(this.#components, words[group + GROUP.id], i);
      if (known) this.#putGroup(known, words, buffer, group, rows, resized);
    }
    const resources = words[word + DESCRIPTOR.resources];
    for (let i = 0; i < resources; i++, group += GROUP_WORDS) {
      if (i < this.#resources.length) this.#putGroup(this.#resources[i], words, buffer, group, rows, all);
    }
    for (const known of this.#components) {
      if (known.codec) continue;
      known.values = known.component.values = values?.[known.shape.id] ?? NOTHING;
    }
    this.#input.begin(dt, time, extra);
    return this.input;
  }

  #putGroup(
    known: Group,
    words: Uint32Array,
    buffer: ArrayBufferLike,
    group: number,
    rows: number,
    resized: boolean,
  ): void {
    const changed = words[group + GROUP.changed];
    if (resized || changed !== known.changedAt) {
      known.changedAt = changed;
      known.component.changed = changed === 0 ? NO_BITS : new Uint8Array(buffer, changed, bitsBytes(rows));
    }
    if (!known.codec) return;
    const { columns, fields } = known;
    const names = known.codec.columns;
    let column = words[group + GROUP.columns] >> 2;
    const count = Math.min(words[group + GROUP.columnCount], names.length);
    for (let i = 0; i < count; i++, column += COLUMN_WORDS) {
      const offset = words[column + COLUMN.offset];
      const len = words[column + COLUMN.len];
      const view = columns[i];
      if (!resized && view !== undefined && view.byteOffset === offset && view.length === len) continue;
      fields[names[i].name] = columns[i] = viewColumn(buffer, offset, len, words[column + COLUMN.scalar]);
    }
    // Rows that a query of alternatives found may lack the component, which rows at this place had before.
    while (columns.length > count) delete fields[names[columns.length - 1].name], columns.pop();
  }

  #entity(row: number): number {
    const { eids, rows } = this.#snap;
    if (!(row >= 0 && row < rows)) throw new RangeError(`row ${row} of a call of ${rows} rows`);
    const index = eids[row];
    const { words, entities, areRows } = this.#bytes!;
    const record = areRows ? (entities >> 2) + row : (entities >> 2) + index * 2 + 1;
    const generation = areRows ? words[record] : words[record] >>> GENERATION_SHIFT;
    return index + generation * INDEX_RANGE;
  }
}

/** Values of components that hold objects, by id. */
export type Values = Readonly<Record<number, readonly unknown[]>>;

const NOTHING: readonly unknown[] = Object.freeze([]);

/** The group of an id; most often it is where it is looked for first. */
function find(groups: readonly Group[], id: number, likely: number): Group | undefined {
  const first = groups[likely];
  return first?.shape.id === id ? first : groups.find(({ shape }) => shape.id === id);
}

class Input implements JobInput {
  readonly snap: Snap;
  readonly writes: readonly number[];
  dt = 0;
  time = 0;
  extra: unknown;
  readonly #groups: readonly Group[];
  readonly #cols: Record<string | number, readonly unknown[]> = {};
  readonly #lists: (readonly unknown[] | undefined)[];
  #eids: number[] | undefined;

  constructor(snap: Snap, writes: readonly number[], groups: readonly Group[]) {
    this.snap = snap;
    this.writes = writes;
    this.#groups = groups;
    this.#lists = groups.map(() => undefined);
    const property = (at: number) => ({ get: () => this.#list(at), enumerable: true, configurable: true });
    for (const [at, { shape }] of groups.entries()) Object.defineProperty(this.#cols, shape.name, property(at));
    for (const [at, { shape }] of groups.entries()) Object.defineProperty(this.#cols, shape.id, property(at));
  }

  begin(dt: number, time: number, extra: unknown): void {
    this.dt = dt;
    this.time = time;
    this.extra = extra;
    this.#eids = undefined;
    for (let i = 0; i < this.#lists.length; i++) this.#lists[i] = undefined;
  }

  get eids(): number[] {
    if (this.#eids === undefined) {
      const list: number[] = new Array(this.snap.rows);
      for (let row = 0; row < list.length; row++) list[row] = this.snap.entity(row);
      this.#eids = list;
    }
    return this.#eids;
  }

  get cols(): Readonly<Record<string | number, readonly unknown[]>> {
    return this.#cols;
  }

  #list(at: number): readonly unknown[] {
    return (this.#lists[at] ??= this.#make(this.#groups[at]));
  }

  #make({ codec, columns, values }: Group): readonly unknown[] {
    if (!codec) return values ?? NOTHING;
    const list: unknown[] = new Array(this.snap.rows);
    for (let row = 0; row < list.length; row++) list[row] = codec.read(columns, row);
    return list;
  }
}
