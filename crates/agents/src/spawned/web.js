// The web's surface in a spawned agent, over the host's natives.
// Evaluates to a function that returns the tools in the order of `realm::Tool`. It is run when a tool or one of its globals is
// first wanted: `scripts::WEB_GLOBALS` lists them.
// What is not needed to start an agent lies in parts of its own, `web/*.js`, which are given `internals`; see `scripts.rs`.
(function (native, parent, name) {
  "use strict";

  // How values are shown comes when one is.
  let inspector;
  const format = (args) => (inspector ??= native.inspect()).format(args);
  const show = (value) => (inspector ??= native.inspect()).show(value);
  const inspect = { format, show };
  const { Error, Object, Promise, Reflect, String, SyntaxError, TypeError } = globalThis;
  const { apply, ownKeys } = Reflect;
  const { defineProperty, setPrototypeOf } = Object;
  const { then } = Promise.prototype;
  const resolved = Promise.resolve();

  // Private state of any object, out of reach of scripts: a field stamped on an object that already is.
  const Stamp = function (object) {
    return object;
  };
  class State extends Stamp {
    #state;
    constructor(object, state) {
      super(object);
      this.#state = state;
    }
    static of(object) {
      return #state in object ? object.#state : undefined;
    }
  }

  const put = (object, name, value) =>
    defineProperty(object, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });

  // What other manners than the web's do instead; set by `node/boot.js`.
  const manners = { uncaught: null, rejected: null, failed: null, transfer: null };
  const tag = ({ prototype }, value) =>
    defineProperty(prototype, Symbol.toStringTag, { __proto__: null, value, writable: false, enumerable: false, configurable: true });

  // Where an error comes from: its stack. If the host's own modules alone are in it, that of its cause.
  const CAUSES_MAX = 8;
  const stackOf = (error) => {
    for (let at = error, depth = 0; at instanceof Error && depth < CAUSES_MAX; at = at.cause, depth++) {
      const stack = String(at.stack);
      if (/^\s*at (?!.*peristyle:)/m.test(stack)) return stack;
    }
    return String(error.stack);
  };

  // What was thrown: [name, message, stack].
  const describe = (thrown) => {
    try {
      if (thrown instanceof Error) return [String(thrown.name), String(thrown.message), stackOf(thrown)];
    } catch {
      return ["Error", "its properties throw", ""];
    }
    return [thrown === null ? "null" : typeof thrown, `uncaught ${show(thrown)}`, ""];
  };

  // ---- targets of events ----

  // A target's state: its listeners, and what to do when they change.
  const target = (object, changed) => {
    const state = { listeners: [], changed };
    new State(object, state);
    return state;
  };
  const stateOf = (object) => {
    const state = (typeof object === "object" || typeof object === "function") && object !== null && State.of(object);
    if (!state) throw new TypeError("this is no event target");
    return state;
  };
  const listens = (state, type) => {
    for (let i = 0; i < state.listeners.length; i++) if (state.listeners[i].type === type) return true;
    return false;
  };
  const drop = (state, at) => {
    const { listeners } = state;
    // Whoever dispatches has the old list.
    listeners[at].removed = true;
    listeners[at].forget?.();
    const next = [];
    for (let i = 0; i < listeners.length; i++) if (i !== at) next[next.length] = listeners[i];
    state.listeners = next;
  };
  // `on…`: one listener that keeps its place while it is replaced.
  const attribute = (object, type, self) => {
    const own = (state) => {
      for (let i = 0; i < state.listeners.length; i++) {
        if (state.listeners[i].type === type && state.listeners[i].attribute) return i;
      }
      return -1;
    };
    defineProperty(object, `on${type}`, {
      __proto__: null,
      get() {
        const state = stateOf(self ?? this);
        const at = own(state);
        return at < 0 ? null : state.listeners[at].callback;
      },
      set(value) {
        const state = stateOf(self ?? this);
        const callback = typeof value === "function" ? value : null;
        const at = own(state);
        if (at >= 0 && callback) state.listeners[at].callback = callback;
        else if (at >= 0) drop(state, at);
        else if (callback) {
          const listener = { type, callback, capture: false, once: false, passive: false, attribute: true, removed: false, forget: undefined };
          state.listeners = [...state.listeners, listener];
        }
        state.changed?.(type, true);
      },
      enumerable: true,
      configurable: true,
    });
  };

  // ---- ports ----

  const transferList = (options) => {
    if (options === undefined || options === null) return undefined;
    const given = Symbol.iterator in Object(options) ? options : options.transfer;
    if (given === undefined) return undefined;
    const list = [...given];
    manners.transfer?.(list);
    return list.length === 0 ? undefined : list;
  };

  // ---- the global object ----

  // The agent's own port listens while it or the global has a listener for messages.
  let listening = false;
  const listenToParent = () => {
    const wanted = listens(global, "message") || !!State.of(parent)?.listening;
    if (listening === wanted) return;
    listening = wanted;
    if (listening) native.listen(parent);
    else native.unlisten(parent);
  };
  const global = target(globalThis, (type) => {
    if (type === "message") listenToParent();
  });
  for (const type of ["message", "messageerror", "error", "unhandledrejection"]) attribute(globalThis, type, globalThis);

  const define = (globals) => {
    for (const key of ownKeys(globals)) put(globalThis, key, globals[key]);
  };
  const functions = {
    addEventListener(type, callback, options) {
      internals.add(globalThis, type, callback, options);
    },
    removeEventListener(type, callback, options) {
      internals.remove(globalThis, type, callback, options);
    },
    dispatchEvent(event) {
      return internals.dispatchGiven(globalThis, event);
    },
    postMessage(value, options) {
      native.post(parent, value, transferList(options));
    },
    close() {
      native.close();
    },
    reportError(error) {
      internals.report(error);
    },
    structuredClone(value, options) {
      return native.clone(value, transferList(options ?? undefined));
    },
    queueMicrotask(callback) {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask: the callback is not a function");
      apply(then, resolved, [
        () => {
          try {
            callback();
          } catch (error) {
            internals.report(error);
          }
        },
      ]);
    },
  };
  define(functions);
  put(globalThis, "self", globalThis);
  put(globalThis, "name", name);

  // What parts may use of this script, and what they give each other: who asks first has the part run.
  const LATER = {
    __proto__: null,
    DOMException: "exceptions",
    Event: "events", EventTarget: "events", ErrorEvent: "events", MessageEvent: "events", add: "events", remove: "events",
    dispatch: "events", dispatchGiven: "events", messageEvent: "events", place: "events", report: "events",
    rejected: "events", delivered: "events", unreadable: "events", closed: "events",
    MessagePort: "ports", portState: "ports",
    entries: "collections",
    Worker: "workers", workers: "workers", workerSaid: "workers",
    timer: "timers", timers: "timers", clear: "timers", fire: "timers",
  };
  const later = (_, name) => (name in LATER && native.part(LATER[name]) ? internals[name] : undefined);
  // A script that ran before may have changed what is global, and is not to get hold of this: parts add to it by plain
  // assignment, which nobody can hear.
  const internals = {
    __proto__: new native.Proxy({ __proto__: null }, { __proto__: null, get: later }),
    native, inspect, parent, put, tag, apply, defineProperty, setPrototypeOf, manners, State, target, stateOf, listens, drop,
    attribute, describe, transferList, listenToParent,
  };

  // ---- for the host ----

  const settle = (value, id) => {
    const awaited = async () => {
      try {
        native.settle(id, true, await value);
      } catch (error) {
        native.settle(id, false, error);
      }
    };
    awaited();
  };

  return [
    describe,
    (name, message) => {
      if (name === "TypeError") return new TypeError(message);
      return name === "SyntaxError" ? new SyntaxError(message) : new internals.DOMException(message, name);
    },
    (value, isMap) => internals.entries(value, isMap),
    (port, data, ports) => internals.delivered(port, data, ports),
    (port) => internals.unreadable(port),
    (port) => internals.closed(port),
    (id) => internals.fire(id),
    (namespace, name, args, id) => {
      const exported = namespace[name];
      if (typeof exported !== "function") return false;
      const call = async () => {
        try {
          native.settle(id, true, await apply(exported, undefined, args));
        } catch (error) {
          native.settle(id, false, error);
        }
      };
      call();
      return true;
    },
    settle,
    (promise) => void apply(then, promise, [() => native.started(true), (error) => (manners.failed ? manners.failed(error) : native.started(false, error))]),
    (promise, reason) => internals.rejected(promise, reason),
    (id, kind, name, message, stack) => internals.workerSaid(id, kind, name, message, stack),
    (id) => internals.woken(id),
    // Defines the globals of a part.
    (part) => define(part(internals)),
    // A channel's message, or the word that it cannot be read.
    (id, data, readable) => internals.heard(id, data, readable),
    (module) => (specifier) => native.resolve(module, `${specifier}`),
  ];
});
