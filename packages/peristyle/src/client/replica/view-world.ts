/**
 * A view at its client: read-only columns that follow a host, whole ticks only.
 *
 * Rows are the view's: an entity keeps its row while it is in view. A row may be free. Per frame a view-world says
 * which rows were added, which removed and why, and for each component which rows changed, so that a renderer touches
 * only what moved.
 *
 * # Rules
 * - A frame is taken in whole or not at all: it is read to its end and checked before the first value is written.
 * - Fields and components that one side lacks are no error until they are asked for.
 * - Buffers are kept: after the first frames a frame allocates nothing that grows with its rows.
 */
import { Fnv, Reader, bitsAt, capacityFor, grown } from "./bytes.js";
import { Column, Scratch, type ColumnArray } from "./column.js";
import type { Columns, ComponentType, Fields, Values } from "./component.js";
import { FrameError } from "./error.js";
import { Packed } from "./pack.js";
import { Cursor, Rows, readRows } from "./rows.js";
import {
  KIND_FRAME,
  decodeSchema,
  isLinear,
  isWide,
  readHeader,
  type ComponentSchema,
  type FieldSchema,
  type Schema,
} from "./schema.js";

const SNAPSHOT = 1;
const HASH = 2;
const LEAVE = 4;
const ENTER = 8;
const REMASK = 16;
const INPUT = 32;
const FLAGS = 63;

/** Rows of a view unless told otherwise: sixteen million. */
const ROWS_MAX = 1 << 24;
/** The greatest index of an entity. */
const INDEX_MAX = 2 ** 31 - 1;

/** Why an entity is no longer in view: despawned; outside of the view; a snapshot replaced everything. */
export type Gone = "destroyed" | "left-view" | "unknown";
const REASONS: readonly Gone[] = ["left-view", "destroyed", "unknown"];

/** An entity that left. */
export interface Removed {
  readonly entity: number;
  /** The row that it had. */
  readonly row: number;
  readonly why: Gone;
}

/** What a frame was. */
export interface Applied {
  readonly tick: number;
  /** Whether it replaced everything. */
  readonly snapshot: boolean;
  /** The number of this client's last input that the host had taken in, if it says so. */
  readonly input?: number;
}

/** How a view-world behaves. */
export interface ViewWorldOptions {
  /** More rows are refused. 16 777 216. */
  readonly rowsMax?: number;
  /** Whether hashes that frames carry are compared with what is held, which costs a look at all of it. True. */
  readonly verify?: boolean;
}

/** A component's part of a frame. */
class Part {
  gained = new Rows();
  changed = new Rows();
  isChanged = false;
  readonly starts: Packed[];
  readonly velocities: (Packed | undefined)[];
  readonly differences: Packed[];

  constructor({ fields }: ComponentSchema) {
    const packed = (field: FieldSchema): Packed => new Packed(isWide(field) ? 2 : 1);
    this.starts = fields.map(packed);
    this.velocities = fields.map((field) => (isLinear(field) ? packed(field) : undefined));
    this.differences = fields.map(packed);
  }
}

/** A component as it is held. */
class Held {
  readonly columns: Column[];
  /** How many rows have it. */
  count = 0;
  /** What the last frame brought, and what it changed. */
  #gained = new Rows();
  #moved = new Rows();
  readonly #union = new Rows();
  #isUnited = false;
  #typed: object | undefined;

  readonly schema: ComponentSchema;

  constructor(schema: ComponentSchema) {
    this.schema = schema;
    this.columns = schema.fields.map((field) => new Column(field));
  }

  /** What the last frame changed or brought. */
  get changed(): Rows {
    if (this.#gained.length === 0) return this.#moved;
    if (this.#moved.length === 0) return this.#gained;
    if (!this.#isUnited) this.#union.setUnion(this.#gained, this.#moved);
    this.#isUnited = true;
    return this.#union;
  }

  /** Keeps what a frame changed, and gives the frame's part other rows to read into. */
  keepChanged(part: Part): void {
    [this.#gained, part.gained] = [part.gained, this.#gained];
    [this.#moved, part.changed] = [part.changed, this.#moved];
    this.#isUnited = false;
  }

  /** An object with all fields as columns. */
  typed(): object {
    if (this.#typed) return this.#typed;
    const typed: object = Object.create(null) as object;
    this.schema.fields.forEach(({ name }, field) => {
      Object.defineProperty(typed, name, { enumerable: true, get: () => this.columns[field].values });
    });
    return (this.#typed = Object.freeze(typed));
  }
}

const NO_ROWS = new Rows();

/** A view at its client. */
export class ViewWorld {
  readonly schema: Schema;
  /** The tick that it shows; `undefined` before the first snapshot. */
  tick: number | undefined;
  /** The last tick whose frame had a hash that what was held then is equal to: proof that it is what the host has. */
  proven: number | undefined;
  /** Entities in view. */
  length = 0;
  /** Rows that the last frame added. */
  added = new Rows();
  /** Rows to which the last frame gave other components. */
  remasked = new Rows();
  readonly #rowsMax: number;
  readonly #verify: boolean;
  readonly #held: Held[];
  readonly #byName: ReadonlyMap<string, Held>;
  readonly #typed = new Map<ComponentType, object>();
  #rows = 0;
  /** By row; 0 for a free one. */
  #entities = new Float64Array(0);
  #shownEntities: Float64Array | undefined;
  /** By row, which components of the schema it has. */
  #masks = new Uint32Array(0);
  /** Rows by entity, once asked for. */
  #rowOf: Map<number, number> | undefined;
  /** Entity, row and number of the reason, of each that the last frame removed. */
  #removed: number[] = [];
  // A frame as it was read, before it is taken in.
  readonly #parts: Part[];
  readonly #scratch = new Scratch();
  readonly #leave = new Rows();
  readonly #destroyed: boolean[] = [];
  #enter = new Rows();
  readonly #entering: number[] = [];
  readonly #masksEntering: number[] = [];
  #remask = new Rows();
  readonly #newMasks: number[] = [];
  readonly #losing = new Rows();

  /** An empty view-world for a known schema. */
  constructor(schema: Schema, { rowsMax = ROWS_MAX, verify = true }: ViewWorldOptions = {}) {
    this.schema = schema;
    this.#rowsMax = rowsMax;
    this.#verify = verify;
    this.#held = schema.components.map((component) => new Held(component));
    this.#byName = new Map(this.#held.map((held) => [held.schema.name, held]));
    this.#parts = schema.components.map((component) => new Part(component));
  }

  /**
   * An empty view-world for a stream that was opened with this message, without its topic.
   * @throws {@link FrameError}: the message is no schema.
   */
  static open(message: Uint8Array, options?: ViewWorldOptions): ViewWorld {
    return new ViewWorld(decodeSchema(message), options);
  }

  /** Rows that may be in use: all are below. The length of every column. */
  get rows(): number {
    return this.#rows;
  }

  /** The entities by row, 0 for a free one. Valid until the next frame. */
  get entities(): Float64Array {
    return (this.#shownEntities ??= this.#entities.subarray(0, this.#rows));
  }

  /** The entity of a row, 0 if it is free. */
  entity(row: number): number {
    return row < this.#rows ? this.#entities[row] : 0;
  }

  /** The row of an entity, -1 if it is not in view. */
  row(entity: number): number {
    if (this.#rowOf === undefined) {
      this.#rowOf = new Map();
      for (let row = 0; row < this.#rows; row++) {
        if (this.#entities[row] !== 0) this.#rowOf.set(this.#entities[row], row);
      }
    }
    return this.#rowOf.get(entity) ?? -1;
  }

  /** Whether a row has a component. */
  has(component: ComponentType | string, row: number): boolean {
    const at = this.#held.indexOf(this.#find(component) as Held);
    return at >= 0 && row < this.#rows && ((this.#masks[row] >>> at) & 1) === 1;
  }

  /** The rows whose values of a component the last frame changed or brought. */
  changed(component: ComponentType | string): Rows {
    return this.#find(component)?.changed ?? NO_ROWS;
  }

  /** Entities that the last frame removed. */
  get removed(): Removed[] {
    const removed: Removed[] = [];
    for (let at = 0; at < this.#removed.length; at += 3) {
      const [entity, row, why] = this.#removed.slice(at, at + 3);
      removed.push({ entity, row, why: REASONS[why] });
    }
    return removed;
  }

  /**
   * A field's values by row; `undefined` if the host sends no such field. Where a row is free or lacks the component
   * the value means nothing. Valid until the next frame.
   */
  column(component: ComponentType | string, field: string): ColumnArray | undefined {
    return this.#column(component, field)?.values;
  }

  /**
   * All columns of a component, by field. The object stays the same; the columns in it are valid until the next frame.
   * @throws {TypeError} if the host sends no such component, or has another type for a field, or sends no such field.
   */
  get<F extends Fields>(component: ComponentType<F>): Columns<F> {
    let typed = this.#typed.get(component);
    if (typed === undefined) {
      typed = this.#checked(component);
      this.#typed.set(component, typed);
    }
    return typed as Columns<F>;
  }

  #checked({ name, fields }: ComponentType): object {
    const held = this.#byName.get(name);
    if (held === undefined) throw new TypeError(`the view does not show a component \`${name}\``);
    for (const [field, scalar] of Object.entries(fields)) {
      const known = held.schema.fields.find((other) => other.name === field);
      if (known === undefined) throw new TypeError(`the view does not show a field \`${name}.${field}\``);
      if (known.scalar !== scalar) throw new TypeError(`\`${name}.${field}\` is ${known.scalar}, not ${scalar}`);
    }
    return held.typed();
  }

  /**
   * The values of a component of one entity; `undefined` if it is not in view or lacks the component.
   * @throws {TypeError} as {@link ViewWorld.get}.
   */
  read<F extends Fields>(component: ComponentType<F>, entity: number): Values<F> | undefined {
    const columns = this.get(component);
    const row = this.row(entity);
    if (row < 0 || !this.has(component, row)) return undefined;
    const values: Record<string, unknown> = {};
    for (const [field, scalar] of Object.entries(component.fields)) {
      const value = columns[field][row];
      values[field] = scalar === "bool" ? value !== 0 : value;
    }
    return values as Values<F>;
  }

  /**
   * The integers of a quantised field by row, and the step that they are multiples of: for who scales them in a shader.
   * Valid until the next frame.
   */
  steps(
    component: ComponentType | string,
    field: string,
  ): { readonly steps: Int32Array; readonly step: number } | undefined {
    const column = this.#column(component, field);
    const step = this.#find(component)?.schema.fields.find(({ name }) => name === field)?.step;
    return column && step !== undefined ? { steps: column.steps, step } : undefined;
  }

  #find(component: ComponentType | string): Held | undefined {
    return this.#byName.get(typeof component === "string" ? component : component.name);
  }

  #column(component: ComponentType | string, field: string): Column | undefined {
    const held = this.#find(component);
    return held?.columns[held.schema.fields.findIndex(({ name }) => name === field)];
  }

  /** A hash of everything in view: equal to the host's after the same frame. */
  hash(): bigint {
    return this.#hash().value;
  }

  #hash(): Fnv {
    const hash = new Fnv();
    const entities = this.#entities;
    const masks = this.#masks;
    for (let row = 0; row < this.#rows; row++) {
      const entity = entities[row];
      if (entity === 0) continue;
      hash.eatWord(row, 0);
      hash.eatWord(entity >>> 0, Math.floor(entity / 2 ** 32));
      hash.eatWord(masks[row], 0);
    }
    this.#held.forEach(({ columns }, component) => {
      for (const column of columns) {
        for (let row = 0; row < this.#rows; row++) if ((masks[row] >>> component) & 1) column.hash(row, hash);
      }
    });
    return hash;
  }

  /**
   * Takes in a frame, without its topic.
   *
   * @throws {@link FrameError}. Everything is as before then; but after a `hash` error the values of the frame are in,
   * and only a snapshot is taken next.
   */
  apply(frame: Uint8Array): Applied {
    const reader = new Reader(frame);
    if (readHeader(reader) !== KIND_FRAME) throw reader.invalid("not a frame", 2);
    const found = reader.u32();
    const flags = reader.u8();
    if (flags & ~FLAGS) throw reader.invalid("unknown flags");
    const tick = reader.varint();
    const snapshot = (flags & SNAPSHOT) !== 0;
    const base = snapshot ? undefined : tick - reader.varint();
    if (base !== undefined && base < 0) throw reader.invalid("a base before tick 0");
    if (found !== Number(BigInt.asUintN(32, this.schema.hash))) {
      throw new FrameError("schema", "the frame has another schema than the stream was opened with");
    }
    if (base !== undefined && base !== this.tick) {
      const have = this.tick ?? "none";
      throw new FrameError("gap", `the frame of tick ${tick} builds on tick ${base}, but tick ${have} is held`);
    }
    let lo = 0;
    let hi = 0;
    if (flags & HASH) {
      reader.u64();
      ({ lo, hi } = reader);
    }
    const input = flags & INPUT ? reader.varint() : undefined;
    const rows = this.#parse(reader, flags);
    if (reader.left !== 0) throw reader.invalid("bytes after the end of the frame");
    this.#commit(reader, snapshot, rows);
    this.tick = tick;
    if (flags & HASH && this.#verify) {
      const hash = this.#hash();
      if (hash.lo !== lo || hash.hi !== hi) {
        this.tick = undefined;
        throw new FrameError("hash", `after tick ${tick} the columns are not the host's: ask for a snapshot`);
      }
      this.proven = tick;
    }
    return input === undefined ? { tick, snapshot } : { tick, snapshot, input };
  }

  /** Reads the rest of a frame and checks it against what is held. Gives the rows that there are after it. */
  #parse(reader: Reader, flags: number): number {
    const snapshot = (flags & SNAPSHOT) !== 0;
    const rows = reader.varint();
    if (rows > this.#rowsMax) {
      throw new FrameError("too-many-rows", `the frame has ${rows} rows, at most ${this.#rowsMax} are allowed`);
    }
    // Rows grow by those that enter, each of which takes a byte at least.
    if (!snapshot && (rows < this.#rows || rows - this.#rows > reader.left)) {
      throw reader.invalid("rows that no entity enters");
    }
    const isLive = (row: number): boolean => !snapshot && row < this.#rows && this.#entities[row] !== 0;
    const readNamed = (flag: number, list: Rows): void => {
      list.clear();
      if (flags & flag && !readRows(reader, rows, list)) throw reader.invalid("rows that are not named");
    };
    this.#parseLeave(reader, readNamed, isLive);
    this.#parseEnter(reader, readNamed, isLive);
    this.#parseRemask(reader, readNamed, isLive);
    const changed = this.#readMask(reader, true);
    this.#findGained();
    this.#parts.forEach((part, component) => {
      part.starts.forEach((start, field) => {
        start.read(reader, part.gained.length);
        if (snapshot) part.velocities[field]?.read(reader, part.gained.length);
      });
      part.isChanged = ((changed >>> component) & 1) === 1;
      part.changed.clear();
      if (part.isChanged) this.#parseChanged(reader, snapshot, rows, component);
    });
    return rows;
  }

  #parseLeave(reader: Reader, readNamed: (flag: number, list: Rows) => void, isLive: (row: number) => boolean): void {
    const leave = this.#leave;
    readNamed(LEAVE, leave);
    const at = reader.take(Math.ceil(leave.length / 8)) * 8;
    this.#destroyed.length = 0;
    leave.forEach((row, place) => {
      if (!isLive(row)) throw reader.invalid("a free row is left");
      this.#destroyed.push(bitsAt(reader.bytes, at + place, 1) === 1);
    });
  }

  #parseEnter(reader: Reader, readNamed: (flag: number, list: Rows) => void, isLive: (row: number) => boolean): void {
    const enter = this.#enter;
    readNamed(ENTER, enter);
    this.#entering.length = this.#masksEntering.length = 0;
    let expected = 0;
    enter.forEach((row) => {
      if (isLive(row) && !this.#leave.has(row)) throw reader.invalid("an entity enters a row that is another's");
      reader.signed();
      const entity = expected + reader.hi * 2 ** 32 + reader.lo;
      if (!isEntity(entity)) throw reader.invalid("not an entity");
      this.#entering.push(entity);
      expected = entity + 1;
    });
    while (this.#masksEntering.length < enter.length) {
      const mask = this.#readMask(reader, false);
      const left = enter.length - this.#masksEntering.length - 1;
      for (let run = reader.bounded(left, "more masks than entities"); run >= 0; run--) this.#masksEntering.push(mask);
    }
  }

  #parseRemask(reader: Reader, readNamed: (flag: number, list: Rows) => void, isLive: (row: number) => boolean): void {
    const remask = this.#remask;
    readNamed(REMASK, remask);
    this.#newMasks.length = 0;
    remask.forEach((row) => {
      if (!isLive(row) || this.#leave.has(row)) {
        throw reader.invalid("a row changes components that is not in view");
      }
      this.#newMasks.push(this.#readMask(reader, false));
    });
  }

  /** Reads a set of components, none of which the schema lacks. */
  #readMask(reader: Reader, mayBeEmpty: boolean): number {
    const mask = reader.varint();
    if (mask >= 2 ** this.#held.length || (mask === 0 && !mayBeEmpty)) {
      throw reader.invalid("components that the schema does not have");
    }
    return mask;
  }

  /** Finds the rows that gain each component: those that enter, and those with other components. */
  #findGained(): void {
    for (const part of this.#parts) part.gained.clear();
    const gain = (row: number, mask: number): void => {
      for (let left = mask; left !== 0; left &= left - 1) this.#parts[31 - Math.clz32(left & -left)].gained.push(row);
    };
    this.#enter.forEach((row, place) => gain(row, this.#masksEntering[place]));
    if (this.#remask.length === 0) return;
    this.#remask.forEach((row, place) => gain(row, this.#newMasks[place] & ~this.#masks[row]));
    for (const part of this.#parts) part.gained.sort();
  }

  #parseChanged(reader: Reader, snapshot: boolean, rows: number, component: number): void {
    const part = this.#parts[component];
    const held = this.#held[component];
    const { changed } = part;
    // Rows that have it and lose it. Those that gain it do not have it yet, or leave first.
    const losing = this.#losing;
    losing.clear();
    this.#leave.forEach((row) => losing.push(row));
    this.#remask.forEach((row, place) => {
      if (((this.#newMasks[place] >>> component) & 1) === 0) losing.push(row);
    });
    losing.sort();
    const lost = new Cursor(losing);
    const masks = this.#masks;
    const known = snapshot ? 0 : this.#rows;
    if (readRows(reader, rows, changed)) {
      changed.forEach((row) => {
        if (row >= known || ((masks[row] >>> component) & 1) === 0 || lost.finds(row)) {
          throw reader.invalid("a row changes that lacks the component");
        }
      });
    } else if (!snapshot && losing.length === 0 && held.count === rows) {
      changed.setFirst(rows);
    } else {
      changed.pushMasked(masks, component, known, losing);
    }
    for (const difference of part.differences) difference.read(reader, changed.length);
  }

  /** Takes in what was parsed; nothing of it can fail. */
  #commit(reader: Reader, snapshot: boolean, rows: number): void {
    this.#removed.length = 0;
    if (snapshot) this.#forgetAll();
    this.#leave.forEach((row, place) => {
      this.#removed.push(this.#entities[row], row, this.#destroyed[place] ? 1 : 0);
      this.#rowOf?.delete(this.#entities[row]);
      this.#setMask(row, 0);
      this.#entities[row] = 0;
      this.length--;
    });
    this.#grow(rows);
    this.#enter.forEach((row, place) => {
      this.#entities[row] = this.#entering[place];
      this.#rowOf?.set(this.#entering[place], row);
      this.#setMask(row, this.#masksEntering[place]);
      this.length++;
    });
    this.#remask.forEach((row, place) => this.#setMask(row, this.#newMasks[place]));
    if (snapshot) this.#keepTheMissing();
    this.#parts.forEach((part, component) => {
      const held = this.#held[component];
      held.columns.forEach((column, field) => {
        if (part.gained.length > 0) {
          const velocity = snapshot ? part.velocities[field] : undefined;
          column.start(part.gained, part.starts[field], velocity, reader, this.#scratch);
        }
        if (part.isChanged) column.advance(part.changed, part.differences[field], reader, this.#scratch);
      });
      held.keepChanged(part);
    });
    const { added, remasked } = this;
    this.added = this.#enter;
    this.#enter = added;
    this.remasked = this.#remask;
    this.#remask = remasked;
  }

  /** Frees every row; who was there is noted as removed. */
  #forgetAll(): void {
    for (let row = 0; row < this.#rows; row++) {
      if (this.#entities[row] !== 0) this.#removed.push(this.#entities[row], row, 2);
    }
    this.#entities.fill(0, 0, this.#rows);
    this.#masks.fill(0, 0, this.#rows);
    this.#rowOf?.clear();
    this.#rows = this.length = 0;
    this.#shownEntities = undefined;
    for (const held of this.#held) {
      held.count = 0;
      for (const column of held.columns) column.clear();
    }
  }

  /** Who was there before a snapshot and is there again was not removed. */
  #keepTheMissing(): void {
    let kept = 0;
    const removed = this.#removed;
    for (let at = 0; at < removed.length; at += 3) {
      if (this.entity(removed[at + 1]) === removed[at]) continue;
      removed.copyWithin(kept, at, at + 3);
      kept += 3;
    }
    removed.length = kept;
  }

  #grow(rows: number): void {
    if (rows === this.#rows) return;
    this.#rows = rows;
    this.#shownEntities = undefined;
    if (rows > this.#entities.length) {
      this.#entities = grown(this.#entities, capacityFor(rows));
      this.#masks = grown(this.#masks, capacityFor(rows));
    }
    for (const held of this.#held) for (const column of held.columns) column.grow(rows);
  }

  /** Gives a row other components. Codes of those that it loses are forgotten. */
  #setMask(row: number, mask: number): void {
    const before = this.#masks[row];
    this.#masks[row] = mask;
    this.#held.forEach((held, component) => {
      const has = (mask >>> component) & 1;
      const had = (before >>> component) & 1;
      held.count += has - had;
      if (had > has) for (const column of held.columns) column.reset(row);
    });
  }
}

/**
 * Whether a number could be an entity's: an index below 2^31, and a generation from 1 on or the mark of a provisional.
 */
function isEntity(entity: number): boolean {
  if (!(entity >= 0 && entity < 2 ** 53)) return false;
  return entity % 2 ** 32 <= INDEX_MAX && entity >= 2 ** 32;
}
