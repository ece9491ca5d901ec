/**
 * State that knows what changed.
 *
 * State is a tree of plain data. Scripts reach it through proxies; what they write is checked, copied in, undone if asked,
 * and kept as patches whose cost follows the change: a list that loses its first element is one `remove`.
 *
 * # Rules
 * - What is written is copied: the state is a tree, and nobody else has a part of it.
 * - The text of a patch is made when it is recorded, as the value may change before it is published.
 * - A value that was written twice is published once, and one that is as it was not at all.
 * - A part that was taken out of the state can be written to, which is then nobody's concern.
 * - No key that would reach a prototype, nothing deeper than clients take.
 */

/** An object or a list of the state, as it is kept. */
type Container = Record<string, unknown> | unknown[];
type Key = string | number;

/** What is known of a container: where it was last seen. */
interface Node {
  readonly proxy: Container;
  /** What it is in; the module's name for a module's state. */
  parent: Container | string;
  key: Key;
}

interface Patch {
  readonly module: string;
  readonly op: "add" | "replace" | "remove";
  /** JSON text. */
  readonly path: string;
  /** JSON text. */
  value: string;
  /** The value is as it was before. */
  isVain: boolean;
}

/** A scalar that this commit wrote. */
interface Written {
  readonly patch: Patch;
  readonly before: unknown;
}

/** Patches of one module, as JSON text. */
export interface Change {
  readonly module: string;
  readonly patches: string;
}

/** A place in what was recorded, to go back to. */
export interface Mark {
  readonly undo: number;
  readonly patches: number;
}

const { stringify } = JSON;
const { isArray } = Array;
const { getPrototypeOf, hasOwn } = Object;

/** How deep state may be nested, so that messages with it are no deeper than their readers take. */
const DEPTH_MAX = 500;
/** How many patches of elements are always cheaper than the list as a whole. */
const PATCHES_ALWAYS = 8;
/** How many elements are passed as arguments. */
const ARGUMENTS_MAX = 4096;
/** What stands for the value of a key that was not there. */
const ABSENT = Symbol("absent");

const isContainer = (value: unknown): value is Container => typeof value === "object" && value !== null;

/** The index that a key is, or -1. */
function indexOf(key: string): number {
  const index = Number(key);
  return Number.isInteger(index) && index >= 0 && String(index) === key ? index : -1;
}

export function checkKey(key: string): void {
  if (key === "__proto__" || key === "constructor" || key === "prototype") {
    throw new Error(`state must not have a key \`${key}\``);
  }
}

/** Sets what may hide an inherited name. */
function put(target: Container, key: Key, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

export class Tracker {
  readonly #nodes = new WeakMap<Container, Node>();
  readonly #raws = new WeakMap<object, Container>();
  readonly #wrote: () => void;
  readonly #handler: ProxyHandler<Container>;
  readonly #methods: Record<string, (this: unknown[], ...args: never[]) => unknown>;
  #undo: (() => void)[] = [];
  #patches: Patch[] = [];
  #written = new Map<Container, Map<Key, Written>>();

  /** `wrote` is told of everything that is recorded. */
  constructor(wrote: () => void) {
    this.#wrote = wrote;
    this.#methods = this.#listMethods();
    this.#handler = {
      get: (target, key) => {
        if (typeof key === "symbol") return Reflect.get(target, key);
        if (isArray(target) && hasOwn(this.#methods, key)) return this.#methods[key];
        const value = (target as Record<string, unknown>)[key];
        return isContainer(value) && hasOwn(target, key) ? this.#wrap(value, target, key) : value;
      },
      set: (target, key, value) => {
        this.#set(target, key, value);
        return true;
      },
      defineProperty: (target, key, descriptor) => {
        const { configurable = true, enumerable = true, writable = true } = descriptor;
        if (!("value" in descriptor && configurable && enumerable && writable)) {
          throw new TypeError("a member of the state is a plain value that can be changed");
        }
        this.#set(target, key, descriptor.value);
        return true;
      },
      deleteProperty: (target, key) => {
        if (isArray(target)) throw new TypeError("a list of the state has no holes: use splice");
        if (typeof key === "string") this.#remove(target, key);
        return true;
      },
      getOwnPropertyDescriptor: (target, key) => {
        const descriptor = Reflect.getOwnPropertyDescriptor(target, key);
        if (descriptor && typeof key === "string" && isContainer(descriptor.value)) {
          descriptor.value = this.#wrap(descriptor.value, target, key);
        }
        return descriptor;
      },
      setPrototypeOf: () => false,
      preventExtensions: () => false,
    };
  }

  /** Takes in the state of a module, and gives what it is kept as. */
  root(module: string, state: Record<string, unknown>): Record<string, unknown> {
    const raw = this.#plain(state, DEPTH_MAX) as Record<string, unknown>;
    this.#wrap(raw, module, "");
    return raw;
  }

  /** What scripts see of a member of a module's state. */
  get(raw: Record<string, unknown>, key: string): unknown {
    return this.#handler.get?.(raw, key, raw);
  }

  set(raw: Record<string, unknown>, key: string, value: unknown): void {
    this.#set(raw, key, value);
  }

  mark(): Mark {
    // What is written from here on must be taken back without what was written before.
    this.#written = new Map();
    return { undo: this.#undo.length, patches: this.#patches.length };
  }

  /** Takes back everything since a mark. */
  undo({ undo, patches }: Mark): void {
    while (this.#undo.length > undo) this.#undo.pop()?.();
    this.#patches.length = patches;
    this.#written = new Map();
  }

  /** Takes what was recorded, by module in the order of the modules' first changes. */
  take(): Change[] {
    const texts = new Map<string, string>();
    for (const { module, op, path, value, isVain } of this.#patches) {
      if (isVain) continue;
      const text = `{"op":"${op}","path":${path}${op === "remove" ? "" : `,"value":${value}`}}`;
      const before = texts.get(module);
      texts.set(module, before === undefined ? text : `${before},${text}`);
    }
    this.#undo = [];
    this.#patches = [];
    this.#written = new Map();
    return Array.from(texts, ([module, patches]) => ({ module, patches: `[${patches}]` }));
  }

  /** The proxy of a container, which is seen at a place. */
  #wrap(raw: Container, parent: Container | string, key: Key): Container {
    const known = this.#nodes.get(raw);
    if (known) {
      known.parent = parent;
      known.key = key;
      return known.proxy;
    }
    const proxy = new Proxy(raw, this.#handler);
    this.#nodes.set(raw, { proxy, parent, key });
    this.#raws.set(proxy, raw);
    return proxy;
  }

  /** Wraps what was taken out of a list. */
  #taken(value: unknown, list: unknown[]): unknown {
    return isContainer(value) ? this.#wrap(value, list, 0) : value;
  }

  /** The path of a container, with its module's name first; nothing if it is not in the state. */
  #path(raw: Container): Key[] | undefined {
    const path: Key[] = [];
    let at = raw;
    for (;;) {
      const node = this.#nodes.get(at);
      if (!node) return undefined;
      const { parent } = node;
      if (typeof parent === "string") {
        path.push(parent);
        return path.reverse();
      }
      const key = isArray(parent) ? locate(parent, at, Number(node.key)) : (parent[node.key] === at ? node.key : -1);
      if (key === -1) return undefined;
      node.key = key;
      path.push(key);
      at = parent;
    }
  }

  /** A copy of plain data, `levels` deep at most. */
  #plain(value: unknown, levels: number): unknown {
    switch (typeof value) {
      case "string":
      case "boolean":
        return value;
      case "number":
        // As JSON has them.
        return Number.isFinite(value) ? value + 0 : null;
      case "undefined":
        return null;
      case "object":
        break;
      default:
        throw new TypeError(`state is plain data, not a ${typeof value}`);
    }
    if (value === null) return null;
    if (levels === 0) throw new RangeError("state is nested too deeply");
    const raw = this.#raws.get(value) ?? value;
    if (isArray(raw)) return Array.from(raw, (item) => this.#plain(item, levels - 1));
    const prototype: unknown = getPrototypeOf(raw);
    if (prototype !== null && getPrototypeOf(prototype) !== null) {
      throw new TypeError(`state is plain data, not a ${(raw.constructor as { name?: string } | undefined)?.name ?? "class"}`);
    }
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(raw)) {
      const item = (raw as Record<string, unknown>)[key];
      if (item === undefined) continue;
      checkKey(key);
      put(copy, key, this.#plain(item, levels - 1));
    }
    return copy;
  }

  #set(raw: Container, key: string | symbol, value: unknown): void {
    if (typeof key === "symbol") throw new TypeError("state has no symbols as keys");
    if (isArray(raw)) return this.#setElement(raw, key, value);
    if (value === undefined) return this.#remove(raw, key);
    const before = hasOwn(raw, key) ? raw[key] : ABSENT;
    if (isContainer(value) && this.#raws.get(value) === before) return;
    checkKey(key);
    this.#replace(raw, key, before, this.#plain(value, isContainer(value) ? this.#room(raw) : 0));
  }

  #setElement(list: unknown[], key: string, value: unknown): void {
    if (key === "length") {
      const length = Number(value);
      if (!(length <= list.length)) throw new RangeError("a list of the state has no holes");
      this.#splice(list, length, list.length - length, []);
      return;
    }
    const index = indexOf(key);
    if (index < 0) throw new TypeError(`a list of the state has no key ${stringify(key)}`);
    if (index > list.length) throw new RangeError(`index ${index} is beyond the end: a list of the state has no holes`);
    if (isContainer(value) && index < list.length && this.#raws.get(value) === list[index]) return;
    const plain = this.#plain(value, isContainer(value) ? this.#room(list) : 0);
    if (index === list.length) this.#splice(list, index, 0, [plain]);
    else this.#replace(list, index, list[index], plain);
  }

  /** How deep a value may be that is put into a container. */
  #room(raw: Container): number {
    return DEPTH_MAX - (this.#path(raw)?.length ?? 0);
  }

  #replace(raw: Container, key: Key, before: unknown, value: unknown): void {
    if (isEqual(before, value)) return;
    put(raw, key, value);
    this.#undo.push(() => {
      if (before === ABSENT) delete (raw as Record<Key, unknown>)[key];
      else put(raw, key, before);
    });
    const written = this.#written.get(raw)?.get(key);
    if (written) {
      // Nothing was recorded below a scalar, so the patch that wrote it can write the new value as well.
      written.patch.isVain = Object.is(written.before, value);
      written.patch.value = stringify(value);
      if (isContainer(value)) this.#written.get(raw)?.delete(key);
      this.#wrote();
      return;
    }
    const patch = this.#record(raw, before === ABSENT ? "add" : "replace", key, value);
    if (!patch || isContainer(before) || isContainer(value)) return;
    let keys = this.#written.get(raw);
    if (!keys) this.#written.set(raw, (keys = new Map()));
    keys.set(key, { patch, before });
  }

  #remove(raw: Record<string, unknown>, key: string): void {
    if (!hasOwn(raw, key)) return;
    const before = raw[key];
    delete raw[key];
    // It comes back as the last of the keys, whose order means nothing.
    this.#undo.push(() => put(raw, key, before));
    this.#written.get(raw)?.delete(key);
    this.#record(raw, "remove", key, undefined);
  }

  #record(raw: Container, op: Patch["op"], key: Key, value: unknown): Patch | undefined {
    const path = this.#path(raw);
    if (!path) return undefined;
    const text = `[${path.map((step) => stringify(step)).join(",")},${stringify(key)}]`;
    const patch = { module: path[0] as string, op, path: text, value: op === "remove" ? "" : stringify(value), isVain: false };
    this.#patches.push(patch);
    this.#wrote();
    return patch;
  }

  /** Puts plain items into the place of `count` others. */
  #splice(list: unknown[], start: number, count: number, items: unknown[]): unknown[] {
    if (count === 0 && items.length === 0) return [];
    const removed = exchange(list, start, count, items);
    this.#undo.push(() => void exchange(list, start, items.length, removed));
    this.#written.delete(list);
    const path = this.#path(list);
    if (!path) return removed;
    const steps = path.map((step) => stringify(step)).join(",");
    const record = (op: Patch["op"], at: string, value: unknown): void => {
      const text = op === "remove" ? "" : stringify(value);
      this.#patches.push({ module: path[0] as string, op, path: at, value: text, isVain: false });
    };
    const changed = Math.max(count, items.length);
    if (changed > PATCHES_ALWAYS && changed > list.length) {
      record("replace", `[${steps}]`, list);
    } else {
      for (let i = 0; i < changed; i++) {
        const op = i >= items.length ? "remove" : i < count ? "replace" : "add";
        // What follows a removed element takes its index.
        record(op, `[${steps},${start + Math.min(i, items.length)}]`, items[i]);
      }
    }
    this.#wrote();
    return removed;
  }

  /** Brings the elements of a list into another order. */
  #reorder(list: unknown[], next: unknown[]): void {
    const before = list.slice();
    exchange(list, 0, list.length, next);
    this.#undo.push(() => void exchange(list, 0, list.length, before));
    this.#written.delete(list);
    for (let i = 0; i < next.length; i++) {
      if (!Object.is(before[i], next[i])) this.#record(list, "replace", i, next[i]);
    }
  }

  /** The methods of lists that change them. */
  #listMethods(): Record<string, (this: unknown[], ...args: never[]) => unknown> {
    const listOf = (proxy: unknown[]): unknown[] => {
      const list = this.#raws.get(proxy);
      if (!isArray(list)) throw new TypeError("this is no list of the state");
      return list;
    };
    const plain = (list: unknown[], values: unknown[]): unknown[] => {
      const levels = this.#room(list);
      return values.map((value) => this.#plain(value, levels));
    };
    const clamp = (index: unknown, length: number, otherwise: number): number => {
      const at = index === undefined ? otherwise : Math.trunc(Number(index)) || 0;
      return at < 0 ? Math.max(length + at, 0) : Math.min(at, length);
    };
    const splice = this.#splice.bind(this);
    const taken = this.#taken.bind(this);
    const reorder = this.#reorder.bind(this);
    const set = this.#setElement.bind(this);
    const get = (list: unknown[], index: number): unknown => taken(list[index], list);
    return {
      push(...values: unknown[]) {
        const list = listOf(this);
        splice(list, list.length, 0, plain(list, values));
        return list.length;
      },
      pop() {
        const list = listOf(this);
        return list.length === 0 ? undefined : taken(splice(list, list.length - 1, 1, [])[0], list);
      },
      shift() {
        const list = listOf(this);
        return list.length === 0 ? undefined : taken(splice(list, 0, 1, [])[0], list);
      },
      unshift(...values: unknown[]) {
        const list = listOf(this);
        splice(list, 0, 0, plain(list, values));
        return list.length;
      },
      splice(...args: unknown[]) {
        const list = listOf(this);
        const start = clamp(args[0], list.length, 0);
        const rest = list.length - start;
        const count = args.length === 0 ? 0 : args.length === 1 ? rest : Math.min(Math.max(Math.trunc(Number(args[1])) || 0, 0), rest);
        return splice(list, start, count, plain(list, args.slice(2))).map((item) => taken(item, list));
      },
      sort(compare?: (a: unknown, b: unknown) => number) {
        const list = listOf(this);
        const items = list.map((item, at) => ({ raw: item, seen: get(list, at) }));
        const text = (a: unknown, b: unknown): number => {
          const [left, right] = [String(a), String(b)];
          return left < right ? -1 : left > right ? 1 : 0;
        };
        items.sort((a, b) => (compare ?? text)(a.seen, b.seen));
        reorder(list, items.map(({ raw }) => raw));
        return this;
      },
      reverse() {
        const list = listOf(this);
        reorder(list, list.slice().reverse());
        return this;
      },
      fill(value: unknown, start?: number, end?: number) {
        const list = listOf(this);
        const last = clamp(end, list.length, list.length);
        for (let i = clamp(start, list.length, 0); i < last; i++) set(list, String(i), value);
        return this;
      },
      copyWithin(target: number, start: number, end?: number) {
        const list = listOf(this);
        const from = list.slice(clamp(start, list.length, 0), clamp(end, list.length, list.length));
        const to = clamp(target, list.length, 0);
        from.slice(0, list.length - to).forEach((item, at) => set(list, String(to + at), item));
        return this;
      },
    };
  }
}

/** Whether two plain values say the same. Costs no more than the second is large. */
function isEqual(a: unknown, b: unknown): boolean {
  if (!isContainer(a) || !isContainer(b)) return Object.is(a, b);
  if (isArray(a) || isArray(b)) {
    return isArray(a) && isArray(b) && a.length === b.length && b.every((item, at) => isEqual(a[at], item));
  }
  const keys = Object.keys(b);
  return Object.keys(a).length === keys.length && keys.every((key) => hasOwn(a, key) && isEqual(a[key], b[key]));
}

/** Where an element is, which was at `near` when it was last seen; -1 if it is not there. */
function locate(list: unknown[], item: unknown, near: number): number {
  for (let distance = 0; near - distance >= 0 || near + distance < list.length; distance++) {
    if (list[near - distance] === item) return near - distance;
    if (list[near + distance] === item) return near + distance;
  }
  return -1;
}

/** As `splice`, for any number of items. */
function exchange(list: unknown[], start: number, count: number, items: unknown[]): unknown[] {
  if (items.length <= ARGUMENTS_MAX) return list.splice(start, count, ...items);
  const rest = list.splice(start);
  const removed = rest.splice(0, count);
  for (const item of items) list.push(item);
  for (const item of rest) list.push(item);
  return removed;
}
