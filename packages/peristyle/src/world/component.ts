/** Components: what can be attached to entities. */
import { ComponentError } from "../errors.js";
import { checkName, compileFields, type Codec, type ColumnsOf, type Fields, type FieldValue } from "./fields.js";
import type { World } from "./world.js";

/** A handle of an entity: a safe integer, bits 0 to 31 the index, from bit 32 on the generation. Never reused. */
export type Entity = number;

/** What happens to one entity's component. */
export type ComponentHook<T> = (world: World, entity: Entity, value: T) => void;

interface ComponentCommon<T> {
  /** What it is called, in errors, files and on wires; one of a world. */
  readonly name: string;
  /** Called after it was attached to an entity. */
  readonly onAdd?: ComponentHook<T>;
  /** Called before it is detached from an entity, or the entity destroyed. */
  readonly onRemove?: ComponentHook<T>;
}

/** A component that lies in columns. */
export interface ColumnarOptions<F extends Fields, T = FieldValue<F>> extends ComponentCommon<T> {
  /** Its fields, each one column: `{ x: "f32", y: "f32" }`. */
  readonly fields: F;
  /** The value of who is given none, and of fields that were left out; zeros unless told. */
  readonly defaults?: () => NoInfer<Partial<T>>;
}

/** A component that holds any value of JavaScript. */
export interface ObjectOptions<T> extends ComponentCommon<T> {
  readonly fields?: undefined;
  /** The value of who is given none; `undefined` unless told. */
  readonly defaults?: () => T;
}

/** A component of a world. `T` is its value, `F` its fields, if it lies in columns. */
export interface ComponentType<T = unknown, F extends Fields | undefined = Fields | undefined> {
  /** Its number in its world. */
  readonly id: number;
  readonly name: string;
  readonly fields: F;
  /** Only for the compiler: the value's type. */
  readonly "~value"?: T;
}

/** Any component. */
export type AnyComponent = ComponentType<any, any>;

/** The value of a component. */
export type ValueOf<C> = C extends ComponentType<infer T, infer _> ? T : never;

/** The columns of a component by flattened name; nothing of one that holds objects. */
export type ColumnsOfComponent<C> =
  C extends ComponentType<infer _, infer F> ? (F extends Fields ? ColumnsOf<F> : Record<string, never>) : never;

/** What a world knows of a component. */
export class Component<T = unknown> implements ComponentType<T, Fields | undefined> {
  readonly id: number;
  /** The id as the key of an object. */
  readonly key: string;
  readonly name: string;
  readonly fields: Fields | undefined;
  /** How values lie in columns; nothing of a component that holds objects. */
  readonly codec: Codec<T> | undefined;
  /** The values by entity index of a component that holds objects. */
  readonly values: T[] = [];
  // Of any value, so that a component of one type is a component.
  readonly onAdd: ComponentHook<any> | undefined;
  readonly onRemove: ComponentHook<any> | undefined;
  readonly #defaults: (() => Partial<T> | T) | undefined;

  constructor(id: number, name: string, codec: Codec<T> | undefined, options: ColumnarOptions<Fields, T> | ObjectOptions<T>) {
    this.id = id;
    this.key = String(id);
    this.name = name;
    this.fields = options.fields;
    this.codec = codec;
    this.onAdd = options.onAdd;
    this.onRemove = options.onRemove;
    this.#defaults = options.defaults;
  }

  /** The whole value of an entity that is given `value`: what was left out comes from the defaults. */
  initial(value: unknown): T {
    const { codec } = this;
    if (!codec) return value === undefined ? (this.#defaults?.() as T) : (value as T);
    if (codec.fits(value)) return value;
    return codec.complete(value, codec.complete(this.#defaults?.(), codec.zero()));
  }
}

/** Checks what a component is defined with, and gives how it lies in columns. */
export function checkComponent<T>(options: ColumnarOptions<Fields, T> | ObjectOptions<T>): Codec<T> | undefined {
  const { name, fields, defaults, onAdd, onRemove } = options;
  checkName("component", name);
  for (const [key, value] of Object.entries({ defaults, onAdd, onRemove })) {
    if (value !== undefined && typeof value !== "function") {
      throw new ComponentError("component-fields", `component \`${name}\`: \`${key}\` must be a function`);
    }
  }
  return fields === undefined ? undefined : compileFields<T>(name, fields);
}
