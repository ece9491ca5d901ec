// The modules of the mirror protocol's reference app.
import { defineModule } from "peristyle";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = (string | number)[];

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export class Counter {
  count = 0;
  label: Json = "zero";

  increase(step = 1): number {
    this.count += step;
    return this.count;
  }
  both(count: number, label: Json): null {
    this.count = count;
    this.label = label;
    return null;
  }
  noop(): null {
    return null;
  }
  async failAfter(message: string): Promise<never> {
    await wait(5);
    this.count += 1;
    throw new Error(message);
  }
  failBefore(message: string): never {
    this.count += 1;
    throw new TypeError(message);
  }
  async slow(ms: number, step: number): Promise<number> {
    await wait(ms);
    this.count += step;
    return this.count;
  }
  async steps(n: number): Promise<number> {
    for (let i = 0; i < n; i++) {
      this.count += 1;
      await null;
    }
    return n;
  }
  peek(): number {
    return this.count;
  }
  hidden(): number {
    return this.count;
  }
}

class List {
  items: Json[] = [];

  fill(n: number): number {
    this.items = Array.from({ length: n }, (_, id) => ({ id, x: 0, y: 0 }));
    return n;
  }
  append(...values: Json[]): number {
    return this.items.push(...values);
  }
  insert(index: number, value: Json): number {
    this.items.splice(index, 0, value);
    return this.items.length;
  }
  removeAt(index: number): number {
    this.items.splice(index, 1);
    return this.items.length;
  }
  put(index: number, value: Json): null {
    this.items[index] = value;
    return null;
  }
  replaceAll(values: Json[]): null {
    if (!Array.isArray(values)) throw new TypeError("values are a list");
    this.items = values;
    return null;
  }
  touch(start: number, stride: number, count: number): number {
    const { items } = this;
    for (let k = 0; k < count; k++) {
      const item = items[(start + k * stride) % items.length] as { x: number; y: number };
      item.x += 1;
      item.y -= 1;
    }
    return count;
  }
}

class Doc {
  root: { [key: string]: Json } = {};

  #container(path: Path): [Record<string, Json>, string | number] {
    if (path.length === 0) throw new TypeError("a path below the root");
    let at: Json = this.root;
    for (const step of path.slice(0, -1)) {
      if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) throw new TypeError(`there is no ${step} on the way`);
      at = (at as Record<string, Json>)[step];
    }
    if (typeof at !== "object" || at === null) throw new TypeError(`nothing to set ${path.at(-1)} in`);
    return [at as Record<string, Json>, path.at(-1) as string | number];
  }
  put(path: Path, value: Json): null {
    const [container, key] = this.#container(path);
    container[key] = value;
    return null;
  }
  del(path: Path): null {
    const [container, key] = this.#container(path);
    if (Array.isArray(container)) container.splice(Number(key), 1);
    else delete container[key];
    return null;
  }
  echo(value: Json): Json {
    return value;
  }
}

class Secret {
  token: Json = "initial";

  rotate(token: Json): Json {
    this.token = token;
    return token;
  }
}

export const providers = [
  defineModule(Counter, {
    name: "counter",
    state: ["count", "label"],
    actions: ["increase", "both", "noop", "failAfter", "failBefore", "slow", "steps"],
  }),
  defineModule(List, {
    name: "list",
    state: ["items"],
    actions: ["fill", "append", "insert", "removeAt", "put", "replaceAll", "touch"],
  }),
  defineModule(Doc, { name: "doc", state: ["root"], actions: ["put", "del", "echo"] }),
  defineModule(Secret, { name: "secret", state: ["token"], actions: ["rotate"] }),
];

export const expose = { counter: ["peek"] };
