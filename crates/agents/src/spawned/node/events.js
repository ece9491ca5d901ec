// node:events
(function (node) {
  "use strict";

  const { failure, badType, outOfRange } = node;
  const { apply } = Reflect;
  const MAX = 10;
  const errorMonitor = Symbol("events.errorMonitor");
  const captureRejectionSymbol = Symbol.for("nodejs.rejection");
  // Listeners by type; each is { listener, once }.
  const STATE = Symbol("listeners");

  const check = (listener) => {
    if (typeof listener !== "function") throw badType("listener", "of type function", listener);
  };

  // Callable without `new`, as old code inherits from it.
  function EventEmitter() {
    EventEmitter.init.call(this);
  }
  EventEmitter.init = function () {
    if (!Object.hasOwn(this, STATE)) put(this, STATE, new Map());
  };
  const put = (object, name, value) =>
    Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
  const listenersOf = (emitter) => {
    if (!Object.hasOwn(emitter, STATE)) put(emitter, STATE, new Map());
    return emitter[STATE];
  };
  const add = (emitter, type, listener, once, first) => {
    check(listener);
    const all = listenersOf(emitter);
    // Before it is added, so that a listener of `newListener` is not told of itself.
    if (all.has("newListener")) emitter.emit("newListener", type, listener);
    const list = all.get(type) ?? [];
    const entry = { listener, once };
    all.set(type, first ? [entry, ...list] : [...list, entry]);
    const max = emitter.getMaxListeners();
    if (max > 0 && list.length + 1 > max && !list.warned) {
      all.get(type).warned = true;
      const name = emitter.constructor?.name ?? "EventEmitter";
      node.process.emitWarning(
        `Possible EventEmitter memory leak detected. ${list.length + 1} ${String(type)} listeners added to [${name}]. ` +
          `MaxListeners is ${max}. Use emitter.setMaxListeners() to increase limit`,
        "MaxListenersExceededWarning",
      );
    } else if (list.warned) all.get(type).warned = true;
    return emitter;
  };
  const without = (emitter, type, at) => {
    const all = listenersOf(emitter);
    const list = all.get(type);
    const { listener } = list[at];
    if (list.length === 1) all.delete(type);
    else all.set(type, list.toSpliced(at, 1));
    if (all.has("removeListener")) emitter.emit("removeListener", type, listener);
  };

  Object.assign(EventEmitter.prototype, {
    on(type, listener) {
      return add(this, type, listener, false, false);
    },
    prependListener(type, listener) {
      return add(this, type, listener, false, true);
    },
    once(type, listener) {
      return add(this, type, listener, true, false);
    },
    prependOnceListener(type, listener) {
      return add(this, type, listener, true, true);
    },
    off(type, listener) {
      check(listener);
      const list = listenersOf(this).get(type) ?? [];
      const at = list.findLastIndex((entry) => entry.listener === listener);
      if (at >= 0) without(this, type, at);
      return this;
    },
    removeAllListeners(type) {
      const all = listenersOf(this);
      const types = type === undefined ? [...all.keys()].filter((type) => type !== "removeListener") : [type];
      for (const type of types) {
        const list = all.get(type) ?? [];
        if (all.has("removeListener")) for (let at = list.length - 1; at >= 0; at--) without(this, type, at);
        else all.delete(type);
      }
      if (type === undefined) all.clear();
      return this;
    },
    emit(type, ...args) {
      const all = listenersOf(this);
      if (type === "error") {
        if (all.has(errorMonitor)) this.emit(errorMonitor, ...args);
        if (!all.has("error")) {
          if (args[0] instanceof Error) throw args[0];
          const shown = args.length === 0 ? undefined : node.builtin("util").inspect(args[0]);
          throw failure(Error, "ERR_UNHANDLED_ERROR", `Unhandled error. (${shown})`, { context: args[0] });
        }
      }
      const list = all.get(type);
      if (!list) return false;
      for (const entry of list) {
        if (entry.once) {
          const at = (all.get(type) ?? []).indexOf(entry);
          if (at < 0) continue;
          without(this, type, at);
        }
        apply(entry.listener, this, args);
      }
      return true;
    },
    listenerCount(type, listener) {
      const list = listenersOf(this).get(type) ?? [];
      return listener === undefined ? list.length : list.filter((entry) => entry.listener === listener).length;
    },
    listeners(type) {
      return (listenersOf(this).get(type) ?? []).map(({ listener }) => listener);
    },
    rawListeners(type) {
      return this.listeners(type);
    },
    eventNames() {
      return [...listenersOf(this).keys()];
    },
    setMaxListeners(max) {
      if (typeof max !== "number" || !(max >= 0)) throw outOfRange("setMaxListeners", "a non-negative number", max);
      put(this, "_maxListeners", max);
      return this;
    },
    getMaxListeners() {
      return this._maxListeners ?? EventEmitter.defaultMaxListeners;
    },
  });
  EventEmitter.prototype.addListener = EventEmitter.prototype.on;
  EventEmitter.prototype.removeListener = EventEmitter.prototype.off;

  const aborted = (signal) => {
    const error = new Error("The operation was aborted", { cause: signal.reason });
    return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
  };
  const isTarget = (emitter) => typeof emitter.addEventListener === "function" && typeof emitter.on !== "function";

  // Waits for an event; its arguments.
  const once = (emitter, type, { signal } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted(signal));
      const done = () => {
        signal?.removeEventListener("abort", abort);
        if (isTarget(emitter)) emitter.removeEventListener(type, succeed);
      };
      const succeed = (...args) => {
        if (!isTarget(emitter)) emitter.off("error", fail);
        done();
        resolve(args);
      };
      const fail = (error) => {
        if (!isTarget(emitter)) emitter.off(type, succeed);
        done();
        reject(error);
      };
      const abort = () => fail(aborted(signal));
      signal?.addEventListener("abort", abort, { once: true });
      if (isTarget(emitter)) return emitter.addEventListener(type, succeed, { once: true });
      emitter.once(type, succeed);
      if (type !== "error") emitter.once("error", fail);
    });

  // All events of a type, as they come.
  const on = (emitter, type, { signal } = {}) => {
    if (signal?.aborted) throw aborted(signal);
    const came = [];
    const waiting = [];
    let failed = null;
    let ended = false;
    const listen = (...args) => {
      if (waiting.length > 0) waiting.shift().resolve({ value: args, done: false });
      else came.push(args);
    };
    const fail = (error) => {
      if (waiting.length > 0) waiting.shift().reject(error);
      else failed = { error };
      end();
    };
    const abort = () => fail(aborted(signal));
    const end = () => {
      ended = true;
      emitter.off("error", fail);
      emitter.off(type, listen);
      signal?.removeEventListener("abort", abort);
      for (const { resolve } of waiting.splice(0)) resolve({ value: undefined, done: true });
      return Promise.resolve({ value: undefined, done: true });
    };
    emitter.on(type, listen);
    if (type !== "error") emitter.on("error", fail);
    signal?.addEventListener("abort", abort, { once: true });
    return {
      next() {
        if (came.length > 0) return Promise.resolve({ value: came.shift(), done: false });
        if (failed) {
          const { error } = failed;
          failed = null;
          return Promise.reject(error);
        }
        if (ended) return Promise.resolve({ value: undefined, done: true });
        return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
      },
      return: end,
      throw(error) {
        fail(error);
        return Promise.resolve({ value: undefined, done: true });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  };

  return Object.assign(EventEmitter, {
    EventEmitter, once, on, errorMonitor, captureRejectionSymbol, defaultMaxListeners: MAX,
    listenerCount: (emitter, type) => emitter.listenerCount(type),
    getEventListeners: (emitter, type) => (emitter.listeners ? emitter.listeners(type) : []),
    setMaxListeners: (max, ...emitters) => {
      for (const emitter of emitters) emitter.setMaxListeners?.(max);
    },
  });
});
