// What Node's modules share, and Node's manners. Evaluates to a part (see `scripts.rs`): it is given the internals of
// `web.js`, hands the functions of `node::NodeTool` over and returns globals: none, unless the agent is one of Node's manner.
(function (internals) {
  "use strict";

  const { native, manners, timers, describe } = internals;
  const { apply } = Reflect;

  // ---- errors ----

  const failure = (Kind, code, message, more = {}) => {
    const error = new Kind(message);
    // As Node's: the code is in the stack's first line, not in the name.
    Object.defineProperty(error, "code", { value: code, writable: true, enumerable: true, configurable: true });
    return Object.assign(error, more);
  };
  const shown = (value) => {
    if (value === null || value === undefined) return ` Received ${value}`;
    if (typeof value === "function") return ` Received function ${value.name}`;
    if (typeof value === "object") {
      const name = value.constructor?.name;
      return name ? ` Received an instance of ${name}` : ` Received ${node.builtin("util").inspect(value, { depth: -1 })}`;
    }
    let text = node.builtin("util").inspect(value);
    if (text.length > 28) text = `${text.slice(0, 25)}...`;
    return ` Received type ${typeof value} (${text})`;
  };
  const badType = (name, expected, value) => {
    const what = name.endsWith(" argument") ? `The ${name}` : `The "${name}" ${name.includes(".") ? "property" : "argument"}`;
    return failure(TypeError, "ERR_INVALID_ARG_TYPE", `${what} must be ${expected}.${shown(value)}`);
  };
  const outOfRange = (name, expected, value) =>
    failure(RangeError, "ERR_OUT_OF_RANGE", `The value of "${name}" is out of range. It must be ${expected}. Received ${value}`);
  const mustBe = (name, type, value) => {
    if (typeof value !== type) throw badType(name, `of type ${type}`, value);
  };

  // Asks Rust; what fails there is thrown as Node's system errors are.
  const host = (operation, ...args) => {
    const [worked, answer] = native.host(operation, args);
    if (worked) return answer;
    const { code, errno, syscall, path, message } = answer;
    const more = {};
    if (errno) more.errno = errno;
    if (syscall) more.syscall = syscall;
    if (path) more.path = path;
    throw failure(Error, code, message, more);
  };

  // What this agent is; see `host.rs`.
  const seat = host("seat");

  // ---- modules ----

  const loaded = new Map();
  const builtin = (name) => {
    if (loaded.has(name)) return loaded.get(name);
    const exports = native.script(name)(node);
    loaded.set(name, exports);
    return exports;
  };
  const isBuiltin = (specifier) => {
    const name = specifier.startsWith("node:") ? specifier.slice(5) : specifier;
    return seat.modules.includes(name) ? name : undefined;
  };
  const identifier = /^[A-Za-z_$][\w$]*$/;
  // The ES module that stands for a built-in one.
  const text = (name) => {
    const names = Object.keys(builtin(name)).filter((key) => identifier.test(key) && key !== "default");
    return `const { ${names.join(", ")} } = import.meta.exports;\nexport { ${names.join(", ")} };\nexport default import.meta.exports;`;
  };

  // CommonJS: one module each path, as long as the agent lives.
  const commons = new Map();
  const requireFrom = (importer) => {
    const require = (specifier) => {
      mustBe("id", "string", specifier);
      const name = isBuiltin(specifier);
      if (name !== undefined) return builtin(name);
      if (specifier.startsWith("node:")) {
        throw failure(Error, "ERR_UNKNOWN_BUILTIN_MODULE", `No such built-in module: ${specifier}`);
      }
      return common(host("require", importer, specifier), importer);
    };
    require.cache = {};
    require.resolve = (specifier) => (isBuiltin(specifier) ? specifier : host("require", importer, specifier).path);
    return require;
  };
  const common = ({ path, kind, text }) => {
    const known = commons.get(path);
    if (known) return known.exports;
    if (kind === "module") {
      const advice = "it is an ES module: import() it, or name a CommonJS file .cjs";
      throw failure(Error, "ERR_REQUIRE_ESM", `require() of ${path} is not supported: ${advice}`);
    }
    const { dirname } = builtin("path").posix;
    const module = { exports: {}, id: path, filename: path, loaded: false, path: dirname(path), children: [] };
    commons.set(path, module);
    try {
      if (kind === "json") {
        module.exports = JSON.parse(text);
      } else {
        module.require = requireFrom(path);
        const body = native.compile(text, path);
        apply(body, module.exports, [module.exports, module.require, module, path, dirname(path)]);
      }
      module.loaded = true;
    } finally {
      if (!module.loaded) commons.delete(path);
    }
    return module.exports;
  };
  const loadCommon = (path) => () => {
    const found = host("require", "", path);
    return first.eval && path === seat.main ? evaluate(found) : common(found);
  };
  // The text that a worker was given: a classic script.
  const evaluate = ({ path, text }) => {
    const name = "[worker eval]";
    const module = { exports: {}, id: name, filename: name, loaded: false, path: ".", children: [], require: requireFrom(path) };
    const globals = { module, exports: module.exports, require: module.require, __filename: name, __dirname: "." };
    for (const key of Object.keys(globals)) internals.put(globalThis, key, globals[key]);
    native.evaluate(text, name);
    return module.exports;
  };

  // ---- ticks ----

  let ticks = [];
  const nextTick = (callback, ...args) => {
    mustBe("callback", "function", callback);
    if (ticks.length === 0) native.ticks();
    ticks.push({ callback, args });
  };
  const runTicks = () => {
    for (let i = 0; i < ticks.length; i++) {
      const { callback, args } = ticks[i];
      try {
        apply(callback, undefined, args);
      } catch (error) {
        internals.report(error);
      }
    }
    ticks = [];
  };

  // ---- timers as objects ----

  const DELAY_MAX = 2147483647;
  const delayOf = (delay) => {
    delay = +delay;
    return delay >= 1 && delay <= DELAY_MAX ? Math.trunc(delay) : 1;
  };
  class Timer {
    #id = 0;
    #callback;
    #again;
    #delay;
    #held = true;
    constructor(callback, delay, args, again) {
      mustBe("callback", "function", callback);
      this.#callback = () => apply(callback, this, args);
      this.#delay = delay;
      this.#again = again;
      this.#start();
    }
    #start() {
      this.#id = internals.timer(this.#again, this.#callback, this.#delay, []);
      if (!this.#held) this.#hold();
    }
    #hold() {
      const known = timers.get(this.#id);
      if (known) known.loose = !this.#held;
      native.holdTimer(this.#id, this.#held);
    }
    ref() {
      this.#held = true;
      this.#hold();
      return this;
    }
    unref() {
      this.#held = false;
      this.#hold();
      return this;
    }
    hasRef() {
      return this.#held;
    }
    static stop(timer) {
      internals.clear(timer.#id);
    }
    static again(timer) {
      internals.clear(timer.#id);
      timer.#start();
    }
    static id(timer) {
      return timer.#id;
    }
  }
  const { stop, again, id } = Timer;
  delete Timer.stop;
  delete Timer.again;
  delete Timer.id;
  class Timeout extends Timer {
    refresh() {
      again(this);
      return this;
    }
    close() {
      stop(this);
      return this;
    }
    [Symbol.toPrimitive]() {
      return id(this);
    }
  }
  class Immediate extends Timer {}
  const clear = (timer) => {
    if (timer instanceof Timer) stop(timer);
    else if (typeof timer === "number" || typeof timer === "string") internals.clear(+timer);
  };
  const timerFunctions = {
    setTimeout: (callback, delay, ...args) => new Timeout(callback, delayOf(delay), args, false),
    setInterval: (callback, delay, ...args) => new Timeout(callback, delayOf(delay), args, true),
    setImmediate: (callback, ...args) => new Immediate(callback, 0, args, false),
    clearTimeout: (timer) => clear(timer),
    clearInterval: (timer) => clear(timer),
    clearImmediate: (timer) => clear(timer),
  };

  // ---- ends ----

  let exiting = false;
  const beginExit = () => {
    if (exiting) return;
    exiting = true;
    const { process } = node;
    process.emit("exit", process.exitCode || 0);
  };
  const exit = (code) => {
    const { process } = node;
    if (code !== undefined) process.exitCode = code;
    beginExit();
    native.exit(process.exitCode || 0);
  };
  const idle = () => {
    if (!loaded.has("process")) return;
    try {
      beginExit();
    } catch (error) {
      fatal(error);
    }
    if (node.process.exitCode) native.exit(node.process.exitCode);
  };

  // What `node:worker_threads` was told by the parent, and the port to its `Worker`.
  const first = seat.origin === "node" ? native.receive(internals.parent)[0] : {};
  const control = first.control;

  // An error that ends the agent.
  const fatal = (error) => {
    const { process } = node;
    process.exitCode = 1;
    try {
      beginExit();
    } catch {
      // The error that came first is the one to tell.
    }
    if (control) node.builtin("worker_threads").tellError(control, error);
    else native.uncaught(...describe(error));
    native.exit(process.exitCode || 1);
  };
  const uncaught = (error, origin = "uncaughtException") => {
    const { process } = node;
    if (exiting) return fatal(error);
    process.emit("uncaughtExceptionMonitor", error, origin);
    if (process.listenerCount("uncaughtException") === 0) return fatal(error);
    try {
      process.emit("uncaughtException", error, origin);
    } catch (worse) {
      fatal(worse);
    }
  };
  const rejected = (promise, reason) => {
    const { process } = node;
    if (process.listenerCount("unhandledRejection") > 0) {
      try {
        process.emit("unhandledRejection", reason, promise);
      } catch (error) {
        uncaught(error);
      }
      return;
    }
    if (!(reason instanceof Error)) {
      const text = typeof reason === "string" ? reason : node.builtin("util").inspect(reason);
      const why =
        "This error originated either by throwing inside of an async function without a catch block, or by rejecting a " +
        `promise which was not handled with .catch(). The promise rejected with the reason "${text}".`;
      reason = failure(Error, "ERR_UNHANDLED_REJECTION", why, { name: "UnhandledPromiseRejection" });
    }
    uncaught(reason, "unhandledRejection");
  };
  // The main module failed; a handler may keep the agent all the same.
  const failed = (error) => {
    uncaught(error, seat.main.endsWith(".cjs") ? "uncaughtException" : "unhandledRejection");
    native.started(true);
  };

  const node = {
    internals, native, host, builtin, isBuiltin, requireFrom, seat, first, control, failure, badType, outOfRange, mustBe,
    nextTick, exit, timers: timerFunctions,
    get process() {
      return builtin("process");
    },
  };
  native.nodeTools(text, builtin, loadCommon, runTicks, idle);
  if (!seat.manners) return {};

  if (seat.origin !== "web") Object.assign(manners, { uncaught, rejected, failed });
  // Made when they are first used: an agent starts without.
  const lazy = (name, make) =>
    Object.defineProperty(globalThis, name, {
      get() {
        const value = make();
        internals.put(globalThis, name, value);
        return value;
      },
      set(value) {
        internals.put(globalThis, name, value);
      },
      enumerable: false,
      configurable: true,
    });
  lazy("process", () => node.process);
  lazy("console", () => builtin("util").makeConsole());
  lazy("Buffer", () => builtin("buffer").Buffer);
  control?.postMessage({ online: true });
  return { ...timerFunctions, global: globalThis };
});
