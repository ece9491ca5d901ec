// How `console` shows values, in realms of jobs and of spawned agents. Evaluates to { format, show }: the first makes a line
// of a call's arguments, the second shows one value.
(function () {
  "use strict";

  const { Array, ArrayBuffer, Date, Error, JSON, Map, Number, Object, Promise, Reflect, RegExp, Set, String } = globalThis;
  const { ownKeys } = Reflect;
  const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const typedArray = getPrototypeOf(Uint8Array);
  const isView = (value) => value instanceof typedArray;

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
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
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

  return { format, show: (value) => text(value, 0) };
})();
