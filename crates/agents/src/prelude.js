// Runs first in every realm: gives it a console, takes its clock and its randomness.
// Evaluates to a function of the host's natives, and of whether the realm has shared memory, that returns
// [describe, freeze, compile, link]; the last two in shared realms only.
(function (print, shared) {
  "use strict";

  const { Array, BigInt, Error, JSON, Map, Number, Object, Reflect, Set, String, Symbol, TypeError } = globalThis;
  const { apply, ownKeys } = Reflect;
  const { freeze, getOwnPropertyDescriptor, getPrototypeOf, defineProperty } = Object;
  const typedArray = getPrototypeOf(Uint8Array);
  const isView = (value) => value instanceof typedArray;

  // ---- the clock, randomness, and what needs an event loop ----

  const forbid = (what, rule) => {
    const name = what.slice(what.lastIndexOf(".") + 1);
    return {
      [name](...args) {
        throw new TypeError(`${what}: a job has no ${rule} but what it is given`);
      },
    }[name];
  };
  const put = (object, name, value) =>
    defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });

  put(Math, "random", forbid("Math.random", "randomness"));

  const RealDate = globalThis.Date;
  const noDate = forbid("Date", "clock");
  const Date = function Date(...args) {
    if (!new.target || args.length === 0) noDate();
    return Reflect.construct(RealDate, args, new.target === Date ? RealDate : new.target);
  };
  for (const name of ["parse", "UTC"]) put(Date, name, RealDate[name]);
  put(Date, "now", forbid("Date.now", "clock"));
  defineProperty(Date, "prototype", { value: RealDate.prototype, writable: false });
  put(RealDate.prototype, "constructor", Date);
  defineProperty(Date, "length", { value: 7 });
  put(globalThis, "Date", Date);

  // These two are half of what it takes to make a realm. They cannot wait until somebody asks for them: the engine makes
  // them behind a job's back, too.
  const { Now } = Temporal;
  for (const name of ownKeys(Now)) {
    if (typeof Now[name] === "function") put(Now, name, forbid(`Temporal.Now.${name}`, "clock"));
  }
  {
    const format = Intl.DateTimeFormat.prototype;
    const noFormat = forbid("Intl.DateTimeFormat", "clock");
    const { get } = getOwnPropertyDescriptor(format, "format");
    defineProperty(format, "format", {
      get() {
        const real = apply(get, this, []);
        return (date) => (date === undefined ? noFormat() : real(date));
      },
      configurable: true,
    });
    const parts = format.formatToParts;
    put(format, "formatToParts", function formatToParts(date) {
      return date === undefined ? noFormat() : apply(parts, this, [date]);
    });
  }
  // Kernels are jobs of their own: what jobs in JavaScript could do with WebAssembly needs an event loop, and so does what
  // `Atomics` could wait for.
  const { Global, Instance, Module, Table } = shared ? WebAssembly : {};
  if (shared) delete Atomics.waitAsync;
  // The collector's timing is neither given nor reproducible.
  const absent = ["WeakRef", "FinalizationRegistry", "WebAssembly"];
  if (!shared) absent.push("Atomics", "SharedArrayBuffer");
  for (const name of absent) delete globalThis[name];

  // ---- console ----

  const ITEMS_MAX = 100;
  const DEPTH_MAX = 3;
  const TEXT_MAX = 16384;

  const quote = (text) => JSON.stringify(text);
  const identifier = /^[A-Za-z_$][\w$]*$/;
  const key = (name) =>
    typeof name === "symbol" ? `[${String(name)}]` : identifier.test(name) ? name : quote(name);

  const nameOf = (value) => {
    const prototype = getPrototypeOf(value);
    if (prototype === null) return "[Object: null prototype]";
    const constructor = getOwnPropertyDescriptor(prototype, "constructor")?.value;
    const name = typeof constructor === "function" ? getOwnPropertyDescriptor(constructor, "name")?.value : undefined;
    return typeof name === "string" ? name : "Object";
  };

  const frames = (stack) =>
    String(stack)
      .split("\n")
      .filter((line) => /^ *at /.test(line) && !line.includes("peristyle:"))
      .map((line) => `\n    ${line.trim()}`)
      .join("");

  const inspect = (value, depth, seen, budget) => {
    switch (typeof value) {
      case "string":
        return depth === 0 ? value : quote(value);
      case "bigint":
        return `${value}n`;
      case "number":
        return Object.is(value, -0) ? "-0" : `${value}`;
      case "symbol":
        return String(value);
      case "function":
        return `[Function: ${getOwnPropertyDescriptor(value, "name")?.value || "(anonymous)"}]`;
      case "object":
        if (value !== null) break;
      default:
        return `${value}`;
    }
    if (budget.left <= 0) return "…";
    if (seen.includes(value)) return "[Circular]";
    if (value instanceof Error) return `${value.name}: ${value.message}${frames(value.stack)}`;
    if (value instanceof RealDate) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
    if (value instanceof RegExp) return String(value);
    const name = nameOf(value);
    if (depth > DEPTH_MAX) return Array.isArray(value) ? "[Array]" : `[${name}]`;

    const inner = [...seen, value];
    const show = (item) => {
      const text = inspect(item, depth + 1, inner, budget);
      budget.left -= text.length;
      return text;
    };
    const list = (count, at) => {
      const items = [];
      for (let i = 0; i < count && i < ITEMS_MAX && budget.left > 0; i++) items.push(at(i));
      if (count > items.length) items.push(`… ${count - items.length} more`);
      return items;
    };
    const property = (name) => {
      const found = getOwnPropertyDescriptor(value, name);
      return found.get || found.set ? `${key(name)}: [Getter]` : `${key(name)}: ${show(found.value)}`;
    };
    const wrap = (open, items, close) => {
      if (items.length === 0) return `${open}${close}`;
      const line = items.join(", ");
      const pad = open === "[" || open.endsWith("[") ? "" : " ";
      return `${open}${pad}${line}${pad}${close}`;
    };

    if (Array.isArray(value)) return wrap("[", list(value.length, (i) => (i in value ? show(value[i]) : "<empty>")), "]");
    if (isView(value)) return wrap(`${name}(${value.length}) [`, list(value.length, (i) => show(value[i])), "]");
    if (value instanceof ArrayBuffer) return `ArrayBuffer { byteLength: ${value.byteLength} }`;
    if (value instanceof Map) {
      const entries = [...value];
      return wrap(`Map(${entries.length}) {`, list(entries.length, (i) => entries[i].map(show).join(" => ")), "}");
    }
    if (value instanceof Set) {
      const entries = [...value];
      return wrap(`Set(${entries.length}) {`, list(entries.length, (i) => show(entries[i])), "}");
    }
    if (value instanceof Promise) return "Promise {}";
    const names = ownKeys(value).filter((name) => getOwnPropertyDescriptor(value, name)?.enumerable);
    return wrap(name === "Object" ? "{" : `${name} {`, list(names.length, (i) => property(names[i])), "}");
  };

  const text = (value, depth) => {
    try {
      return inspect(value, depth, [], { left: TEXT_MAX });
    } catch {
      return "[cannot be shown]";
    }
  };

  const format = (args) => {
    let rest = args;
    let line = "";
    if (typeof args[0] === "string") {
      let at = 1;
      line = args[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
        if (kind === "%") return "%";
        if (at >= args.length) return whole;
        const value = args[at++];
        switch (kind) {
          case "s":
            return text(value, 0);
          case "d":
            return typeof value === "bigint" ? `${value}n` : typeof value === "object" ? "NaN" : `${Number(value)}`;
          case "i":
            return typeof value === "bigint" ? `${value}n` : `${Number.parseInt(value)}`;
          case "f":
            return `${Number.parseFloat(value)}`;
          case "j":
            return JSON.stringify(value);
          case "c":
            return "";
          default:
            return text(value, 1);
        }
      });
      rest = args.slice(at);
      if (rest.length > 0) line += " ";
    }
    line += rest.map((value) => text(value, 0)).join(" ");
    return line.length > TEXT_MAX ? `${line.slice(0, TEXT_MAX)}…` : line;
  };

  const console = {};
  ["debug", "log", "info", "warn", "error"].forEach((name, level) => {
    console[name] = { [name](...args) { print(level, format(args)); } }[name];
  });
  put(globalThis, "console", console);

  // ---- for the host ----

  // What was thrown: [name, message, stack].
  const describe = (thrown) => {
    try {
      if (thrown instanceof Error) return [String(thrown.name), String(thrown.message), String(thrown.stack)];
    } catch {
      return ["Error", "its properties throw", ""];
    }
    return [thrown === null ? "null" : typeof thrown, `uncaught ${text(thrown, 0)}`, ""];
  };

  // A parsed JSON value, frozen to its leaves.
  const deepFreeze = (value) => {
    const open = [value];
    while (open.length > 0) {
      const next = open.pop();
      if (typeof next !== "object" || next === null) continue;
      freeze(next);
      for (const name of ownKeys(next)) open.push(next[name]);
    }
    return value;
  };

  if (!shared) return [describe, deepFreeze];

  const compile = (bytes) => new Module(bytes);

  // An instance of a kernel, as [handle, its stack pointer]. Static data, if it has any, lies at `data`.
  const link = (module, memory, stackTop, data, elements) => {
    const global = (value, mutable) => new Global({ value: "i32", mutable }, value);
    const imported = global(stackTop, true);
    const env = {
      memory,
      __stack_pointer: imported,
      __memory_base: global(data, false),
      __table_base: global(0, false),
      __indirect_function_table: new Table({ element: "anyfunc", initial: elements }),
    };
    const { exports } = new Instance(module, { env });
    const exported = exports.__stack_pointer;
    if (exported) exported.value = stackTop;
    // What a dynamic linker does.
    exports.__wasm_apply_data_relocs?.();
    exports.__wasm_call_ctors?.();
    return [exports.handle, exported ?? imported];
  };

  return [describe, deepFreeze, compile, link];
});
