/** Resources: what a world has once. Values of any kind by name, and columns that jobs and kernels see. */
import type { Core } from "../core/core.js";
import { ComponentError, ScheduleError } from "../errors.js";
import { checkName, COLUMN_ARRAYS, compileFields, type Column, type ColumnsOf, type Fields } from "./fields.js";

/** A resource that lies in columns, of a world. */
export interface ResourceType<F extends Fields = Fields> {
  readonly kind: "resource";
  /** Its number in its world. */
  readonly id: number;
  readonly name: string;
  readonly fields: F;
  readonly rows: number;
  /** Its columns by flattened name, as of now: ask again in each frame, do not keep them. */
  readonly columns: ColumnsOf<F>;
}

/** How a resource that lies in columns is defined. */
export interface ResourceOptions<F extends Fields> {
  readonly name: string;
  /** Its fields, each one column. */
  readonly fields: F;
  /** How many rows it has. */
  readonly rows: number;
}

/** What a world knows of a resource that lies in columns. */
export class Resource<F extends Fields = Fields> implements ResourceType<F> {
  readonly kind = "resource";
  readonly id: number;
  readonly name: string;
  readonly fields: F;
  readonly rows: number;
  readonly #core: Core;
  readonly #specs;
  #columns: Record<string, Column> | undefined;
  #generation = -1;

  constructor(core: Core, { name, fields, rows }: ResourceOptions<F>) {
    checkName("resource", name);
    if (!Number.isInteger(rows) || rows < 1) {
      throw new ComponentError("component-fields", `resource \`${name}\`: \`rows\` must be a whole number from 1 on`);
    }
    this.#specs = compileFields(name, fields).columns;
    const lines = this.#specs.map((column) => `${column.name}:${column.scalar}`);
    this.id = core.check(core.abi.define_resource(core.writeText([name, ...lines].join("\n")), rows));
    this.#core = core;
    this.name = name;
    this.fields = fields;
    this.rows = rows;
  }

  get columns(): ColumnsOf<F> {
    const core = this.#core;
    if (!this.#columns || this.#generation !== core.generation) {
      const offsets = core.readWords(core.check(core.abi.resource_columns(this.id)));
      this.#generation = core.generation;
      const { buffer } = core;
      this.#columns = Object.fromEntries(
        this.#specs.map(({ name, scalar }, i) => [name, new COLUMN_ARRAYS[scalar](buffer, offsets[i], this.rows)]),
      );
    }
    return this.#columns as ColumnsOf<F>;
  }
}

/** Names a resource: any text, or a symbol. */
export type ResourceKey = string | symbol;

/** Values that the systems of a world share, by name. */
export class ResourcesBag {
  readonly #core: Core;
  readonly #values = new Map<ResourceKey, unknown>();
  readonly #numbers = new Map<ResourceKey, number>();

  /** @internal */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Adds a resource; throws if there is one of this name. */
  define<T>(key: ResourceKey, value: T): T {
    if (this.#values.has(key)) {
      throw new ScheduleError("resource-taken", `resource \`${String(key)}\` is there already; use \`set\` to replace it`);
    }
    this.#values.set(key, value);
    return value;
  }

  /** The value of a resource; throws if there is none. */
  get<T = unknown>(key: ResourceKey): T {
    if (!this.#values.has(key)) {
      const names = [...this.#values.keys()].map(String).join(", ") || "none";
      throw new ScheduleError("resource-unknown", `there is no resource \`${String(key)}\`; defined are: ${names}`);
    }
    return this.#values.get(key) as T;
  }

  /** Sets a resource, whether or not it is there. */
  set<T>(key: ResourceKey, value: T): void {
    this.#values.set(key, value);
  }

  has(key: ResourceKey): boolean {
    return this.#values.has(key);
  }

  /** @internal The number by which a plan knows a resource: that of one of a byte, which stands for the value. */
  number(key: ResourceKey): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const core = this.#core;
    const text = core.writeText(`value_${this.#numbers.size}\nheld:u8`);
    const number = core.check(core.abi.define_resource(text, 1));
    this.#numbers.set(key, number);
    return number;
  }
}
