/**
 * A world: entities, their components, and what can be asked of them.
 *
 * Columns lie in the memory of the world's core, where jobs in workers see them; values of components without fields are
 * kept here, by entity index. Reading and writing single entities goes by their place in a chunk, which the core tells.
 *
 * # Rules
 * - Values are checked before anything is changed: a call that throws changed nothing.
 * - Rows move when entities are created or destroyed, or change components. So while rows are lent to jobs that is
 *   refused; commands wait until nothing is lent.
 * - What is written here counts as changed, for every query that follows changes.
 */
import { HEADER } from "../core/abi.js";
import { calledBack } from "../report.js";
import { createCore, type Core, type CoreOptions } from "../core/index.js";
import { ComponentError, EntityError, TickError } from "../errors.js";
import { CommandBuffer, isProvisional, Provisional, type Applied } from "./commands.js";
import {
  checkComponent,
  Component,
  type AnyComponent,
  type ColumnarOptions,
  type ComponentType,
  type Entity,
  type ObjectOptions,
  type ValueOf,
} from "./component.js";
import type { Codec, Fields, FieldValue } from "./fields.js";
import { Maker } from "./maker.js";
import { Query, queryWords, type QuerySpec } from "./query.js";
import { rows } from "./rows.js";
import { publishMarks, View, type ChunkView } from "./view.js";
import { Resource, ResourcesBag, type ResourceOptions, type ResourceType } from "./resource.js";
import { CHUNK_ROWS, Storage, type Chunk, type Table } from "./storage.js";

/** How a world is made. */
export interface WorldOptions {
  /** Which core, and how much memory it may take. */
  readonly core?: CoreOptions;
}

/** Reads any component of the row that a loop is at; `undefined` if the entity has none. */
export type RowGetter = <T>(component: ComponentType<T>) => T | undefined;

type RowValues<C extends readonly AnyComponent[]> = { -readonly [K in keyof C]: ValueOf<C[K]> };

/** One row: the entity, a getter for any of its components, and the values that were asked for. */
export type Row<C extends readonly AnyComponent[]> = [entity: Entity, get: RowGetter, ...values: RowValues<C>];

/** Who lost a component. */
export interface Removals {
  /** Who lost it since the last call, oldest first; `missed` more were forgotten, as too many were not read. */
  read(): { readonly entities: Entity[]; readonly missed: number };
}

/** A world. */
export class World {
  /** What systems share, by name. */
  readonly resources: ResourcesBag;
  /** @internal */
  readonly core: Core;
  /** @internal */
  readonly storage: Storage;
  /** @internal */
  readonly provisional = new Provisional();
  /** @internal What loops that are under way do before rows move. */
  readonly holds = new Set<() => void>();
  /** @internal Moves whenever rows may have moved. */
  moves = 0;
  readonly #components: Component[] = [];
  readonly #columnarResources = new Map<string, Resource>();
  readonly #queries = new Map<string, Query>();
  readonly #root: Table;
  /** The table of the entity that was created last: the next one is most often of the same. */
  #latest: Table;
  readonly #listeners = new Set<() => void>();
  #commands: CommandBuffer | undefined;
  /** Whether any component must be told of entities that go. */
  #watched = false;
  #lent = 0;
  #scope = "";

  constructor(options: WorldOptions = {}) {
    this.core = createCore(options.core ?? {});
    this.resources = new ResourcesBag(this.core);
    this.storage = new Storage(this.core, this.#components);
    this.#root = this.#latest = this.storage.table([]);
  }

  /** How many entities live. */
  get size(): number {
    return this.core.header(HEADER.entities);
  }

  /** The components that were defined, by id. */
  get components(): readonly ComponentType[] {
    return this.#components;
  }

  // Definitions

  /** Defines a component that lies in columns. */
  defineComponent<const F extends Fields>(options: ColumnarOptions<F>): ComponentType<FieldValue<F>, F>;
  /** Defines a component that holds any value. */
  defineComponent<T>(options: ObjectOptions<T>): ComponentType<T, undefined>;
  /** Defines a component that lies in columns, and whose value's type is said. */
  defineComponent<T = never>(options: ColumnarOptions<Fields, NoInfer<T>>): ComponentType<T, Fields>;
  defineComponent<T>(options: ColumnarOptions<Fields, T> | ObjectOptions<T>): ComponentType<T, Fields | undefined> {
    const codec: Codec<T> | undefined = checkComponent(options);
    const { name } = options;
    if (this.#components.some((component) => component.name === name)) {
      throw new ComponentError("component-taken", `this world has a component \`${name}\` already`);
    }
    const lines = (codec?.columns ?? []).map((column) => `${column.name}:${column.scalar}`);
    const id = this.core.check(this.core.abi.define_component(this.core.writeText([name, ...lines].join("\n"))));
    const component = new Component<T>(id, name, codec, options);
    this.#components[id] = component as Component;
    this.#watched ||= !codec || options.onRemove !== undefined;
    return component;
  }

  /** Defines columns that the world has once; all zero. */
  defineResource<const F extends Fields>(options: ResourceOptions<F>): ResourceType<F> {
    if (this.#columnarResources.has(options.name)) {
      throw new ComponentError("component-taken", `this world has a resource \`${options.name}\` already`);
    }
    const resource = new Resource(this.core, options);
    this.#columnarResources.set(resource.name, resource as unknown as Resource);
    return resource;
  }

  /** @internal The component that a user's object stands for; throws if it is none of this world. */
  component<T>(component: ComponentType<T>): Component<T> {
    const known = this.#components[component?.id];
    if (known === (component as unknown)) return known as Component<T>;
    const name = component?.name ?? String(component);
    throw new ComponentError("component-foreign", `\`${name}\` is no component that was defined by this world`);
  }

  /** @internal The component of an id, which may be anything. */
  known(id: unknown): Component | undefined {
    // A list has more than its elements: `length`, and what its prototype has.
    return typeof id === "number" ? this.#components[id] : undefined;
  }

  #byId(id: string | number): Component {
    const component = this.known(typeof id === "string" ? idOf(id) : id);
    if (component) return component;
    throw new ComponentError("component-foreign", `there is no component with the id ${JSON.stringify(id)}`);
  }

  // Entities

  /** Creates an entity with components, by id: `createEntity({ [Position.id]: { x: 0, y: 0 } })`. */
  createEntity(init?: Readonly<Record<number, unknown>>): Entity {
    return this.create(init);
  }

  /** @internal Creates an entity; `made` is told of it before its hooks are. */
  create(init: Readonly<Record<number, unknown>> | undefined, made?: (entity: Entity) => void): Entity {
    this.#mayMove();
    if (!init) {
      this.moves++;
      const entity = this.core.check(this.core.abi.spawn(this.#root.id));
      made?.(entity);
      return entity;
    }
    const table = this.#tableOf(Object.keys(init));
    const { components } = table;
    const values = new Array<unknown>(components.length);
    for (let i = 0; i < values.length; i++) values[i] = components[i].initial(init[components[i].id]);
    return this.#spawn(table, components, values, made);
  }

  /** The table of components whose ids are the keys, in their order. */
  #tableOf(keys: readonly string[]): Table {
    const { components } = this.#latest;
    let same = keys.length === components.length;
    for (let i = 0; same && i < keys.length; i++) same = keys[i] === components[i].key;
    if (same) return this.#latest;
    // Keys that are whole numbers come in ascending order, as a table's components do.
    let table = this.#root;
    for (const key of keys) table = this.storage.with(table, this.#byId(key));
    return (this.#latest = table);
  }

  /** What creates entities of exactly these components, one by one: faster than {@link createEntity}. */
  maker<const C extends readonly AnyComponent[]>(...types: C): Maker<C> {
    return new Maker(this, types);
  }

  /** @internal Creates an entity of a table; whole or partial values are in the order of `components`, which are the table's. */
  make(table: Table, components: readonly Component[], values: readonly unknown[]): Entity {
    this.#mayMove();
    const whole = new Array<unknown>(components.length);
    for (let i = 0; i < whole.length; i++) whole[i] = components[i].initial(values[i]);
    return this.#spawn(table, components, whole, undefined);
  }

  #spawn(
    table: Table,
    components: readonly Component[],
    values: readonly unknown[],
    made: ((entity: Entity) => void) | undefined,
  ): Entity {
    const entity = this.core.check(this.core.abi.spawn(table.id));
    this.moves++;
    const chunk = this.storage.made();
    const row = this.storage.madeRow();
    for (let i = 0; i < values.length; i++) this.#write(chunk, row, entity, components[i], values[i]);
    made?.(entity);
    if (table.isTold) this.#added(entity, table);
    return entity;
  }

  /** Creates `count` entities. Values are by component id; a function gives the `i`th entity's. */
  createEntities(count: number, values: ReadonlyMap<number, unknown>): Entity[] {
    this.#mayMove();
    const steps = [...values].map(([id, value]) => {
      const component = this.#byId(id);
      if (typeof value !== "function") return { component, value: component.initial(value), list: undefined };
      const list = Array.from({ length: count }, (_, i) => component.initial((value as (i: number) => unknown)(i)));
      return { component, value: undefined, list };
    });
    if (count === 0) return [];
    const table = this.storage.table(steps.map(({ component }) => component.id));
    this.core.check(this.core.abi.spawn_many(table.id, count));
    this.moves++;
    const entities = Array.from(this.core.readNumbers(count));
    for (let done = 0; done < count; ) {
      const place = this.core.check(this.core.abi.locate(entities[done]));
      const chunk = this.storage.chunk(Math.floor(place / CHUNK_ROWS));
      const row = place % CHUNK_ROWS;
      const rows = Math.min(count - done, CHUNK_ROWS - row);
      for (const { component, value, list } of steps) {
        const { codec } = component;
        if (!codec) {
          for (let i = 0; i < rows; i++) {
            // A value for each, not one for all, where the defaults make it.
            const own = list ? list[done + i] : values.get(component.id) === undefined ? component.initial(undefined) : value;
            component.values[indexOf(entities[done + i])] = own;
          }
          continue;
        }
        const { columns } = chunk.groups[component.id]!;
        if (list) {
          for (let i = 0; i < rows; i++) codec.write(columns, row + i, list[done + i]);
        } else {
          codec.write(columns, row, value);
          for (const column of columns) (column as Float64Array).fill(column[row] as number, row, row + rows);
        }
      }
      done += rows;
    }
    if (table.isTold) for (const entity of entities) this.#added(entity, table);
    return entities;
  }

  #added(entity: Entity, table: Table): void {
    for (const component of table.components) {
      if (component.onAdd && this.isAlive(entity)) component.onAdd(this, entity, this.get(entity, component));
    }
  }

  /** Destroys an entity. Throws if it does not live. */
  destroyEntity(entity: Entity): void {
    this.#mayMove();
    const real = this.#real(entity);
    if (this.#watched) {
      this.#place(real);
      if (!this.#leave(real)) return;
    }
    const status = this.core.abi.destroy(real);
    if (status < 0) this.#refuse(real, status);
    this.moves++;
  }

  /**
   * Destroys entities; those that do not live are passed over. Gives how many did. One whose `onRemove` throws stays, and
   * what was thrown first is thrown once the others are gone.
   */
  destroyEntities(entities: ArrayLike<Entity>): number {
    const failed: { readonly thrown: unknown }[] = [];
    const gone = this.destroyAll(entities, (_, thrown) => void failed.push({ thrown }));
    if (failed.length > 0) throw failed[0].thrown;
    return gone;
  }

  /** @internal Destroys entities; `failed` is told of those that stay, as their `onRemove` threw. */
  destroyAll(entities: ArrayLike<Entity>, failed: (entity: Entity, thrown: unknown) => void): number {
    this.#mayMove();
    const { abi } = this.core;
    let going = entities;
    if (this.#watched) {
      const left: Entity[] = [];
      for (let i = 0; i < entities.length; i++) {
        const entity = entities[i];
        if (abi.is_alive(entity) !== 1) continue;
        try {
          this.#leave(entity);
          left.push(entity);
        } catch (error) {
          failed(entity, error);
        }
      }
      going = left;
    }
    this.moves++;
    return this.core.check(abi.destroy_many(this.core.writeNumbers(going)));
  }

  /** Tells hooks that an entity goes, and forgets its values. Whether it is still there afterwards. */
  #leave(entity: Entity): boolean {
    const table = this.storage.tableOf(entity);
    if (!table.watched) return true;
    for (const component of table.components) {
      if (!component.onRemove) continue;
      component.onRemove(this, entity, this.get(entity, component));
      if (!this.isAlive(entity)) return false;
    }
    for (const { values } of table.objects) delete values[indexOf(entity)];
    return true;
  }

  /** Whether an entity lives. */
  isAlive(entity: Entity): boolean {
    if (isProvisional(entity)) return this.provisional.knows(entity) && this.isAlive(this.provisional.resolve(entity));
    return this.core.abi.is_alive(entity) === 1;
  }

  /** The lasting handle of an entity that a command of this tick created; any other handle as it is. */
  resolve(entity: Entity): Entity {
    return this.#real(entity);
  }

  // Components of an entity

  /** Attaches a component; if the entity has it, replaces its value. */
  addComponent<T>(entity: Entity, type: ComponentType<T>, value?: NoInfer<Partial<T> | T>): void {
    const component = this.component(type);
    const real = this.#real(entity);
    const { chunk, row } = this.#locate(real);
    const whole = component.initial(value);
    if (chunk.groups[component.id]) {
      this.#write(chunk, row, real, component, whole);
      this.core.check(this.core.abi.mark(chunk.id, component.id, row, 1));
      return;
    }
    this.#mayMove();
    this.core.check(this.core.abi.relocate(real, this.storage.with(chunk.table, component).id));
    this.moves++;
    this.#write(this.storage.made(), this.storage.madeRow(), real, component, whole);
    component.onAdd?.(this, real, whole);
  }

  /** Detaches a component. Whether the entity had it. */
  removeComponent(entity: Entity, type: AnyComponent): boolean {
    const component = this.component(type);
    const real = this.#real(entity);
    if (!this.#locate(real).chunk.groups[component.id]) return false;
    this.#mayMove();
    if (component.onRemove) {
      component.onRemove(this, real, this.get(real, component));
      if (!this.isAlive(real) || !this.has(real, component)) return true;
    }
    const table = this.storage.without(this.storage.tableOf(real), component);
    this.core.check(this.core.abi.relocate(real, table.id));
    this.moves++;
    delete component.values[indexOf(real)];
    return true;
  }

  /** The value of a component: of one in columns a copy. `undefined` if the entity has none. Throws if it does not live. */
  get<T>(entity: Entity, type: ComponentType<T>): T | undefined {
    const component = this.component(type);
    const real = this.#real(entity);
    const place = this.#place(real);
    return this.read(this.storage.chunk(Math.floor(place / CHUNK_ROWS)), place % CHUNK_ROWS, indexOf(real), component);
  }

  /** Replaces the value of a component that the entity has. */
  set<T>(entity: Entity, type: ComponentType<T>, value: NoInfer<T>): void {
    const component = this.component(type);
    component.codec?.check(value);
    const real = this.#real(entity);
    const { chunk, row } = this.#locate(real);
    if (!chunk.groups[component.id]) {
      const message = `entity ${real} has no \`${component.name}\` to set; add it by \`addComponent\``;
      throw new EntityError("component-absent", message);
    }
    this.#write(chunk, row, real, component, value);
    this.core.abi.mark(chunk.id, component.id, row, 1);
  }

  /** Whether an entity has a component. Throws if it does not live. */
  has(entity: Entity, type: AnyComponent): boolean {
    const component = this.component(type);
    return this.#locate(this.#real(entity)).chunk.groups[component.id] !== undefined;
  }

  // Queries

  /**
   * Makes a query. One without `changed` and `added` is the same object for the same lists; one that follows changes is
   * new each time, but within the synchronous part of a system the same as in its last run.
   */
  makeQuery(spec: QuerySpec): Query {
    const words = this.#words(spec);
    const follows = (spec.changed?.length ?? 0) + (spec.added?.length ?? 0) > 0;
    if (follows && this.#scope === "") return this.#query(words, spec);
    const key = follows ? `${this.#scope}:${words.join()}` : words.join();
    const known = this.#queries.get(key);
    if (known) return known;
    const query = this.#query(words, spec);
    this.#queries.set(key, query);
    return query;
  }

  /** @internal A query that is nobody else's. */
  newQuery(spec: QuerySpec): Query {
    return this.#query(this.#words(spec), spec);
  }

  #words(spec: QuerySpec): number[] {
    return queryWords(spec, (component) => this.#components[component?.id] === (component as unknown));
  }

  #query(words: number[], spec: QuerySpec): Query {
    return new Query(this.core.check(this.core.abi.query(this.core.writeWords(words))), spec);
  }

  /** How many rows a query has: of one that follows changes, rows that it has not shown. */
  count(query: Query): number {
    return this.core.check(this.core.abi.query_rows(query.id));
  }

  /**
   * Goes through the rows of a query: `for (const [e, get, p, v] of world.iter(query, Position, Velocity))`.
   *
   * Entities that are destroyed meanwhile, or lose what the query asks for, are passed over; those that are created are
   * not seen. Of a query that follows changes, what a loop that breaks off did not get to is shown another time (with up to
   * 63 rows that it did get to).
   */
  iter<const C extends readonly AnyComponent[]>(query: Query, ...types: C): Generator<Row<C>, void, undefined> {
    const components = types.map((type) => this.component(type as ComponentType));
    return rows(this, query, components) as Generator<Row<C>, void, undefined>;
  }

  /**
   * Goes through the chunks of a query as typed arrays, for loops that are to be fast. What is written must be declared in
   * `writes`, and each row that was written marked in its `changed` bits; marks count once the loop goes on.
   *
   * While the loop runs no entity may be created, destroyed or moved.
   */
  *views(query: Query, writes: readonly AnyComponent[] = []): Generator<ChunkView, void, undefined> {
    const written = writes.map((type) => this.component(type as ComponentType));
    const { abi } = this.core;
    const listed = this.core.readWords(this.core.check(abi.chunks(query.id)) * 2);
    for (let i = 0; i < listed.length; i += 2) {
      const view = new View(this.core, this.storage.chunk(listed[i]), listed[i + 1]);
      this.lend();
      try {
        yield view;
      } finally {
        this.giveBack();
        for (const { id } of written) publishMarks(this.storage, view.chunk.id, id, view.rows);
        if (query.follows) abi.clear_pending(query.id, view.chunk.id, 0, view.rows);
      }
    }
  }

  /** Follows who loses a component from now on. */
  removals(type: AnyComponent): Removals {
    const { core } = this;
    const cursor = core.check(core.abi.removals(this.component(type).id));
    return {
      read() {
        const count = core.check(core.abi.removals_read(cursor));
        return { entities: Array.from(core.readNumbers(count)), missed: core.header(HEADER.missed) };
      },
    };
  }

  // Ticks

  /** Begins a tick, and gives its commands. Throws if one has begun. */
  beginTick(): CommandBuffer {
    if (this.#commands) throw new TickError("tick-nested", "a tick has begun already; end it by `endTick` first");
    this.core.check(this.core.abi.begin_tick());
    this.provisional.forget();
    return (this.#commands = this.commands());
  }

  /** Ends the tick: commands that wait are applied, and what became of them is told. */
  endTick(): Applied {
    const commands = this.#commands;
    if (!commands) throw new TickError("tick-none", "no tick has begun; begin one by `beginTick`");
    let applied: Applied;
    try {
      applied = commands.flush();
    } finally {
      // Whatever happened, the tick is over.
      this.#commands = undefined;
      this.core.check(this.core.abi.end_tick());
    }
    this.ticked();
    return applied;
  }

  /**
   * Calls `listener` after each tick. Gives what ends that. What it throws is reported as an error that nobody caught; the
   * others are called, and the tick is over all the same.
   */
  onTick(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** @internal A tick is over. */
  ticked(): void {
    for (const listener of this.#listeners) calledBack(listener);
  }

  /** @internal */
  commands(): CommandBuffer {
    return new CommandBuffer(this, this.provisional);
  }

  /** @internal Rows are lent: until they are given back nothing may move them. */
  lend(): void {
    this.#lent++;
  }

  /** @internal */
  giveBack(): void {
    this.#lent--;
  }

  /** @internal Runs something as the system of this name: queries that follow changes are its own. */
  within<T>(scope: string, run: () => T): T {
    this.#scope = scope;
    try {
      return run();
    } finally {
      this.#scope = "";
    }
  }

  /** @internal The system of this name is gone, and its queries that follow changes with it. */
  leave(scope: string): void {
    for (const [key, query] of this.#queries) {
      if (!key.startsWith(`${scope}:`)) continue;
      this.#queries.delete(key);
      this.dropQuery(query);
    }
  }

  /** @internal Ends a query: nothing is noted for it any more, and whoever still has it is refused. */
  dropQuery(query: Query): void {
    this.core.check(this.core.abi.query_drop(query.id));
    query.id = NO_QUERY;
  }

  /** @internal The entity that a job names by its handle, or by its index as of now. Throws for what is neither. */
  byIndex(eid: number): Entity {
    // The core would take its lowest 32 bits, and so another entity.
    if (!Number.isSafeInteger(eid) || eid < 0) {
      throw new EntityError("entity-invalid", `${String(eid)} is neither a handle nor an index of an entity`);
    }
    return eid < 2 ** 32 ? this.core.check(this.core.abi.entity(eid)) : eid;
  }

  // What the rest is made of

  /** Before rows move: refuses if some are lent, and lets loops that are under way take note of where they are. */
  #mayMove(): void {
    if (this.#lent > 0) {
      const message = "rows are lent to jobs, so no entity can be created, destroyed or moved now";
      throw new TickError("frame-running", `${message}; use the commands of the system (\`cmd\`)`);
    }
    if (this.holds.size > 0) {
      for (const hold of this.holds) hold();
      this.holds.clear();
    }
  }

  /** The entity that a handle stands for. */
  #real(entity: Entity): Entity {
    return isProvisional(entity) ? this.provisional.resolve(entity) : entity;
  }

  /** The place of an entity that lives. */
  #place(entity: Entity): number {
    const place = this.core.abi.locate(entity);
    return place >= 0 ? place : this.#refuse(entity, place);
  }

  #locate(entity: Entity): { readonly chunk: Chunk; readonly row: number } {
    const place = this.#place(entity);
    return { chunk: this.storage.chunk(Math.floor(place / CHUNK_ROWS)), row: place % CHUNK_ROWS };
  }

  #refuse(entity: Entity, status: number): never {
    if (!Number.isSafeInteger(entity) || entity < 2 ** 32) {
      throw new EntityError("entity-invalid", `${String(entity)} is no handle of an entity`);
    }
    this.core.check(status);
    throw new EntityError("entity-destroyed", `entity ${entity} does not live`);
  }

  /** @internal */
  read<T>(chunk: Chunk, row: number, index: number, component: Component<T>): T | undefined {
    const group = chunk.groups[component.id];
    if (!group) return undefined;
    return component.codec ? component.codec.read(group.columns, row) : component.values[index];
  }

  #write(chunk: Chunk, row: number, entity: Entity, component: Component, value: unknown): void {
    if (component.codec) component.codec.write(chunk.groups[component.id]!.columns, row, value);
    else component.values[indexOf(entity)] = value;
  }
}

/** The number of a query that was dropped: none has it. */
const NO_QUERY = 0xffff_ffff;

/** The component id that a key is; -1 of any other text: `01` and `length` are no ids. */
export function idOf(key: string): number {
  let id = 0;
  for (let i = 0; i < key.length; i++) {
    const digit = key.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    id = id * 10 + digit;
  }
  return key === "" || (key.length > 1 && key.charCodeAt(0) === 48) ? -1 : id;
}

/** The index of an entity: bits 0 to 31 of its handle. */
export function indexOf(entity: Entity): number {
  return entity >>> 0;
}
