// node:util: values as Node shows them, and small helpers.
(function (node) {
  "use strict";

  const { native, badType, failure } = node;
  const { apply, ownKeys } = Reflect;
  const { getOwnPropertyDescriptor, getPrototypeOf, is } = Object;
  const custom = Symbol.for("nodejs.util.inspect.custom");
  const promisified = Symbol.for("nodejs.util.promisify.custom");
  const TypedArray = getPrototypeOf(Uint8Array);
  const tagOf = Object.getOwnPropertyDescriptor(TypedArray.prototype, Symbol.toStringTag).get;
  const functionText = Function.prototype.toString;

  const OPTIONS = {
    showHidden: false, depth: 2, colors: false, customInspect: true, showProxy: false, maxArrayLength: 100,
    maxStringLength: 10000, breakLength: 80, compact: 3, sorted: false, getters: false, numericSeparator: false,
  };

  // ---- text ----

  const ESCAPES = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\" };
  const quote = (text) => {
    let mark = "'";
    if (text.includes("'")) {
      if (!text.includes('"')) mark = '"';
      else if (!text.includes("`") && !text.includes("${")) mark = "`";
    }
    const escaped = text.replace(/[\0-\x1f\x7f-\x9f\\'"`]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, (character) => {
      if (character === "'" || character === '"' || character === "`") return character === mark ? `\\${character}` : character;
      const code = character.charCodeAt(0);
      if (code > 0xff) return `\\u${code.toString(16)}`;
      return ESCAPES[character] ?? `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`;
    });
    return `${mark}${escaped}${mark}`;
  };
  const IDENTIFIER = /^[A-Za-z_][\w]*$/;
  const keyText = (key) =>
    typeof key === "symbol" ? `[${String(key)}]` : key === "__proto__" ? "['__proto__']" : IDENTIFIER.test(key) ? key : quote(key);
  const numberText = (value) => (is(value, -0) ? "-0" : `${value}`);

  // Columns that a text takes on a terminal; wide and combining characters as far as it matters.
  const width = (text) => {
    if (!/[^\x20-\x7e]/.test(text)) return text.length;
    let columns = 0;
    for (const character of text.normalize("NFC")) {
      if (/\p{Mn}|\p{Me}|\p{Cf}|\p{Cc}/u.test(character)) continue;
      columns += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(character) ? 2 : 1;
    }
    return columns;
  };

  // ---- values ----

  const primitive = (value, state) => {
    switch (typeof value) {
      case "string": {
        const max = state.maxStringLength;
        let rest = "";
        if (max !== null && value.length > max) {
          const left = value.length - max;
          value = value.slice(0, max);
          rest = `... ${left} more character${left > 1 ? "s" : ""}`;
        }
        if (state.compact !== true && value.length > 16 && value.length > state.breakLength - state.indent - 4) {
          return value.split(/(?<=\n)/).map(quote).join(` +\n${" ".repeat(state.indent + 2)}`) + rest;
        }
        return quote(value) + rest;
      }
      case "number":
        return numberText(value);
      case "bigint":
        return `${value}n`;
      case "symbol":
        return String(value);
      default:
        return `${value}`;
    }
  };

  // The name of the constructor that made an object; null for none.
  const constructorOf = (value) => {
    for (let object = value; object !== null; object = getPrototypeOf(object)) {
      const found = getOwnPropertyDescriptor(object, "constructor");
      if (found && typeof found.value === "function" && found.value.name !== "" && value instanceof found.value) {
        return found.value.name;
      }
    }
    return null;
  };
  const prefixOf = (constructor, tag, fallback, size = "") => {
    if (constructor === null) {
      const shown = tag !== "" && tag !== fallback ? ` [${tag}]` : "";
      return `[${fallback}${size}: null prototype]${shown} `;
    }
    return `${constructor}${size} ${tag !== "" && tag !== constructor ? `[${tag}] ` : ""}`;
  };
  const tagged = (value, constructor) => {
    let tag;
    try {
      tag = value[Symbol.toStringTag];
    } catch {
      return "";
    }
    if (typeof tag !== "string" || tag === "" || tag === constructor) return "";
    // One of its own is shown as a property.
    if (getOwnPropertyDescriptor(value, Symbol.toStringTag)?.enumerable) return "";
    return tag;
  };

  const functionBase = (value, constructor, tag) => {
    const source = apply(functionText, value, []);
    if (source.startsWith("class") && source.endsWith("}")) {
      const own = getOwnPropertyDescriptor(value, "name");
      let base = `[class ${own && own.value ? own.value : "(anonymous)"}`;
      if (constructor !== "Function" && constructor !== null) base += ` [${constructor}]`;
      if (tag !== "" && constructor !== tag) base += ` [${tag}]`;
      const parent = constructor === null ? "null prototype" : getPrototypeOf(value).name;
      if (constructor === null) base += " extends null";
      else if (parent) base += ` extends ${parent}`;
      return `${base}]`;
    }
    let kind = "Function";
    if (/^async\s*(function)?\s*\*/.test(source)) kind = "AsyncGeneratorFunction";
    else if (/^async\b/.test(source) && constructor === "AsyncFunction") kind = "AsyncFunction";
    else if (constructor === "GeneratorFunction") kind = "GeneratorFunction";
    const name = typeof value.name === "string" && value.name !== "" ? `: ${value.name}` : " (anonymous)";
    let base = `[${kind}${constructor === null ? " (null prototype)" : ""}${name}]`;
    if (constructor !== kind && constructor !== null) base += ` ${constructor}`;
    if (tag !== "" && constructor !== tag) base += ` [${tag}]`;
    return base;
  };

  const frames = (stack) =>
    String(stack).split("\n").filter((line) => /^\s*at /.test(line) && !line.includes("peristyle:")).map((line) => `    ${line.trim()}`);

  const errorBase = (error, constructor, state, keys) => {
    const name = error.name !== undefined && error.name !== null ? `${error.name}` : "Error";
    const message = error.message !== undefined && error.message !== "" ? `: ${error.message}` : "";
    const shown = frames(error.stack);
    const named = constructor !== null && !name.includes(constructor) && name === "Error" && constructor !== "Object" ? constructor : name;
    const code = typeof error.code === "string" && keys.includes("code") && nodeMade(error) ? ` [${error.code}]` : "";
    const head = `${named}${code}${message}`;
    for (const key of ["name", "message", "stack"]) {
      const at = keys.indexOf(key);
      if (at >= 0 && (key === "stack" || String(head).includes(String(error[key])))) keys.splice(at, 1);
    }
    if (Object.hasOwn(error, "cause") && !keys.includes("cause")) keys.push("cause");
    if (Array.isArray(error.errors) && Object.hasOwn(error, "errors") && !keys.includes("errors")) keys.push("errors");
    const text = shown.length > 0 ? [head, ...shown].join("\n") : `[${head}]`;
    return state.indent === 0 ? text : text.replaceAll("\n", `\n${" ".repeat(state.indent)}`);
  };
  const nodeMade = (error) => /^ERR_/.test(error.code) && !Object.hasOwn(error, "syscall");

  const more = (left) => `... ${left} more item${left > 1 ? "s" : ""}`;

  const property = (state, value, key, depth, kind, found) => {
    const { enumerable, get, set, value: own } = found ?? getOwnPropertyDescriptor(value, key) ?? { value: value[key], enumerable: true };
    let text;
    if (get || set) {
      text = get ? (set ? "[Getter/Setter]" : "[Getter]") : "[Setter]";
    } else {
      state.indent += 2;
      text = show(state, own, depth);
      state.indent -= 2;
    }
    if (kind === "element") return text;
    const name = keyText(key);
    return `${enumerable === false ? `[${typeof key === "symbol" ? String(key) : key}]` : name}: ${text}`;
  };

  const arrayItems = (state, value, depth) => {
    const max = state.maxArrayLength ?? Infinity;
    const items = [];
    let at = 0;
    while (at < value.length && items.length < max) {
      if (Object.hasOwn(value, at)) {
        items.push(property(state, value, at, depth, "element"));
        at++;
        continue;
      }
      let end = at;
      while (end < value.length && !Object.hasOwn(value, end)) end++;
      items.push(`<${end - at} empty item${end - at > 1 ? "s" : ""}>`);
      at = end;
    }
    if (at < value.length) items.push(more(value.length - at));
    return items;
  };
  const viewItems = (state, value) => {
    const max = Math.min(state.maxArrayLength ?? Infinity, value.length);
    const items = [];
    for (let i = 0; i < max; i++) items.push(typeof value[i] === "bigint" ? `${value[i]}n` : numberText(value[i]));
    if (value.length > max) items.push(more(value.length - max));
    return items;
  };
  const setItems = (state, values, depth) => {
    const max = state.maxArrayLength ?? Infinity;
    state.indent += 2;
    const items = values.slice(0, max).map((value) => show(state, value, depth));
    state.indent -= 2;
    if (values.length > max) items.push(more(values.length - max));
    return items;
  };
  const mapItems = (state, entries, depth) => {
    const max = state.maxArrayLength ?? Infinity;
    state.indent += 2;
    const items = entries.slice(0, max).map(([key, value]) => `${show(state, key, depth)} => ${show(state, value, depth)}`);
    state.indent -= 2;
    if (entries.length > max) items.push(more(entries.length - max));
    return items;
  };
  const bufferItems = (state, value) => {
    let bytes;
    try {
      bytes = new Uint8Array(value);
    } catch {
      return ["(detached)"];
    }
    const shown = [...bytes.slice(0, Math.min(50, state.maxArrayLength ?? 50))].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const left = bytes.length - 50;
    return [`[Uint8Contents]: <${shown}${left > 0 ? ` ... ${left} more byte${left > 1 ? "s" : ""}` : ""}>`];
  };

  // Many short items of an array: in columns, numbers to the right.
  const inColumns = (state, items, value) => {
    const hasMore = value.length > state.maxArrayLength;
    const count = hasMore ? items.length - 1 : items.length;
    const widths = [];
    let total = 0;
    let widest = 0;
    for (let i = 0; i < count; i++) {
      widths.push(width(items[i]));
      total += widths[i] + 2;
      widest = Math.max(widest, widths[i]);
    }
    const column = widest + 2;
    if (column * 3 + state.indent >= state.breakLength || !(total / column > 5 || widest <= 6)) return items;
    const bias = Math.sqrt(column - total / items.length);
    const biased = Math.max(column - 3 - bias, 1);
    const columns = Math.min(
      Math.round(Math.sqrt(2.5 * biased * count) / biased),
      Math.floor((state.breakLength - state.indent) / column),
      state.compact * 4,
      15,
    );
    if (columns <= 1) return items;
    const columnWidths = [];
    for (let first = 0; first < columns; first++) {
      let most = 0;
      for (let i = first; i < count; i += columns) most = Math.max(most, widths[i]);
      columnWidths.push(most + 2);
    }
    let right = true;
    for (let i = 0; i < items.length && right; i++) right = typeof value[i] === "number" || typeof value[i] === "bigint";
    const lines = [];
    for (let first = 0; first < count; first += columns) {
      const end = Math.min(first + columns, count);
      let line = "";
      for (let i = first; i < end - 1; i++) {
        const cell = `${items[i]}, `;
        const spaces = " ".repeat(columnWidths[i - first] - widths[i] - 2);
        line += right ? spaces + cell : cell + spaces;
      }
      const last = end - 1;
      line += right ? " ".repeat(columnWidths[last - first] - 2 - widths[last]) + items[last] : items[last];
      lines.push(line);
    }
    if (hasMore) lines.push(items[count]);
    return lines;
  };

  const joined = (state, items, base, open, close, isArray, depth, value) => {
    const count = items.length;
    if (isArray && count > 6) items = inColumns(state, items, value);
    if (state.deepest - depth < state.compact && count === items.length) {
      // One line, if it is short and holds no more than three levels.
      const start = items.length + state.indent + open.length + base.length + 10;
      let total = items.length + start;
      let fits = total + items.length <= state.breakLength;
      for (let i = 0; fits && i < items.length; i++) {
        total += items[i].length;
        fits = total <= state.breakLength;
      }
      if (fits && !base.includes("\n")) {
        const line = items.join(", ");
        if (!line.includes("\n")) return `${base ? `${base} ` : ""}${open} ${line} ${close}`;
      }
    }
    const indentation = `\n${" ".repeat(state.indent)}`;
    return `${base ? `${base} ` : ""}${open}${indentation}  ${items.join(`,${indentation}  `)}${indentation}${close}`;
  };

  const show = (state, value, depth) => {
    if ((typeof value !== "object" || value === null) && typeof value !== "function") return primitive(value, state);
    if (state.customInspect) {
      const own = value[custom];
      if (typeof own === "function" && own !== inspect) {
        const left = state.depth === null ? null : state.depth - depth;
        const shown = apply(own, value, [left, { ...state.options, depth: left }, inspect]);
        if (shown !== value) {
          return typeof shown === "object" && shown !== null ? show(state, shown, depth) : `${shown}`.replaceAll("\n", `\n${" ".repeat(state.indent)}`);
        }
      }
    }
    if (state.seen.includes(value)) {
      if (!state.circular.has(value)) state.circular.set(value, state.circular.size + 1);
      return `[Circular *${state.circular.get(value)}]`;
    }
    return raw(state, value, depth);
  };

  const raw = (state, value, depth) => {
    const constructor = constructorOf(value);
    const tag = tagged(value, constructor);
    let keys = state.showHidden
      ? ownKeys(value)
      : ownKeys(value).filter((key) => getOwnPropertyDescriptor(value, key)?.enumerable);
    let base = "";
    let open = "{";
    let close = "}";
    let items = () => [];
    let isArray = false;
    const strip = (length) => {
      keys = keys.filter((key) => typeof key === "symbol" || !/^(0|[1-9]\d*)$/.test(key) || +key >= length);
    };

    if (Array.isArray(value)) {
      isArray = true;
      const prefix = constructor !== "Array" || tag !== "" ? prefixOf(constructor, tag, "Array", `(${value.length})`) : "";
      keys = keys.filter((key) => key !== "length" || state.showHidden);
      strip(value.length);
      [open, close] = [`${prefix}[`, "]"];
      if (value.length === 0 && keys.length === 0) return `${open}]`;
      items = () => arrayItems(state, value, depth + 1);
    } else if (value instanceof Set && typeof value.size === "number") {
      const values = [...Set.prototype.values.call(value)];
      open = `${prefixOf(constructor, tag, "Set", `(${values.length})`)}{`;
      if (values.length === 0 && keys.length === 0) return `${open}}`;
      items = () => setItems(state, values, depth + 1);
    } else if (value instanceof Map && typeof value.size === "number") {
      const entries = [...Map.prototype.entries.call(value)];
      open = `${prefixOf(constructor, tag, "Map", `(${entries.length})`)}{`;
      if (entries.length === 0 && keys.length === 0) return `${open}}`;
      items = () => mapItems(state, entries, depth + 1);
    } else if (apply(tagOf, value, []) !== undefined) {
      const kind = apply(tagOf, value, []);
      isArray = true;
      [open, close] = [`${prefixOf(constructor, tag === kind ? "" : tag, kind, `(${value.length})`)}[`, "]"];
      strip(value.length);
      if (value.length === 0 && keys.length === 0) return `${open}]`;
      items = () => viewItems(state, value);
    } else if (value instanceof ArrayBuffer || (globalThis.SharedArrayBuffer && value instanceof SharedArrayBuffer)) {
      open = `${prefixOf(constructor, tag, "ArrayBuffer")}{`;
      items = () => [...bufferItems(state, value), `byteLength: ${value.byteLength}`];
    } else if (value instanceof DataView) {
      open = `${prefixOf(constructor, tag, "DataView")}{`;
      items = () => ["byteLength", "byteOffset", "buffer"].map((key) => property(state, { [key]: value[key] }, key, depth + 1));
    } else if (typeof value === "function") {
      base = functionBase(value, constructor, tag);
      if (keys.length === 0) return base;
    } else if (value instanceof RegExp) {
      base = RegExp.prototype.toString.call(value);
      if (keys.length === 0) return base;
    } else if (value instanceof Date) {
      base = Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
      if (keys.length === 0) return base;
    } else if (value instanceof Error) {
      base = errorBase(value, constructor, state, keys);
      if (keys.length === 0) return base;
    } else if (value instanceof Promise) {
      open = `${prefixOf(constructor, tag, "Promise")}{`;
      const [settled, result] = native.promise(value);
      items = () => {
        if (settled === "pending") return ["<pending>"];
        state.indent += 2;
        const text = show(state, result, depth + 1);
        state.indent -= 2;
        return [settled === "rejected" ? `<rejected> ${text}` : text];
      };
    } else if (value instanceof WeakSet || value instanceof WeakMap) {
      open = `${prefixOf(constructor, tag, value instanceof WeakSet ? "WeakSet" : "WeakMap")}{`;
      items = () => ["<items unknown>"];
    } else if (value instanceof WeakRef) {
      open = `${prefixOf(constructor, tag, "WeakRef")}{`;
      items = () => [show(state, value.deref(), depth + 1)];
    } else if (value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt || value instanceof Symbol) {
      const kind = value instanceof Number ? "Number" : value instanceof String ? "String" : value instanceof Boolean ? "Boolean" : value instanceof BigInt ? "BigInt" : "Symbol";
      base = `[${kind}${kind === constructor ? "" : ` (${constructor})`}: ${primitive(value.valueOf(), { ...state, breakLength: Infinity })}]`;
      if (kind === "String") {
        strip(value.length);
        keys = keys.filter((key) => key !== "length");
      }
      if (keys.length === 0) return base;
    } else if (tag === "Module") {
      open = constructor === null ? "[Module: null prototype] {" : `${prefixOf(constructor, tag, "Module")}{`;
    } else {
      if (Object.prototype.toString.call(value) === "[object Arguments]") {
        open = "[Arguments] {";
      } else {
        if (constructor !== "Object" || tag !== "") open = `${prefixOf(constructor, tag, "Object")}{`;
        if (keys.length === 0) return `${open}}`;
      }
    }

    if (state.depth !== null && depth > state.depth) {
      return Array.isArray(value) ? "[Array]" : `[${prefixOf(constructor, tag, "Object").slice(0, -1)}]`;
    }
    state.seen.push(value);
    state.deepest = depth;
    const output = items();
    if (state.sorted) keys.sort(typeof state.sorted === "function" ? state.sorted : undefined);
    for (const key of keys) output.push(property(state, value, key, depth + 1));
    state.seen.pop();
    if (state.circular.has(value)) {
      const reference = `<ref *${state.circular.get(value)}>`;
      if (base === "") open = `${reference} ${open}`;
      else base = `${reference} ${base}`;
    }
    return joined(state, output, base, open, close, isArray, depth, value);
  };

  const inspect = (value, options) => {
    if (typeof options !== "object" || options === null) options = options === undefined ? {} : { showHidden: !!options };
    const known = { ...OPTIONS };
    for (const key of Object.keys(options)) if (options[key] !== undefined || key === "depth") known[key] = options[key];
    if (known.depth === Infinity || known.depth === undefined) known.depth = null;
    const state = { ...known, options: known, indent: 0, deepest: 0, seen: [], circular: new Map() };
    if (state.maxArrayLength === null) state.maxArrayLength = Infinity;
    return show(state, value, 0);
  };
  inspect.custom = custom;
  inspect.defaultOptions = OPTIONS;

  // ---- lines ----

  const plainText = (value) => {
    if (typeof value === "string") return value;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "number") return numberText(value);
    if (typeof value === "object" && value !== null) {
      // Objects with a text of their own show it.
      const own = !Object.hasOwn(value, "toString") && (value instanceof Error || isBuiltinText(value)) ? undefined : value.toString;
      if (typeof own === "function") return String(value);
      return inspect(value, { depth: 0, colors: false, compact: 3 });
    }
    return String(value);
  };
  const isBuiltinText = (value) => {
    let object = value;
    while (object !== null && !Object.hasOwn(object, "toString")) object = getPrototypeOf(object);
    return object === null || object === Object.prototype || object === Array.prototype || object === Date.prototype || object === RegExp.prototype || object === Function.prototype;
  };
  const formatWithOptions = (options, ...args) => {
    const [first] = args;
    let line = "";
    let at = 0;
    if (typeof first === "string") {
      if (args.length === 1) return first;
      at = 1;
      line = first.replace(/%([sdifjoOc%])/g, (whole, kind) => {
        if (kind === "%") return "%";
        if (at >= args.length) return whole;
        const value = args[at++];
        switch (kind) {
          case "s":
            return plainText(value);
          case "d":
            return typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : numberText(Number(value));
          case "i":
            return typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : numberText(Number.parseInt(value));
          case "f":
            return typeof value === "symbol" ? "NaN" : numberText(Number.parseFloat(value));
          case "j":
            try {
              return JSON.stringify(value);
            } catch (error) {
              if (/cyclic|circular/.test(error.message)) return "[Circular]";
              throw error;
            }
          case "o":
            return inspect(value, { ...options, showHidden: true, showProxy: true, depth: 4 });
          case "O":
            return inspect(value, options);
          default:
            return "";
        }
      });
    }
    for (let i = at; i < args.length; i++) {
      if (i > 0) line += " ";
      line += typeof args[i] === "string" ? args[i] : inspect(args[i], options);
    }
    return line;
  };
  const format = (...args) => formatWithOptions({}, ...args);

  // ---- console ----

  const LEVELS = { debug: 0, log: 1, info: 2, warn: 3, error: 4 };
  const duration = (ms) => {
    if (ms >= 1000) return `${(ms / 1000).toFixed(3)}s`;
    return `${Number(ms.toFixed(3))}ms`;
  };
  const tableOf = (head, rows) => {
    const widths = head.map((name, at) => Math.max(width(name), ...rows.map((row) => width(row[at]))) + 2);
    const cells = (row) => row.map((text, at) => ` ${text}${" ".repeat(widths[at] - width(text) - 1)}`);
    const rule = (left, middle, right) => left + widths.map((count) => "─".repeat(count)).join(middle) + right;
    const line = (row) => `│${cells(row).join("│")}│`;
    return [rule("┌", "┬", "┐"), line(head), rule("├", "┼", "┤"), ...rows.map(line), rule("└", "┴", "┘")].join("\n");
  };
  const makeConsole = () => {
    const { first, control } = node;
    let indent = "";
    const counts = new Map();
    const times = new Map();
    const print = (level, text) => {
      if (indent) text = `${indent}${text.replaceAll("\n", `\n${indent}`)}`;
      const stream = LEVELS[level] >= LEVELS.warn ? "stderr" : "stdout";
      if (control && first[stream]) control.postMessage({ [stream]: `${text}\n` });
      else native.print(LEVELS[level], text);
    };
    const line = (level) => ({ [level]: (...args) => print(level, format(...args)) })[level];
    const console = {
      log: line("log"), warn: line("warn"), error: line("error"), info: line("info"), debug: line("debug"),
      dir: (value, options) => print("log", inspect(value, { customInspect: false, ...options })),
      dirxml: (...args) => console.log(...args),
      assert(worked, ...args) {
        if (worked) return;
        if (typeof args[0] === "string") args[0] = `Assertion failed: ${args[0]}`;
        else args.unshift(args.length > 0 ? "Assertion failed:" : "Assertion failed");
        console.warn(...args);
      },
      trace(...args) {
        const at = frames(new Error().stack);
        console.error([`Trace${args.length > 0 ? `: ${format(...args)}` : ""}`, ...at].join("\n"));
      },
      count(label = "default") {
        counts.set(`${label}`, (counts.get(`${label}`) ?? 0) + 1);
        console.log(`${label}: ${counts.get(`${label}`)}`);
      },
      countReset: (label = "default") => void counts.delete(`${label}`),
      time: (label = "default") => void (times.has(`${label}`) || times.set(`${label}`, native.now())),
      timeLog(label = "default", ...args) {
        if (times.has(`${label}`)) console.log(`${label}: ${duration(native.now() - times.get(`${label}`))}`, ...args);
      },
      timeEnd(label = "default") {
        console.timeLog(label);
        times.delete(`${label}`);
      },
      group(...args) {
        if (args.length > 0) console.log(...args);
        indent += "  ";
      },
      groupEnd: () => void (indent = indent.slice(2)),
      table(data, columns) {
        if (typeof data !== "object" || data === null) return console.log(data);
        const shown = (value) => inspect(value, { depth: typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 2 ? -1 : 0, maxArrayLength: 3, breakLength: Infinity });
        const isMap = data instanceof Map;
        const entries = isMap ? [...data].map(([key, value], at) => [`${at}`, value, key]) : data instanceof Set ? [...data].map((value, at) => [`${at}`, value]) : Object.entries(data);
        const names = new Set();
        let hasValues = false;
        const rows = entries.map(([key, value, mapKey]) => {
          const row = { key, mapKey, cells: {} };
          if (isMap || typeof value !== "object" || value === null) {
            row.value = shown(value);
            hasValues = true;
          } else {
            for (const name of columns ?? Object.keys(value)) {
              names.add(name);
              row.cells[name] = Object.hasOwn(value, name) ? shown(value[name]) : "";
            }
          }
          return row;
        });
        const head = [isMap || data instanceof Set ? "(iteration index)" : "(index)", ...(isMap ? ["Key"] : []), ...names, ...(hasValues ? ["Values"] : [])];
        console.log(
          tableOf(head, rows.map((row) => [
            row.key, ...(isMap ? [shown(row.mapKey)] : []), ...[...names].map((name) => row.cells[name] ?? ""), ...(hasValues ? [row.value ?? ""] : []),
          ])),
        );
      },
    };
    console.groupCollapsed = console.group;
    return console;
  };

  // ---- helpers ----

  const promisify = (original) => {
    if (typeof original !== "function") throw badType("original", "of type function", original);
    if (original[promisified]) return original[promisified];
    const wrapped = function (...args) {
      return new Promise((resolve, reject) => {
        apply(original, this, [...args, (error, ...values) => (error ? reject(error) : resolve(values[0]))]);
      });
    };
    Object.setPrototypeOf(wrapped, getPrototypeOf(original));
    return Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original));
  };
  promisify.custom = promisified;
  const callbackify = (original) =>
    function (...args) {
      const callback = args.pop();
      apply(original, this, args).then(
        (value) => node.nextTick(callback, null, value),
        (error) => node.nextTick(callback, error ?? failure(Error, "ERR_FALSY_VALUE_REJECTION", "Promise was rejected with falsy value")),
      );
    };
  const inherits = (constructor, parent) => {
    Object.defineProperty(constructor, "super_", { value: parent, writable: true, configurable: true });
    Object.setPrototypeOf(constructor.prototype, parent.prototype);
  };
  const deprecate = (original, message, code) => {
    let told = false;
    return function (...args) {
      if (!told) node.process.emitWarning(message, "DeprecationWarning", code);
      told = true;
      return new.target ? Reflect.construct(original, args, new.target) : apply(original, this, args);
    };
  };

  const deepEqual = (one, other, strict, pairs = []) => {
    if (strict ? is(one, other) : one == other || (one !== one && other !== other)) return true;
    if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
    if (strict && getPrototypeOf(one) !== getPrototypeOf(other)) return false;
    if (Array.isArray(one) !== Array.isArray(other)) return false;
    const kind = (value) => Object.prototype.toString.call(value);
    if (kind(one) !== kind(other)) return false;
    if (pairs.some(([a, b]) => a === one && b === other)) return true;
    pairs = [...pairs, [one, other]];
    const same = (a, b) => deepEqual(a, b, strict, pairs);
    if (one instanceof Date && !(one.getTime() === other.getTime())) return false;
    if (one instanceof RegExp && String(one) !== String(other)) return false;
    if (one instanceof Error && (one.message !== other.message || one.name !== other.name)) return false;
    if (one instanceof Number || one instanceof String || one instanceof Boolean || one instanceof BigInt) {
      if (!is(one.valueOf(), other.valueOf())) return false;
    }
    if (one instanceof ArrayBuffer) [one, other] = [new Uint8Array(one), new Uint8Array(other)];
    if (one instanceof Set || one instanceof Map) {
      if (one.size !== other.size) return false;
      const left = [...other];
      for (const item of one) {
        const at = left.findIndex((candidate) => same(item, candidate));
        if (at < 0) return false;
        left.splice(at, 1);
      }
    }
    const keysOf = (value) => ownKeys(value).filter((key) => getOwnPropertyDescriptor(value, key).enumerable && (strict || typeof key === "string"));
    const keys = keysOf(one);
    if (keys.length !== keysOf(other).length || (Array.isArray(one) && one.length !== other.length)) return false;
    return keys.every((key) => Object.hasOwn(other, key) && same(one[key], other[key]));
  };

  const kindIs = (kind) => (value) => Object.prototype.toString.call(value) === `[object ${kind}]`;
  const types = {
    isPromise: (value) => value instanceof Promise,
    isDate: (value) => value instanceof Date,
    isRegExp: (value) => value instanceof RegExp,
    isMap: (value) => value instanceof Map,
    isSet: (value) => value instanceof Set,
    isWeakMap: (value) => value instanceof WeakMap,
    isWeakSet: (value) => value instanceof WeakSet,
    isNativeError: (value) => value instanceof Error,
    isArrayBuffer: (value) => value instanceof ArrayBuffer,
    isSharedArrayBuffer: (value) => !!globalThis.SharedArrayBuffer && value instanceof SharedArrayBuffer,
    isAnyArrayBuffer: (value) => types.isArrayBuffer(value) || types.isSharedArrayBuffer(value),
    isArrayBufferView: (value) => ArrayBuffer.isView(value),
    isTypedArray: (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
    isUint8Array: (value) => value instanceof Uint8Array,
    isDataView: (value) => value instanceof DataView,
    isAsyncFunction: kindIs("AsyncFunction"),
    isGeneratorFunction: kindIs("GeneratorFunction"),
  };

  const exports = {
    inspect, format, formatWithOptions, promisify, callbackify, inherits, deprecate, types,
    isDeepStrictEqual: (one, other) => deepEqual(one, other, true),
    stripVTControlCharacters: (text) => text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, ""),
    isArray: Array.isArray,
  };
  for (const name of ["TextEncoder", "TextDecoder"]) if (globalThis[name]) exports[name] = globalThis[name];
  // For other modules of ours.
  const own = { makeConsole, deepEqual };
  for (const key of Object.keys(own)) Object.defineProperty(exports, key, { value: own[key] });
  return exports;
});
