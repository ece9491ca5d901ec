// The web's surface in a spawned agent, over the host's natives.
// Evaluates to a function that returns the tools in the order of `realm::Tool`, and the prototype of ports. It is run when a
// tool or one of its globals is first wanted: `scripts::WEB_GLOBALS` lists them.
// What is not needed to run an agent lies in parts of its own, `web/*.js`, which are given `internals`; see `scripts.rs`.
(function (native, parent, name) {
  "use strict";

  // How values are shown comes when one is.
  let inspector;
  const format = (args) => (inspector ??= native.inspect()).format(args);
  const show = (value) => (inspector ??= native.inspect()).show(value);
  const inspect = { format, show };
  const { Array, Error, Map, Object, Promise, Reflect, String, TypeError, WeakMap } = globalThis;
  const { apply } = Reflect;
  const { defineProperty, setPrototypeOf } = Object;
  const mapEntries = Map.prototype.entries;
  const setValues = Set.prototype.values;
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
    defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });

  // ---- exceptions ----

  const CODES = { QuotaExceededError: 22, NotSupportedError: 9, DataCloneError: 25, InvalidStateError: 11, AbortError: 20 };

  class DOMException extends Error {
    #name;
    constructor(message = "", name = "Error") {
      super(message);
      this.#name = `${name}`;
    }
    get name() {
      return this.#name;
    }
    get code() {
      return CODES[this.#name] ?? 0;
    }
  }
  for (const [constant, code] of [["QUOTA_EXCEEDED_ERR", 22], ["NOT_SUPPORTED_ERR", 9], ["DATA_CLONE_ERR", 25]]) {
    defineProperty(DOMException, constant, { value: code, enumerable: true });
    defineProperty(DOMException.prototype, constant, { value: code, enumerable: true });
  }

  // What was thrown: [name, message, stack].
  const describe = (thrown) => {
    try {
      if (thrown instanceof Error) return [String(thrown.name), String(thrown.message), String(thrown.stack)];
    } catch {
      return ["Error", "its properties throw", ""];
    }
    return [thrown === null ? "null" : typeof thrown, `uncaught ${show(thrown)}`, ""];
  };

  // ---- events ----

  class Event {
    #type;
    #cancelable;
    #prevented = false;
    #stopped = false;
    #target = null;
    constructor(type, init = {}) {
      this.#type = `${type}`;
      this.#cancelable = !!init?.cancelable;
    }
    get type() {
      return this.#type;
    }
    get target() {
      return this.#target;
    }
    get currentTarget() {
      return this.#target;
    }
    get cancelable() {
      return this.#cancelable;
    }
    get defaultPrevented() {
      return this.#prevented;
    }
    preventDefault() {
      if (this.#cancelable) this.#prevented = true;
    }
    stopImmediatePropagation() {
      this.#stopped = true;
    }
    stopPropagation() {}
    static sent(event, target) {
      event.#target = target;
    }
    static isStopped(event) {
      return event.#stopped;
    }
  }
  const { sent, isStopped } = Event;
  delete Event.sent;
  delete Event.isStopped;

  class MessageEvent extends Event {
    #data;
    #ports;
    constructor(type, init = {}) {
      super(type, init);
      this.#data = init?.data === undefined ? null : init.data;
      this.#ports = init?.ports ?? [];
    }
    // What was posted may be undefined, which an initialiser cannot say.
    static of(type, data, ports) {
      const event = new MessageEvent(type, { ports });
      event.#data = data;
      return event;
    }
    get data() {
      return this.#data;
    }
    get ports() {
      return this.#ports;
    }
    get origin() {
      return "";
    }
    get lastEventId() {
      return "";
    }
    get source() {
      return null;
    }
  }
  const messageEvent = MessageEvent.of;
  delete MessageEvent.of;

  class ErrorEvent extends Event {
    #init;
    constructor(type, init = {}) {
      super(type, init);
      this.#init = { message: "", filename: "", lineno: 0, colno: 0, error: undefined, ...init };
    }
    get message() {
      return this.#init.message;
    }
    get filename() {
      return this.#init.filename;
    }
    get lineno() {
      return this.#init.lineno;
    }
    get colno() {
      return this.#init.colno;
    }
    get error() {
      return this.#init.error;
    }
  }

  class PromiseRejectionEvent extends Event {
    #promise;
    #reason;
    constructor(type, init) {
      super(type, init);
      this.#promise = init.promise;
      this.#reason = init.reason;
    }
    get promise() {
      return this.#promise;
    }
    get reason() {
      return this.#reason;
    }
  }

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
    // A copy: whoever dispatches has the old list.
    const next = [];
    for (let i = 0; i < listeners.length; i++) if (i !== at) next[next.length] = listeners[i];
    state.listeners = next;
  };

  const add = (object, type, callback, options) => {
    const state = stateOf(object);
    if (callback === null || callback === undefined) return;
    if (typeof callback !== "function" && typeof callback !== "object") {
      throw new TypeError("addEventListener: the listener is neither a function nor an object");
    }
    type = `${type}`;
    for (let i = 0; i < state.listeners.length; i++) {
      const known = state.listeners[i];
      if (known.type === type && known.callback === callback && !known.attribute) return;
    }
    const once = typeof options === "object" && options !== null && !!options.once;
    const next = [];
    for (let i = 0; i < state.listeners.length; i++) next[i] = state.listeners[i];
    next[next.length] = { type, callback, once, attribute: false };
    state.listeners = next;
    state.changed?.(type);
  };
  const remove = (object, type, callback) => {
    const state = stateOf(object);
    type = `${type}`;
    for (let i = 0; i < state.listeners.length; i++) {
      const known = state.listeners[i];
      if (known.type === type && known.callback === callback && !known.attribute) {
        drop(state, i);
        break;
      }
    }
    state.changed?.(type);
  };
  // Calls the listeners of an event; `false` if one of them prevented what follows.
  const dispatch = (object, event) => {
    const state = stateOf(object);
    sent(event, object);
    const { listeners } = state;
    const type = event.type;
    for (let i = 0; i < listeners.length; i++) {
      const listener = listeners[i];
      if (listener.type !== type) continue;
      if (listener.once) remove(object, type, listener.callback);
      try {
        const { callback } = listener;
        if (listener.attribute && type === "error" && object === globalThis && event instanceof ErrorEvent) {
          const { message, filename, lineno, colno, error } = event;
          if (apply(callback, object, [message, filename, lineno, colno, error]) === true) event.preventDefault();
        } else if (typeof callback === "function") {
          apply(callback, object, [event]);
        } else {
          callback.handleEvent(event);
        }
      } catch (error) {
        report(error);
      }
      if (isStopped(event)) break;
    }
    return !event.defaultPrevented;
  };

  class EventTarget {
    constructor() {
      target(this);
    }
    addEventListener(type, callback, options) {
      add(this, type, callback, options);
    }
    removeEventListener(type, callback) {
      remove(this, type, callback);
    }
    dispatchEvent(event) {
      return dispatch(this, event);
    }
  }

  // `on…`: one listener that keeps its place while it is replaced.
  const attribute = (object, type, self) => {
    const find = (state) => {
      for (let i = 0; i < state.listeners.length; i++) {
        if (state.listeners[i].type === type && state.listeners[i].attribute) return i;
      }
      return -1;
    };
    defineProperty(object, `on${type}`, {
      get() {
        const state = stateOf(self ?? this);
        const at = find(state);
        return at < 0 ? null : state.listeners[at].callback;
      },
      set(value) {
        const state = stateOf(self ?? this);
        const callback = typeof value === "function" ? value : null;
        const at = find(state);
        if (at >= 0 && callback) state.listeners[at].callback = callback;
        else if (at >= 0) drop(state, at);
        else if (callback) {
          state.listeners = [...state.listeners, { type, callback, once: false, attribute: true }];
        }
        state.changed?.(type, true);
      },
      enumerable: true,
      configurable: true,
    });
  };

  // ---- errors ----

  let reporting = false;
  const PLACE = /\(?([^\s(]+):(\d+):(\d+)\)?$/;
  const place = (stack) => {
    for (const line of String(stack).split("\n")) {
      const found = line.includes("peristyle:") ? null : PLACE.exec(line);
      if (found) return { filename: found[1], lineno: +found[2], colno: +found[3] };
    }
    return {};
  };

  // Reports an exception that nobody caught.
  const report = (error) => {
    const [kind, message, stack] = describe(error);
    // An error in a handler of errors goes straight to the host.
    if (!reporting) {
      reporting = true;
      try {
        const text = error instanceof Error ? `${kind}: ${message}` : message;
        const event = new ErrorEvent("error", { message: text, ...place(stack), error, cancelable: true });
        if (!dispatch(globalThis, event)) return;
      } finally {
        reporting = false;
      }
    }
    native.uncaught(kind, message, stack);
  };

  const rejected = (promise, reason) => {
    const event = new PromiseRejectionEvent("unhandledrejection", { promise, reason, cancelable: true });
    if (dispatch(globalThis, event)) report(reason);
  };

  // ---- ports ----

  // A list that the host can read without running anybody's code.
  const transferList = (options) => {
    if (options === undefined || options === null) return undefined;
    const given = Symbol.iterator in Object(options) ? options : options.transfer;
    if (given === undefined) return undefined;
    const list = [];
    for (const item of given) {
      defineProperty(list, list.length, { value: item, writable: true, enumerable: true, configurable: true });
    }
    return list.length === 0 ? undefined : list;
  };

  class MessagePort extends EventTarget {
    constructor() {
      throw new TypeError("MessagePort has no constructor: new MessageChannel() makes two");
    }
    postMessage(value, options) {
      if (!native.isPort(this)) throw new TypeError("this is no MessagePort");
      native.post(this, value, transferList(options));
    }
    start() {
      const state = portState(this);
      state.started = true;
      state.changed("message");
    }
    close() {
      if (!native.isPort(this)) throw new TypeError("this is no MessagePort");
      native.closePort(this);
    }
  }
  // A port's state is made when it is first needed: ports come out of messages without it.
  const portState = (port) => {
    if (!native.isPort(port)) throw new TypeError("this is no MessagePort");
    const known = State.of(port);
    if (known) return known;
    const state = target(port, (type, byAttribute) => {
      if (type !== "message") return;
      if (byAttribute) state.started = true;
      const listening = state.started && listens(state, "message");
      if (listening === state.listening) return;
      state.listening = listening;
      if (listening) native.listen(port);
      else native.unlisten(port);
    });
    state.started = false;
    state.listening = false;
    return state;
  };
  for (const method of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
    const inherited = EventTarget.prototype[method];
    put(MessagePort.prototype, method, {
      [method](...args) {
        portState(this);
        return apply(inherited, this, args);
      },
    }[method]);
  }
  for (const type of ["message", "messageerror", "close"]) {
    attribute(MessagePort.prototype, type);
    const { get, set } = Object.getOwnPropertyDescriptor(MessagePort.prototype, `on${type}`);
    defineProperty(MessagePort.prototype, `on${type}`, {
      get() {
        portState(this);
        return apply(get, this, []);
      },
      set(value) {
        portState(this);
        apply(set, this, [value]);
      },
      enumerable: true,
      configurable: true,
    });
  }

  class MessageChannel {
    constructor() {
      const [port1, port2] = native.channel();
      defineProperty(this, "port1", { value: port1, enumerable: true });
      defineProperty(this, "port2", { value: port2, enumerable: true });
    }
  }

  // ---- timers ----

  const timers = new Map();
  let timersBefore = 0;
  const timer = (again, callback, delay, args) => {
    if (typeof callback !== "function") throw new TypeError("a timer's callback must be a function");
    delay = +delay;
    // As the web does it: no number is 0, and what does not fit in 31 bits is, too.
    delay = delay >= 0 && delay <= 2147483647 ? Math.trunc(delay) : 0;
    if (again && delay === 0) delay = 1;
    const id = ++timersBefore;
    timers.set(id, { callback, args, delay, again });
    native.setTimer(id, delay);
    return id;
  };
  const { get: timersGet, set: timersSet, delete: timersDelete } = Map.prototype;
  const clear = (id) => {
    if (apply(timersDelete, timers, [id])) native.clearTimer(id);
  };
  const fire = (id) => {
    const known = apply(timersGet, timers, [id]);
    if (!known) return;
    // An interval is set again first, so that its callback can clear it.
    if (known.again) native.setTimer(id, known.delay);
    else apply(timersDelete, timers, [id]);
    try {
      apply(known.callback, globalThis, known.args);
    } catch (error) {
      report(error);
    }
  };

  // ---- workers ----

  const workers = new Map();
  class Worker extends EventTarget {
    #id;
    #port;
    constructor(url, options = {}) {
      super();
      if (options?.type !== undefined && options.type !== "module") {
        throw new TypeError(`Worker: type ${show(options.type)} is not supported, only "module"`);
      }
      const [id, port] = native.spawn(`${url}`, options?.name === undefined ? "" : `${options.name}`);
      this.#id = id;
      this.#port = port;
      apply(timersSet, workers, [id, this]);
      port.onmessage = (event) => void dispatch(this, messageEvent("message", event.data, event.ports));
      port.onmessageerror = () => void dispatch(this, messageEvent("messageerror", null, []));
    }
    postMessage(value, options) {
      native.post(this.#port, value, transferList(options));
    }
    terminate() {
      native.closePort(this.#port);
      native.terminate(this.#id);
    }
  }
  for (const type of ["message", "messageerror", "error"]) attribute(Worker.prototype, type);

  const workerSaid = (id, kind, name, message, stack) => {
    const worker = apply(timersGet, workers, [id]);
    if (!worker) return;
    if (kind === "exit") {
      // Its port delivers what it still has, then closes: the other end is gone.
      apply(timersDelete, workers, [id]);
      return;
    }
    const event = new ErrorEvent("error", { message: `${name}: ${message}`, ...place(stack), error: null, cancelable: true });
    if (dispatch(worker, event)) native.uncaught(name, message, stack);
  };

  // ---- the global object ----

  setPrototypeOf(parent, MessagePort.prototype);
  // The agent's own port listens while the global has a listener for messages.
  let listening = false;
  const global = target(globalThis, (type) => {
    if (type !== "message" || listening === listens(global, "message")) return;
    listening = !listening;
    if (listening) native.listen(parent);
    else native.unlisten(parent);
  });
  for (const type of ["message", "messageerror", "error", "unhandledrejection"]) attribute(globalThis, type, globalThis);

  const functions = {
    addEventListener(type, callback, options) {
      add(globalThis, type, callback, options);
    },
    removeEventListener(type, callback) {
      remove(globalThis, type, callback);
    },
    dispatchEvent(event) {
      return dispatch(globalThis, event);
    },
    postMessage(value, options) {
      native.post(parent, value, transferList(options));
    },
    close() {
      native.close();
    },
    reportError(error) {
      report(error);
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
            report(error);
          }
        },
      ]);
    },
    setTimeout: (callback, delay, ...args) => timer(false, callback, delay, args),
    setInterval: (callback, delay, ...args) => timer(true, callback, delay, args),
    clearTimeout: (id) => clear(id),
    clearInterval: (id) => clear(id),
  };
  for (const key of Reflect.ownKeys(functions)) put(globalThis, key, functions[key]);

  const console = {};
  ["debug", "log", "info", "warn", "error"].forEach((level, at) => {
    console[level] = { [level](...args) { native.print(at, format(args)); } }[level];
  });
  const globals = {
    self: globalThis, name, console, DOMException, Event, EventTarget, MessageEvent, ErrorEvent,
    PromiseRejectionEvent, MessagePort, MessageChannel, Worker,
  };
  for (const key of Reflect.ownKeys(globals)) put(globalThis, key, globals[key]);

  // What parts may use of this script.
  const internals = {
    native, inspect, parent, put, DOMException, Event, EventTarget, ErrorEvent, MessageEvent, MessagePort, Worker,
    State, target, stateOf, listens, dispatch, attribute, messageEvent, describe, report, transferList, portState,
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
    (name, message) => new DOMException(message, name),
    (value, isMap) => [...apply(isMap ? mapEntries : setValues, value, [])],
    (port, data, ports) => void dispatch(port === parent ? globalThis : port, messageEvent("message", data, ports)),
    (port) => void dispatch(port === parent ? globalThis : port, messageEvent("messageerror", null, [])),
    (port) => void (port === parent || dispatch(port, new Event("close"))),
    fire,
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
    (promise) => void apply(then, promise, [() => native.started(true), (error) => native.started(false, error)]),
    rejected,
    workerSaid,
    (id) => internals.woken(id),
    // Defines the globals of a part.
    (part) => {
      const globals = part(internals);
      for (const key of Reflect.ownKeys(globals)) put(globalThis, key, globals[key]);
    },
    MessagePort.prototype,
  ];
});
