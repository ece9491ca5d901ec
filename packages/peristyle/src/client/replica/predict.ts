/**
 * A client that runs ahead of its host.
 *
 * What a client does to its own entities should show at once, not a round trip later. So the client keeps the
 * components that it predicts of the entities that are its, and runs the same systems as the host on them, with its own
 * inputs. Inputs are numbered and sent; the host says which of them it has taken in. Then the client rewinds to what
 * the host says, replays the inputs since, and reports what that corrected.
 *
 * # Rules
 * - Between a frame and the next input the predicted rows are the host's state plus the inputs that the host has not
 *   seen, whatever was shown before.
 * - Inputs wait in a bounded list; a client that is not answered for so long stops predicting, and is told.
 * - Systems are functions of the rows and an input: what else they look at is not rewound.
 */
import type { Columns, ComponentType, Fields } from "./component.js";
import type { ColumnTypes, Scalar } from "./schema.js";
import type { ViewWorld } from "./view-world.js";

/** How many inputs wait for the host's answer at most, unless told otherwise: two seconds at 60 a second. */
const INPUTS_MAX = 120;

/** Nothing was predicted: the host has not answered for so long that going on would be guessing. */
export class TooFarAheadError extends Error {
  override readonly name = "TooFarAheadError";
  /** How many inputs wait. */
  readonly inputs: number;

  constructor(inputs: number) {
    super(`${inputs} inputs wait for the host's answer: nothing more is predicted until it comes`);
    this.inputs = inputs;
  }
}

/** A value that the host saw otherwise. */
export interface Correction {
  readonly entity: number;
  readonly component: string;
  readonly field: string;
  /** What was shown. */
  readonly before: number;
  /** What is right, with the inputs since replayed. */
  readonly after: number;
}

/** Scalars that can be predicted. */
type Predictable = Exclude<Scalar, "i64" | "u64">;
type PredictedArray = ColumnTypes[Predictable];

const ARRAYS: { readonly [K in Predictable]: new (length: number) => PredictedArray } = {
  f32: Float32Array,
  f64: Float64Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  bool: Uint8Array,
};

/** The columns of a component as jobs see them. */
export interface PredictedComponent {
  readonly fields: Record<string, PredictedArray>;
  /** A bit for each row, for jobs that mark what they change; nobody reads them here. */
  readonly changed: Uint8Array;
}

/**
 * The rows that are predicted, as a system sees them: one for each entity that is followed. It has the form of a job's
 * `snap`, so that a job of the host runs here as it is.
 */
export interface PredictedRows {
  readonly shared: false;
  readonly rows: number;
  /** The entities' indices. */
  readonly eids: Int32Array;
  /** The components, by name. */
  readonly comps: Readonly<Record<string, PredictedComponent>>;
  /** The entity of a row. */
  entity(row: number): number;
  /** The columns of a component, by field. */
  get<F extends Fields>(component: ComponentType<F>): Columns<F>;
}

/** Runs one tick of the predicted rows with an input. */
export type PredictSystem<I> = (rows: PredictedRows, input: I) => void;

class Predicted implements PredictedRows {
  readonly shared = false;
  rows = 0;
  eids = new Int32Array(0);
  comps: Record<string, PredictedComponent> = {};
  entities: number[] = [];

  entity(row: number): number {
    return this.entities[row] ?? 0;
  }

  get<F extends Fields>({ name }: ComponentType<F>): Columns<F> {
    const known = this.comps[name];
    if (known === undefined) throw new TypeError(`component \`${name}\` is not predicted`);
    return known.fields as unknown as Columns<F>;
  }
}

/** A client's own entities, ahead of the host. `I` is what an input is. */
export class Prediction<I> {
  readonly #components: readonly ComponentType[];
  readonly #inputsMax: number;
  readonly #systems: PredictSystem<I>[] = [];
  readonly #inputs: { readonly number: number; readonly input: I }[] = [];
  #predicted = new Predicted();

  /**
   * Predicts these components.
   * @throws {TypeError} for fields that are 64-bit integers.
   */
  constructor(components: readonly ComponentType[], { inputsMax = INPUTS_MAX }: { readonly inputsMax?: number } = {}) {
    for (const { name, fields } of components) {
      for (const [field, scalar] of Object.entries(fields)) {
        if (scalar === "i64" || scalar === "u64") {
          throw new TypeError(`\`${name}.${field}\` is ${scalar}: 64-bit integers are not predicted`);
        }
      }
    }
    this.#components = components;
    this.#inputsMax = inputsMax;
    this.#layOut([]);
  }

  /** The predicted rows: read them to draw. Columns are valid until an entity is followed or leaves. */
  get rows(): PredictedRows {
    return this.#predicted;
  }

  /** Inputs that the host has not answered. */
  get waiting(): number {
    return this.#inputs.length;
  }

  /** Runs a system in each predicted tick, after those before it: the same as at the host. */
  predict(system: PredictSystem<I>): this {
    this.#systems.push(system);
    return this;
  }

  /**
   * Predicts an entity from now on. Gives false if it is not in view.
   * @throws {TypeError} if the view does not show what is to be predicted.
   */
  follow(view: ViewWorld, entity: number): boolean {
    const { entities } = this.#predicted;
    if (entities.includes(entity)) return true;
    if (view.row(entity) < 0) return false;
    this.#layOut([...entities, entity]);
    // The others stay ahead.
    this.#takeHostState(view, entities.length);
    return true;
  }

  /** The row of an entity, -1 if it is not followed. */
  row(entity: number): number {
    return this.#predicted.entities.indexOf(entity);
  }

  /**
   * Runs one tick ahead with an input, under the number with which it was sent.
   *
   * ```ts
   * prediction.input(connection.input(bytes), input);
   * ```
   * @throws {@link TooFarAheadError}; nothing was run then. {@link RangeError} if the number does not rise.
   */
  input(number: number, input: I): void {
    const last = this.#inputs[this.#inputs.length - 1]?.number ?? 0;
    if (number <= last) throw new RangeError(`input ${number} after ${last}`);
    if (this.#inputs.length >= this.#inputsMax) throw new TooFarAheadError(this.#inputs.length);
    this.#step(input);
    this.#inputs.push({ number, input });
  }

  /**
   * Takes in what the view shows after a frame that has the host's state with all inputs up to `acknowledged`: rewinds
   * to it, replays the inputs since, and gives what that corrected. Entities that left the view are followed no more.
   */
  reconcile(view: ViewWorld, acknowledged: number): Correction[] {
    const staying = this.#predicted.entities.filter((entity) => view.row(entity) >= 0);
    if (staying.length < this.#predicted.entities.length) this.#layOut(staying);
    const before = [...this.#values()];
    while (this.#inputs.length > 0 && this.#inputs[0].number <= acknowledged) this.#inputs.shift();
    this.#takeHostState(view, 0);
    for (const { input } of this.#inputs) this.#step(input);
    const corrections: Correction[] = [];
    let place = 0;
    for (const { value: after, ...where } of this.#values()) {
      const shown = before[place++].value;
      if (!Object.is(shown, after)) corrections.push({ ...where, before: shown, after });
    }
    return corrections;
  }

  /** Forgets the inputs that wait: for a connection that broke, which will not answer them. */
  reset(view: ViewWorld): Correction[] {
    return this.reconcile(view, Infinity);
  }

  #step(input: I): void {
    for (const system of this.#systems) system(this.#predicted, input);
  }

  /** Makes columns for these entities; those that were there keep their values. */
  #layOut(entities: number[]): void {
    const before = this.#predicted;
    const from = entities.map((entity) => before.entities.indexOf(entity));
    const after = new Predicted();
    after.rows = entities.length;
    after.entities = entities;
    after.eids = Int32Array.from(entities, (entity) => entity % 2 ** 32);
    for (const { name, fields } of this.#components) {
      const columns: Record<string, PredictedArray> = {};
      for (const [field, scalar] of Object.entries(fields)) {
        const column = new ARRAYS[scalar as Predictable](entities.length);
        const known = before.comps[name]?.fields[field];
        from.forEach((row, to) => {
          if (known && row >= 0) column[to] = known[row];
        });
        columns[field] = column;
      }
      after.comps[name] = { fields: columns, changed: new Uint8Array(Math.ceil(entities.length / 8)) };
    }
    this.#predicted = after;
  }

  /** Sets the rows from one on to what the view shows. */
  #takeHostState(view: ViewWorld, first: number): void {
    const { entities, comps } = this.#predicted;
    for (const component of this.#components) {
      const columns = view.get(component) as Record<string, PredictedArray>;
      for (const [field, to] of Object.entries(comps[component.name].fields)) {
        for (let row = first; row < entities.length; row++) to[row] = columns[field][view.row(entities[row])];
      }
    }
  }

  /** Each predicted value, always in the same order. */
  *#values(): Iterable<{ entity: number; component: string; field: string; value: number }> {
    const { entities, comps } = this.#predicted;
    for (const [row, entity] of entities.entries()) {
      for (const [component, { fields }] of Object.entries(comps)) {
        for (const [field, column] of Object.entries(fields)) yield { entity, component, field, value: column[row] };
      }
    }
  }
}
