// URL and URLSearchParams, over the host's parser.
(function (internals) {
  "use strict";

  const { native, tag, apply } = internals;
  const { Array, Object, Symbol, TypeError } = globalThis;
  const { defineProperty, getPrototypeOf } = Object;

  // A string without lone surrogates.
  const text = (value) => `${value}`.toWellFormed();

  // Places in the list of parts that the host gives.
  const [HREF, ORIGIN, , , , , , , , SEARCH] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

  class URLSearchParams {
    // Names and values, one after the other.
    #list = [];
    #changed;
    constructor(init = "") {
      if ((typeof init === "object" || typeof init === "function") && init !== null) {
        const iterate = init[Symbol.iterator];
        if (iterate !== undefined && iterate !== null) {
          if (typeof iterate !== "function") throw new TypeError("URLSearchParams: the list cannot be iterated");
          for (const pair of init) {
            const [...items] = pair;
            if (items.length !== 2) throw new TypeError("URLSearchParams: an entry is no pair of a name and a value");
            this.#list.push(text(items[0]), text(items[1]));
          }
        } else {
          const places = new Map();
          for (const key of Reflect.ownKeys(init)) {
            if (!Object.getOwnPropertyDescriptor(init, key)?.enumerable) continue;
            if (typeof key === "symbol") throw new TypeError("URLSearchParams: a symbol is no name");
            const name = text(key);
            const value = text(init[key]);
            // Two names may become one without their surrogates: the last one counts.
            if (places.has(name)) this.#list[places.get(name)] = value;
            else places.set(name, this.#list.push(name, value) - 1);
          }
        }
        return;
      }
      const query = text(init);
      this.#list = native.parseForm(query.startsWith("?") ? query.slice(1) : query);
    }
    // The parameters of a URL, which tell it of their changes.
    static of(query, changed) {
      const params = new URLSearchParams(query);
      params.#changed = changed;
      return params;
    }
    static replace(params, query) {
      params.#list = native.parseForm(query.startsWith("?") ? query.slice(1) : query);
    }
    static list(params) {
      return params.#list;
    }
    #update() {
      this.#changed?.(native.formText(this.#list));
    }
    get size() {
      return this.#list.length / 2;
    }
    append(name, value) {
      need(arguments, 2, "append");
      this.#list.push(text(name), text(value));
      this.#update();
    }
    delete(name, value = undefined) {
      need(arguments, 1, "delete");
      name = text(name);
      if (value !== undefined) value = text(value);
      const list = [];
      for (let i = 0; i < this.#list.length; i += 2) {
        if (this.#list[i] === name && (value === undefined || this.#list[i + 1] === value)) continue;
        list.push(this.#list[i], this.#list[i + 1]);
      }
      this.#list = list;
      this.#update();
    }
    get(name) {
      need(arguments, 1, "get");
      name = text(name);
      for (let i = 0; i < this.#list.length; i += 2) if (this.#list[i] === name) return this.#list[i + 1];
      return null;
    }
    getAll(name) {
      need(arguments, 1, "getAll");
      name = text(name);
      const values = [];
      for (let i = 0; i < this.#list.length; i += 2) if (this.#list[i] === name) values.push(this.#list[i + 1]);
      return values;
    }
    has(name, value = undefined) {
      need(arguments, 1, "has");
      name = text(name);
      if (value !== undefined) value = text(value);
      for (let i = 0; i < this.#list.length; i += 2) {
        if (this.#list[i] === name && (value === undefined || this.#list[i + 1] === value)) return true;
      }
      return false;
    }
    set(name, value) {
      need(arguments, 2, "set");
      name = text(name);
      value = text(value);
      const list = [];
      let found = false;
      for (let i = 0; i < this.#list.length; i += 2) {
        if (this.#list[i] !== name) list.push(this.#list[i], this.#list[i + 1]);
        else if (!found) {
          found = true;
          list.push(name, value);
        }
      }
      if (!found) list.push(name, value);
      this.#list = list;
      this.#update();
    }
    sort() {
      const pairs = [];
      for (let i = 0; i < this.#list.length; i += 2) pairs.push([this.#list[i], this.#list[i + 1]]);
      // By code units; the sort is stable.
      pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#list = pairs.flat();
      this.#update();
    }
    forEach(callback, self = undefined) {
      if (typeof callback !== "function") throw new TypeError("URLSearchParams.forEach: the callback is not a function");
      for (let i = 0; i < this.#list.length; i += 2) apply(callback, self, [this.#list[i + 1], this.#list[i], this]);
    }
    entries() {
      return iterator(this, (list, at) => [list[at], list[at + 1]]);
    }
    keys() {
      return iterator(this, (list, at) => list[at]);
    }
    values() {
      return iterator(this, (list, at) => list[at + 1]);
    }
    toString() {
      return native.formText(this.#list);
    }
  }
  const { of: paramsOf, replace, list: listOf } = URLSearchParams;
  for (const name of ["of", "replace", "list"]) delete URLSearchParams[name];
  tag(URLSearchParams, "URLSearchParams");
  defineProperty(URLSearchParams.prototype, Symbol.iterator, {
    value: URLSearchParams.prototype.entries,
    writable: true,
    enumerable: false,
    configurable: true,
  });
  const need = (args, count, method) => {
    if (args.length < count) throw new TypeError(`URLSearchParams.${method}: ${count} arguments are needed, not ${args.length}`);
  };

  // Iterators see what is changed meanwhile.
  const IteratorPrototype = getPrototypeOf(getPrototypeOf([][Symbol.iterator]()));
  class ParamsIterator {
    #params;
    #item;
    #at = 0;
    constructor(params, item) {
      this.#params = params;
      this.#item = item;
    }
    next() {
      const list = listOf(this.#params);
      if (this.#at >= list.length) return { value: undefined, done: true };
      const value = this.#item(list, this.#at);
      this.#at += 2;
      return { value, done: false };
    }
  }
  Object.setPrototypeOf(ParamsIterator.prototype, IteratorPrototype);
  tag(ParamsIterator, "URLSearchParams Iterator");
  delete ParamsIterator.prototype.constructor;
  const iterator = (params, item) => {
    listOf(params);
    return new ParamsIterator(params, item);
  };

  const parse = (url, base) => native.parseUrl(text(url), base === undefined ? undefined : text(base));

  class URL {
    #parts;
    #params;
    constructor(url, base = undefined) {
      if (arguments.length === 0) throw new TypeError("URL: one argument is needed, not 0");
      const parts = parse(url, base);
      if (!parts) throw new TypeError(`URL: ${internals.inspect.show(`${url}`)} is no URL`);
      this.#parts = parts;
    }
    static canParse(url, base = undefined) {
      if (arguments.length === 0) throw new TypeError("URL.canParse: one argument is needed, not 0");
      return parse(url, base) !== undefined;
    }
    static parse(url, base = undefined) {
      if (arguments.length === 0) throw new TypeError("URL.parse: one argument is needed, not 0");
      const parts = parse(url, base);
      return parts ? new URL(parts[HREF]) : null;
    }
    get href() {
      return this.#parts[HREF];
    }
    set href(value) {
      const parts = parse(value, undefined);
      if (!parts) throw new TypeError(`URL.href: ${internals.inspect.show(`${value}`)} is no URL`);
      this.#parts = parts;
      if (this.#params) replace(this.#params, parts[SEARCH]);
    }
    get origin() {
      return this.#parts[ORIGIN];
    }
    get searchParams() {
      this.#params ??= paramsOf(this.#parts[SEARCH], (query) => {
        this.#parts = native.setUrl(this.#parts[HREF], "search", query);
      });
      return this.#params;
    }
    toString() {
      return this.#parts[HREF];
    }
    toJSON() {
      return this.#parts[HREF];
    }
    static get(url, at) {
      return url.#parts[at];
    }
    static set(url, name, value) {
      url.#parts = native.setUrl(url.#parts[HREF], name, text(value));
      if (name === "search" && url.#params) replace(url.#params, url.#parts[SEARCH]);
    }
  }
  const { get: partOf, set: setPart } = URL;
  for (const name of ["get", "set"]) delete URL[name];
  ["protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"].forEach((name, at) => {
    const accessor = {
      get [name]() {
        return partOf(this, at + 2);
      },
      set [name](value) {
        setPart(this, name, value);
      },
    };
    const { get, set } = Object.getOwnPropertyDescriptor(accessor, name);
    defineProperty(URL.prototype, name, { get, set, enumerable: true, configurable: true });
  });
  tag(URL, "URL");

  return { URL, URLSearchParams };
});
