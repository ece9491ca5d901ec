// Runs first in every realm: gives it a console, takes its clock and its randomness.
// Evaluates to a function of the host's natives, of whether the realm has shared memory, and of what `inspect.js` gives,
// that returns [describe, freeze, compile, link]; the last two in shared realms only.
(function (print, shared, inspect) {
  "use strict";

  const { format, show } = inspect;
  const { Error, Object, Reflect, String, TypeError } = globalThis;
  const { apply, ownKeys } = Reflect;
  const { freeze, getOwnPropertyDescriptor, defineProperty } = Object;

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
    return [thrown === null ? "null" : typeof thrown, `uncaught ${show(thrown)}`, ""];
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
