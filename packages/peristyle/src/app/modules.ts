/**
 * Apps: modules of state and actions, whatever serves them to clients.
 *
 * # Rules
 * - One synchronous action is one change, whatever it assigns and whichever actions it calls; what follows an `await` is a
 *   change for each stretch between awaits. So is what is written outside of actions.
 * - What an action wrote is undone when it throws. A promise that is rejected undoes nothing.
 * - Methods are found in declared sets, never by looking up a name on a module.
 */
import { PeristyleError } from "../errors.js";
import { checkKey, Tracker, type Change } from "./tracker.js";

/** What makes a class or an object a module. */
export interface ModuleOptions {
  /** The key of its state, and its name for callers. */
  readonly name: string;
  /** The members that clients mirror. They hold plain data. */
  readonly state?: readonly string[];
  /** The methods that clients may call. */
  readonly actions?: readonly string[];
}

/** What can be wrong with an app that is made. */
export type AppErrorCode = "app-module" | "app-provider" | "app-expose" | "app-options";

/** An app cannot be made as asked. */
export class AppError extends PeristyleError<AppErrorCode> {
  override readonly name = "AppError";
}

/** A class without arguments, or an object, which {@link defineModule} made a module. */
export type Provider = object;

/** Further methods that clients may call, by module. */
export type Expose = Readonly<Record<string, readonly string[]>>;

type Method = (this: object, ...args: unknown[]) => unknown;

const declared = new WeakMap<object, ModuleOptions>();
/** Members that decorators noted, by instance. */
const noted = new WeakMap<object, { readonly state: string[]; readonly actions: string[] }>();

/** Makes a class or an object a module. Gives it back. */
export function defineModule<T extends Provider>(target: T, options: ModuleOptions): T {
  const isName = typeof options.name === "string" && options.name !== "";
  if (!isName) throw new AppError("app-module", "defineModule: a module has a name");
  checkKey(options.name);
  declared.set(target, options);
  return target;
}

/** @internal Makes a member of an instance part of the state, or an action. */
export function noteMember(instance: object, list: "state" | "actions", name: string): void {
  const members = noted.get(instance) ?? { state: [], actions: [] };
  members[list].push(name);
  noted.set(instance, members);
}

/** A module that runs. */
interface Running {
  readonly instance: object;
  readonly raw: Record<string, unknown>;
  readonly actions: ReadonlySet<string>;
  /** All its other methods. */
  readonly methods: ReadonlySet<string>;
}

/** How a module shows itself to a host. */
export interface Declaration {
  readonly name: string;
  readonly actions: readonly string[];
  readonly methods: readonly string[];
}

/** What serves an app to clients. */
export interface Hosting {
  /** Resolves when it does. */
  readonly ready: Promise<void>;
  /** How much arrived that was no valid message. */
  readonly invalidCount: number;
  /** Takes in a change of the app. */
  publish(changes: readonly Change[]): void;
  dispose(): void;
}

/** Modules that run. */
export class App {
  readonly #tracker: Tracker;
  readonly #publish: (changes: Change[]) => void;
  readonly #modules = new Map<string, Running>();
  readonly #instances = new Map<Provider, object>();
  /** How many actions are on the stack. */
  #depth = 0;
  #isScheduled = false;

  /** `publish` is told of every change, after it was made. */
  constructor(providers: readonly Provider[], expose: Expose, publish: (changes: Change[]) => void) {
    this.#publish = publish;
    this.#tracker = new Tracker(() => this.#wrote());
    for (const provider of providers) this.#add(provider, expose);
    const unknown = Object.keys(expose).find((module) => !this.#modules.has(module));
    if (unknown !== undefined) throw new AppError("app-expose", `expose: there is no module \`${unknown}\``);
  }

  /** The instance of a provider. */
  get<T extends object>(provider: (new () => T) | T): T {
    const instance = this.#instances.get(provider);
    if (!instance) throw new AppError("app-provider", "the app has no such provider: name it in \`providers\`");
    return instance as T;
  }

  /** What there is to call. */
  declarations(): Declaration[] {
    return Array.from(this.#modules, ([name, { actions, methods }]) => ({
      name,
      actions: [...actions],
      methods: [...methods],
    }));
  }

  /** The state of a module as JSON text. */
  text(module: string): string {
    return JSON.stringify(this.#modules.get(module)?.raw);
  }

  /** Why clients may not call something; nothing if they may. */
  refusal(module: string, method: string): string | undefined {
    const running = this.#modules.get(module);
    if (!running) return `there is no module \`${module}\``;
    return running.actions.has(method) ? undefined : `${module}.${method} is neither an action nor exposed`;
  }

  /** Calls a method as a client does. */
  call(module: string, method: string, args: readonly unknown[]): unknown {
    const running = this.#modules.get(module);
    if (!running) throw new Error(`there is no module \`${module}\``);
    if (!running.actions.has(method) && !running.methods.has(method)) {
      throw new Error(`${module}.${method} is no method`);
    }
    const { instance } = running;
    return this.#act(() => ((instance as Record<string, unknown>)[method] as Method).apply(instance, [...args]));
  }

  /** Publishes what was written and is not published yet. */
  commit(): void {
    this.#isScheduled = false;
    const changes = this.#tracker.take();
    if (changes.length > 0) this.#publish(changes);
  }

  #add(provider: Provider, expose: Expose): void {
    const options = declared.get(provider);
    if (!options) {
      throw new AppError("app-provider", "a provider is a class or an object that defineModule or @Module made a module");
    }
    const { name } = options;
    if (this.#modules.has(name)) throw new AppError("app-module", `two modules are named \`${name}\``);
    const instance = typeof provider === "function" ? new (provider as new () => object)() : provider;
    const state = new Set([...(options.state ?? []), ...(noted.get(instance)?.state ?? [])]);
    const actions = new Set([...(options.actions ?? []), ...(noted.get(instance)?.actions ?? [])]);
    const members = instance as Record<string, unknown>;
    const first: Record<string, unknown> = {};
    for (const key of state) {
      checkKey(key);
      first[key] = members[key];
    }
    const raw = this.#tracker.root(name, first);
    for (const key of state) {
      Object.defineProperty(instance, key, {
        get: () => this.#tracker.get(raw, key),
        set: (value) => this.#tracker.set(raw, key, value),
        enumerable: true,
      });
    }
    const methods = methodsOf(instance);
    const callable = new Set([...actions, ...(expose[name] ?? [])]);
    for (const action of callable) {
      const method = methods.get(action);
      if (!method) throw new AppError("app-module", `module \`${name}\`: its action \`${action}\` is no method`);
      methods.delete(action);
      if (!actions.has(action)) continue;
      const act = this.#act.bind(this);
      const run = function (this: object, ...args: unknown[]): unknown {
        return act(() => method.apply(this, args));
      };
      Object.defineProperty(instance, action, { value: run, writable: true, configurable: true });
    }
    this.#modules.set(name, { instance, raw, actions: callable, methods: new Set(methods.keys()) });
    this.#instances.set(provider, instance);
  }

  /** Runs something as one change, or as part of the change that it is called from. */
  #act<R>(body: () => R): R {
    const mark = this.#tracker.mark();
    this.#depth++;
    try {
      return body();
    } catch (error) {
      this.#tracker.undo(mark);
      throw error;
    } finally {
      this.#depth--;
      if (this.#depth === 0) this.commit();
    }
  }

  #wrote(): void {
    if (this.#depth > 0 || this.#isScheduled) return;
    this.#isScheduled = true;
    // Before whatever is awaited next goes on.
    queueMicrotask(() => {
      if (this.#isScheduled) this.commit();
    });
  }
}

/** The methods of an object, its classes' included. */
function methodsOf(instance: object): Map<string, Method> {
  const methods = new Map<string, Method>();
  for (let at: object | null = instance; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (key !== "constructor" && typeof value === "function" && !methods.has(key)) methods.set(key, value as Method);
    }
  }
  return methods;
}

/** The JSON text of a result; null if there is none. */
export function textOf(value: unknown): string | null {
  if (value === undefined) return null;
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`a result is plain data, not a ${typeof value}`);
  return text;
}

/** Name and message of what was thrown. */
export function describe(thrown: unknown): [name: string, message: string] {
  try {
    if (thrown instanceof Error) return [String(thrown.name), String(thrown.message)];
    return ["Error", String(thrown)];
  } catch {
    return ["Error", "its properties throw"];
  }
}
