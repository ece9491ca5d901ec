/**
 * Commands: changes that are recorded now and made later, in the order in which they were recorded.
 *
 * An entity that a command creates has a *provisional* handle (bit 52 is set) until the commands are applied. The world
 * knows which entity it became until the next tick begins, and provisional handles inside of values are rewritten.
 *
 * # Rules
 * - A buffer is applied wholly: a command that names an entity that is gone is skipped and told.
 * - What a command is given is checked when it is applied, by the world's own functions.
 */
import { EntityError, PeristyleError, WorldPatchError } from "../errors.js";
import type { AnyComponent, ComponentType, Entity } from "./component.js";

/** The first provisional handle: bit 52. */
const PROVISIONAL = 2 ** 52;

/** Whether a handle is of an entity that is yet to be created. */
export function isProvisional(entity: Entity): boolean {
  return entity >= PROVISIONAL && entity < 2 * PROVISIONAL;
}

/** What commands need of a world. */
export interface CommandTarget {
  /** Creates an entity, and says which before anybody else is told of it. */
  create(init: Readonly<Record<number, unknown>> | undefined, made: (entity: Entity) => void): Entity;
  destroyEntity(entity: Entity): void;
  isAlive(entity: Entity): boolean;
  addComponent(entity: Entity, component: AnyComponent, value?: unknown): void;
  removeComponent(entity: Entity, component: AnyComponent): boolean;
  set(entity: Entity, component: AnyComponent, value: unknown): void;
}

/** Which entities provisional handles became. */
export class Provisional {
  #next = PROVISIONAL;
  readonly #real = new Map<Entity, Entity>();

  /** A handle that was never given before. */
  make(): Entity {
    return this.#next++;
  }

  became(provisional: Entity, real: Entity): void {
    this.#real.set(provisional, real);
  }

  knows(provisional: Entity): boolean {
    return this.#real.has(provisional);
  }

  /** The entity that a provisional handle became; throws if it became none, or if that was forgotten. */
  resolve(entity: Entity): Entity {
    const real = this.#real.get(entity);
    if (real !== undefined) return real;
    const message = "this entity is provisional: its commands are not applied yet, or were in an earlier tick";
    throw new EntityError("entity-provisional", `${message}; ask \`world.resolve(entity)\` within the tick`);
  }

  forget(): void {
    if (this.#real.size > 0) this.#real.clear();
  }

  /** A value with provisional handles in it rewritten; the value itself if there are none. */
  rewrite(value: unknown, depth = 8): unknown {
    if (typeof value === "number") return isProvisional(value) ? (this.#real.get(value) ?? value) : value;
    if (typeof value !== "object" || value === null || depth === 0 || this.#real.size === 0) return value;
    if (Array.isArray(value)) {
      const list = value.map((element) => this.rewrite(element, depth - 1));
      return list.some((element, i) => element !== value[i]) ? list : value;
    }
    if (Object.getPrototypeOf(value) !== Object.prototype) return value;
    let changed: Record<string, unknown> | undefined;
    for (const [key, field] of Object.entries(value)) {
      const rewritten = this.rewrite(field, depth - 1);
      if (rewritten !== field) (changed ??= { ...value })[key] = rewritten;
    }
    return changed ?? value;
  }
}

type Command =
  | { readonly kind: "create"; readonly entity: Entity; readonly init: Readonly<Record<number, unknown>> | undefined }
  | { readonly kind: "destroy"; readonly entity: Entity }
  | { readonly kind: "add" | "set"; readonly entity: Entity; readonly component: AnyComponent; readonly value: unknown }
  | { readonly kind: "remove"; readonly entity: Entity; readonly component: AnyComponent };

/** What became of commands or patches. */
export interface Applied {
  /** How many were made. */
  readonly applied: number;
  /** Why others were not, in their order. */
  readonly skipped: readonly WorldPatchError[];
}

/** Says that a change was skipped for what was thrown: by the world, or by a hook of a component, which may throw anything. */
export function skippedFor(what: string, thrown: unknown): WorldPatchError {
  let why = `something of type ${typeof thrown} was thrown`;
  if (thrown instanceof PeristyleError) why = thrown.message;
  else if (thrown instanceof Error) why = `${thrown.name}: ${thrown.message}`;
  const code = thrown instanceof EntityError ? "patch-entity" : "patch-value";
  return new WorldPatchError(code, `${what}: ${why}`, { cause: thrown });
}

/** Records changes, and makes them when it is flushed. */
export class CommandBuffer {
  readonly #target: CommandTarget;
  readonly #provisional: Provisional;
  #commands: Command[] = [];

  /** @internal */
  constructor(target: CommandTarget, provisional: Provisional) {
    this.#target = target;
    this.#provisional = provisional;
  }

  /** How many commands wait. */
  get length(): number {
    return this.#commands.length;
  }

  /** Creates an entity; its handle is provisional until the commands are applied. */
  createEntity(init?: Readonly<Record<number, unknown>>): Entity {
    const entity = this.#provisional.make();
    this.#commands.push({ kind: "create", entity, init });
    return entity;
  }

  /** Destroys an entity. */
  destroyEntity(entity: Entity): void {
    this.#commands.push({ kind: "destroy", entity });
  }

  /** Attaches a component. */
  add<T>(entity: Entity, component: ComponentType<T>, value?: NoInfer<Partial<T> | T>): void {
    this.#commands.push({ kind: "add", entity, component, value });
  }

  /** Detaches a component. */
  remove(entity: Entity, component: AnyComponent): void {
    this.#commands.push({ kind: "remove", entity, component });
  }

  /** Replaces the value of a component. */
  set<T>(entity: Entity, component: ComponentType<T>, value: NoInfer<T>): void {
    this.#commands.push({ kind: "set", entity, component, value });
  }

  /**
   * Makes the changes now. What names an entity that is gone, or a value that does not fit, is skipped and told; so is one
   * whose hook (`onAdd`, `onRemove`, `defaults`) throws, with what it threw as `cause`.
   */
  flush(): Applied {
    const commands = this.#commands;
    this.#commands = [];
    const skipped: WorldPatchError[] = [];
    for (const command of commands) {
      try {
        this.#apply(command);
      } catch (error) {
        // Whatever it is: those after it are not to blame.
        skipped.push(skippedFor(`command \`${command.kind}\``, error));
      }
    }
    return { applied: commands.length - skipped.length, skipped };
  }

  /** Drops what was recorded. */
  clear(): void {
    this.#commands = [];
  }

  #apply(command: Command): void {
    const target = this.#target;
    const rewrite = (value: unknown) => this.#provisional.rewrite(value);
    if (command.kind === "create") {
      const init = rewrite(command.init) as Readonly<Record<number, unknown>> | undefined;
      // Before its hooks run: if one throws, the entity is there all the same, and commands after this one may name it.
      target.create(init, (entity) => this.#provisional.became(command.entity, entity));
      return;
    }
    const { entity } = command;
    switch (command.kind) {
      case "destroy":
        return target.destroyEntity(entity);
      case "add":
        return target.addComponent(entity, command.component, rewrite(command.value));
      case "set":
        return target.set(entity, command.component, rewrite(command.value));
      case "remove":
        return void target.removeComponent(entity, command.component);
    }
  }
}
