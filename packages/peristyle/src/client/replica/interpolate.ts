/**
 * Values between two received ticks.
 *
 * A host ticks at its own rate, a page draws at another. An {@link Interpolation} keeps, for chosen fields of a
 * view-world, where each row was and where it is now; in between it gives values on the straight line. It is one tick
 * behind. A {@link TickClock} says how far in between a moment is.
 */
import { capacityFor, grown } from "./bytes.js";
import type { ComponentType } from "./component.js";
import type { ViewWorld } from "./view-world.js";

/** A field to follow. */
export interface FieldName {
  readonly component: ComponentType | string;
  readonly field: string;
  /** Follows the integers of a quantised field instead of its values: for a shader that scales them. */
  readonly steps?: boolean;
}

type Ends = Float32Array | Int32Array;

/** A field as it is followed. */
class Followed {
  from: Ends;
  to: Ends;
  /** Rows that moved in the last tick: they come to rest in the next, if that has nothing of them. */
  moved = new Uint32Array(0);
  /** How many; -1 for all. */
  movedCount = 0;

  readonly name: FieldName;

  constructor(name: FieldName) {
    this.name = name;
    this.from = name.steps ? new Int32Array(0) : new Float32Array(0);
    this.to = this.from;
  }

  grow(rows: number): void {
    if (rows <= this.to.length) return;
    this.from = grown(this.from, capacityFor(rows));
    this.to = grown(this.to, capacityFor(rows));
    this.moved = grown(this.moved, capacityFor(rows));
  }

  advance(view: ViewWorld): void {
    const { component, field, steps } = this.name;
    const values = steps ? view.steps(component, field)?.steps : view.column(component, field);
    if (values === undefined || values instanceof BigInt64Array || values instanceof BigUint64Array) return;
    this.grow(view.rows);
    const { from, to, moved } = this;
    const changed = view.changed(component);
    if (changed.isAll) {
      // Everybody moved: a whole copy costs less than a look at each.
      this.from = to;
      this.to = from;
      from.set(values);
      this.movedCount = -1;
    } else {
      if (this.movedCount < 0) from.set(to);
      for (let place = 0; place < this.movedCount; place++) from[moved[place]] = to[moved[place]];
      for (let place = 0; place < changed.length; place++) {
        const row = changed.at(place);
        moved[place] = row;
        from[row] = to[row];
        to[row] = values[row];
      }
      this.movedCount = changed.length;
    }
    const { added } = view;
    for (let place = 0; place < added.length; place++) this.from[added.at(place)] = this.to[added.at(place)];
  }
}

/** Follows fields of a view-world. */
export class Interpolation {
  readonly #fields: Followed[];
  #rows = 0;

  /** Fields that the view-world lacks, and 64-bit integers, stay as they are: 0. */
  constructor(fields: readonly FieldName[]) {
    this.#fields = fields.map((field) => new Followed(field));
  }

  /** Takes in what a view-world shows: call it after each frame. Costs a look at what moved. */
  advance(view: ViewWorld): void {
    this.#rows = view.rows;
    for (const field of this.#fields) field.advance(view);
  }

  /** Where rows of a field were in the tick before; at least as many as the view has. Valid until the next frame. */
  from(field: number): Ends {
    return this.#fields[field].from;
  }

  /** Where rows of a field are; at least as many as the view has. Valid until the next frame. */
  to(field: number): Ends {
    return this.#fields[field].to;
  }

  /** The value of a row, `part` of the way from the tick before (0) to the last one (1). */
  value(field: number, row: number, part: number): number {
    const { from, to } = this.#fields[field];
    return (from[row] ?? 0) + ((to[row] ?? 0) - (from[row] ?? 0)) * part;
  }

  /** Writes the values of all rows to `out`, as many as it has room for. */
  sample(field: number, part: number, out: Float32Array): void {
    const { from, to } = this.#fields[field];
    const rows = Math.min(out.length, this.#rows, from.length);
    for (let row = 0; row < rows; row++) out[row] = from[row] + (to[row] - from[row]) * part;
  }
}

/** How fast the clock follows arrivals that come sooner or later than before. */
const SMOOTHING = 0.1;

/**
 * How far a moment is between the last two ticks.
 *
 * Arrivals jitter: the clock goes by their mean distance, so that what is drawn moves evenly. Times are in
 * milliseconds, of any clock that only goes forward.
 */
export class TickClock {
  /** The mean distance of arrivals; 0 before there are two. */
  interval = 0;
  #shownAt = NaN;
  #arrivedAt = NaN;

  /** A tick arrived. */
  arrived(now: number): void {
    if (!Number.isNaN(this.#arrivedAt)) {
      const distance = now - this.#arrivedAt;
      // A pause of the host is no new rate.
      if (this.interval === 0) this.interval = distance;
      else if (distance < this.interval * 4) this.interval += (distance - this.interval) * SMOOTHING;
    }
    // Where it would have arrived if all came evenly; drawn towards where it did.
    const expected = this.#shownAt + this.interval;
    const late = now - expected;
    this.#shownAt = Math.abs(late) < this.interval ? expected + late * SMOOTHING : now;
    this.#arrivedAt = now;
  }

  /** From 0 (the tick before the last) to 1 (the last one), and no further. */
  part(now: number): number {
    if (Number.isNaN(this.#shownAt) || this.interval === 0) return 1;
    return Math.min(1, Math.max(0, (now - this.#shownAt) / this.interval));
  }
}
