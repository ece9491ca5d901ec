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
  const { Array, Error, Map, Object, Promise, Reflect, String, SyntaxError, TypeError } = globalThis;
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

  // What other manners than the web's do instead; set by `node/boot.js`.
  const manners = { uncaught: null, rejected: null, failed: null, transfer: null };
  const tag = ({ prototype }, value) =>
    defineProperty(prototype, Symbol.toStringTag, { value, writable: false, enumerable: false, configurable: true });

  // ---- exceptions ----

  // A name's place is its code; names without one have code 0.
  const CODES = [
    , "IndexSizeError", , "HierarchyRequestError", "WrongDocumentError", "InvalidCharacterError", ,
    "NoModificationAllowedError", "NotFoundError", "NotSupportedError", "InUseAttributeError", "InvalidStateError",
    "SyntaxError", "InvalidModificationError", "NamespaceError", "InvalidAccessError", , "TypeMismatchError",
    "SecurityError", "NetworkError", "AbortError", "URLMismatchError", "QuotaExceededError", "TimeoutError",
    "InvalidNodeTypeError", "DataCloneError",
  ];
  const CONSTANTS =
    "INDEX_SIZE DOMSTRING_SIZE HIERARCHY_REQUEST WRONG_DOCUMENT INVALID_CHARACTER NO_DATA_ALLOWED NO_MODIFICATION_ALLOWED NOT_FOUND NOT_SUPPORTED INUSE_ATTRIBUTE INVALID_STATE SYNTAX INVALID_MODIFICATION NAMESPACE INVALID_ACCESS VALIDATION TYPE_MISMATCH SECURITY NETWORK ABORT URL_MISMATCH QUOTA_EXCEEDED TIMEOUT INVALID_NODE_TYPE DATA_CLONE";

  // Instances are the host's objects, which carry what they are through clones. They are no `Error` objects, which the
  // engine would clone as such.
  class DOMException {
    constructor(message = "", name = "Error", options = undefined) {
      const stack = new Error().stack;
      // As Node has it: options in the place of the name.
      if (typeof name === "object" && name !== null) [options, name] = [name, name.name ?? "Error"];
      const exception = native.exception(`${name}`, `${message}`, stack);
      if (new.target !== DOMException) setPrototypeOf(exception, new.target.prototype);
      if (options && "cause" in options) put(exception, "cause", options.cause);
      return exception;
    }
    get name() {
      return native.exceptionPart(this, 0);
    }
    get message() {
      return native.exceptionPart(this, 1);
    }
    get code() {
      const code = CODES.indexOf(native.exceptionPart(this, 0));
      return code < 0 ? 0 : code;
    }
    get stack() {
      return native.exceptionPart(this, 2);
    }
  }
  setPrototypeOf(DOMException.prototype, Error.prototype);
  tag(DOMException, "DOMException");
  CONSTANTS.split(" ").forEach((constant, at) => {
    defineProperty(DOMException, `${constant}_ERR`, { value: at + 1, enumerable: true });
    defineProperty(DOMException.prototype, `${constant}_ERR`, { value: at + 1, enumerable: true });
  });

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
    #bubbles;
    #cancelable;
    #composed;
    #prevented = false;
    #passive = false;
    // 1: propagation is stopped; 2: at once.
    #stopped = 0;
    #trusted = false;
    #target = null;
    // The target, while listeners run.
    #current = null;
    #time = native.now();
    constructor(type, init) {
      if (arguments.length === 0) throw new TypeError("an event needs a type");
      if (init !== undefined && init !== null && typeof init !== "object" && typeof init !== "function") {
        throw new TypeError("an event's options must be an object");
      }
      this.#type = `${type}`;
      this.#bubbles = !!init?.bubbles;
      this.#cancelable = !!init?.cancelable;
      this.#composed = !!init?.composed;
    }
    get type() {
      return this.#type;
    }
    get target() {
      return this.#target;
    }
    get srcElement() {
      return this.#target;
    }
    get currentTarget() {
      return this.#current;
    }
    // No target has a parent here: whoever listens is at the target.
    get eventPhase() {
      return this.#current === null ? 0 : 2;
    }
    get bubbles() {
      return this.#bubbles;
    }
    get cancelable() {
      return this.#cancelable;
    }
    get composed() {
      return this.#composed;
    }
    get defaultPrevented() {
      return this.#prevented;
    }
    get returnValue() {
      return !this.#prevented;
    }
    set returnValue(value) {
      if (!value) this.preventDefault();
    }
    get cancelBubble() {
      return this.#stopped > 0;
    }
    set cancelBubble(value) {
      if (value) this.stopPropagation();
    }
    get isTrusted() {
      return this.#trusted;
    }
    get timeStamp() {
      return this.#time;
    }
    composedPath() {
      return this.#current === null ? [] : [this.#current];
    }
    preventDefault() {
      if (this.#cancelable && !this.#passive) this.#prevented = true;
    }
    stopPropagation() {
      if (this.#stopped === 0) this.#stopped = 1;
    }
    stopImmediatePropagation() {
      this.#stopped = 2;
    }
    static is(event) {
      return #type in event;
    }
    static began(event, target, trusted) {
      event.#target = event.#current = target;
      event.#trusted = trusted;
    }
    static ended(event) {
      event.#current = null;
      event.#stopped = 0;
    }
    static stopped(event) {
      return event.#stopped;
    }
    static passive(event, passive) {
      event.#passive = passive;
    }
  }
  const { is: isEvent, began, ended: dispatched, stopped, passive: setPassive } = Event;
  for (const name of ["is", "began", "ended", "stopped", "passive"]) delete Event[name];
  ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"].forEach((name, value) => {
    defineProperty(Event, name, { value, enumerable: true });
    defineProperty(Event.prototype, name, { value, enumerable: true });
  });
  tag(Event, "Event");

  class MessageEvent extends Event {
    #data;
    #ports;
    #init;
    constructor(type, init) {
      super(type, init);
      this.#data = init?.data === undefined ? null : init.data;
      this.#ports = init?.ports ?? [];
      this.#init = init;
    }
    // What was posted may be undefined, which an initialiser cannot say.
    static of(type, data, ports) {
      const event = new MessageEvent(type);
      event.#ports = ports;
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
      return `${this.#init?.origin ?? ""}`;
    }
    get lastEventId() {
      return `${this.#init?.lastEventId ?? ""}`;
    }
    get source() {
      return this.#init?.source ?? null;
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
    // Whoever dispatches has the old list.
    listeners[at].removed = true;
    const next = [];
    for (let i = 0; i < listeners.length; i++) if (i !== at) next[next.length] = listeners[i];
    state.listeners = next;
  };
  const find = (state, type, callback, capture) => {
    for (let i = 0; i < state.listeners.length; i++) {
      const known = state.listeners[i];
      if (known.type === type && known.callback === callback && known.capture === capture && !known.attribute) return i;
    }
    return -1;
  };

  const add = (object, type, callback, options) => {
    const state = stateOf(object);
    type = `${type}`;
    let capture = options === true;
    let once = false;
    let passive = false;
    let signal;
    if ((typeof options === "object" && options !== null) || typeof options === "function") {
      capture = !!options.capture;
      once = !!options.once;
      passive = !!options.passive;
      if (options.signal !== undefined) {
        const given = options.signal;
        signal = (typeof given === "object" || typeof given === "function") && given !== null && State.of(given)?.abort;
        if (!signal) throw new TypeError("addEventListener: the signal is no AbortSignal");
      }
    }
    if (callback !== null && callback !== undefined && typeof callback !== "function" && typeof callback !== "object") {
      throw new TypeError("addEventListener: the listener is neither a function nor an object");
    }
    if (callback === null || callback === undefined || signal?.aborted) return;
    if (find(state, type, callback, capture) >= 0) return;
    const next = [];
    for (let i = 0; i < state.listeners.length; i++) next[i] = state.listeners[i];
    next[next.length] = { type, callback, capture, once, passive, attribute: false, removed: false };
    state.listeners = next;
    signal?.algorithms.add(() => remove(object, type, callback, capture));
    state.changed?.(type);
  };
  const remove = (object, type, callback, options) => {
    const state = stateOf(object);
    type = `${type}`;
    const capture = typeof options === "boolean" ? options : !!options?.capture;
    const at = find(state, type, callback, capture);
    if (at < 0) return;
    drop(state, at);
    state.changed?.(type);
  };
  // Calls the listeners of one phase.
  const invoke = (object, listeners, event, type, capture) => {
    for (let i = 0; i < listeners.length; i++) {
      const listener = listeners[i];
      if (listener.type !== type || listener.capture !== capture || listener.removed) continue;
      if (listener.once) remove(object, type, listener.callback, capture);
      if (listener.passive) setPassive(event, true);
      try {
        const { callback } = listener;
        if (listener.attribute && type === "error" && object === globalThis && event instanceof ErrorEvent) {
          const { message, filename, lineno, colno, error } = event;
          if (apply(callback, object, [message, filename, lineno, colno, error]) === true) event.preventDefault();
        } else if (typeof callback === "function") {
          if (apply(callback, object, [event]) === false && listener.attribute) event.preventDefault();
        } else {
          const { handleEvent } = callback;
          if (typeof handleEvent !== "function") throw new TypeError("a listener without a function handleEvent");
          apply(handleEvent, callback, [event]);
        }
      } catch (error) {
        report(error);
      }
      if (listener.passive) setPassive(event, false);
      if (stopped(event) === 2) break;
    }
  };
  // Dispatches an event; `false` if a listener prevented what follows.
  const dispatch = (object, event, trusted = true) => {
    const { listeners } = stateOf(object);
    began(event, object, trusted);
    const type = event.type;
    let captures = false;
    for (let i = 0; i < listeners.length; i++) captures ||= listeners[i].capture;
    if (captures) invoke(object, listeners, event, type, true);
    if (stopped(event) === 0) invoke(object, listeners, event, type, false);
    dispatched(event);
    return !event.defaultPrevented;
  };
  // As scripts do it.
  const dispatchGiven = (object, event) => {
    stateOf(object);
    if (typeof event !== "object" || event === null || !isEvent(event)) throw new TypeError("dispatchEvent: this is no event");
    if (event.eventPhase !== 0) throw new DOMException("the event is being dispatched", "InvalidStateError");
    return dispatch(object, event, false);
  };

  class EventTarget {
    constructor() {
      target(this);
    }
    addEventListener(type, callback, options) {
      add(this, type, callback, options);
    }
    removeEventListener(type, callback, options) {
      remove(this, type, callback, options);
    }
    dispatchEvent(event) {
      return dispatchGiven(this, event);
    }
  }
  tag(EventTarget, "EventTarget");

  // `on…`: one listener that keeps its place while it is replaced.
  const attribute = (object, type, self) => {
    const own = (state) => {
      for (let i = 0; i < state.listeners.length; i++) {
        if (state.listeners[i].type === type && state.listeners[i].attribute) return i;
      }
      return -1;
    };
    defineProperty(object, `on${type}`, {
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
          const listener = { type, callback, capture: false, once: false, passive: false, attribute: true, removed: false };
          state.listeners = [...state.listeners, listener];
        }
        state.changed?.(type, true);
      },
      enumerable: true,
      configurable: true,
    });
  };

  // ---- errors ----

  let reporting = false;
  const FRAME = /^(?:.* \()?(.+?):(\d+):(\d+)\)?$/;
  // Where the innermost frame of a script is, in a stack of the engine's, or in one of Rust's, which is `bare`.
  const place = (stack, bare) => {
    for (const line of String(stack).split("\n")) {
      const frame = line.trimStart();
      if (line.includes("peristyle:") || !(bare || frame.startsWith("at "))) continue;
      const found = FRAME.exec(bare ? frame : frame.slice(3));
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
    if (manners.uncaught) manners.uncaught(error);
    else native.uncaught(kind, message, stack);
  };

  const rejected = (promise, reason) => {
    const event = new PromiseRejectionEvent("unhandledrejection", { promise, reason, cancelable: true });
    if (!dispatch(globalThis, event)) return;
    if (manners.rejected) return manners.rejected(promise, reason);
    const [kind, message, stack] = describe(reason);
    native.uncaught(kind, message, stack, true);
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
    manners.transfer?.(list);
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
      if (port === parent) listenToParent();
      else if (listening) native.listen(port);
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
    if (known.again) {
      native.setTimer(id, known.delay);
      if (known.loose) native.holdTimer(id, false);
    } else apply(timersDelete, timers, [id]);
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
      if (options?.type !== undefined && `${options.type}` !== "module") {
        throw new TypeError(`Worker: type ${show(options.type)} is not supported, only "module"`);
      }
      // Relative URLs are the calling module's, which the stack names.
      const { filename = "", lineno = 1, colno = 1 } = place(new Error().stack);
      url = `${url}`;
      const name = options?.name === undefined ? "" : `${options.name}`;
      const [id, port] = native.spawn(url, name, filename, lineno, colno);
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
    if (typeof worker === "function") {
      try {
        worker(kind, name, message, stack);
      } catch (error) {
        report(error);
      }
      return;
    }
    if (kind === "exit") {
      // Its port delivers what it still has, then closes: the other end is gone.
      apply(timersDelete, workers, [id]);
      return;
    }
    const event = new ErrorEvent("error", { message: `${name}: ${message}`, ...place(stack, true), error: null, cancelable: true });
    if (dispatch(worker, event)) native.uncaught(name, message, stack);
  };

  // ---- the global object ----

  setPrototypeOf(parent, MessagePort.prototype);
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
  const receivers = (port) => (port !== parent ? [port] : State.of(parent) ? [globalThis, parent] : [globalThis]);
  const deliver = (port, makeEvent) => {
    const all = receivers(port);
    for (let i = 0; i < all.length; i++) dispatch(all[i], makeEvent());
  };
  for (const type of ["message", "messageerror", "error", "unhandledrejection"]) attribute(globalThis, type, globalThis);

  const functions = {
    addEventListener(type, callback, options) {
      add(globalThis, type, callback, options);
    },
    removeEventListener(type, callback, options) {
      remove(globalThis, type, callback, options);
    },
    dispatchEvent(event) {
      return dispatchGiven(globalThis, event);
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
    native, inspect, parent, put, tag, apply, manners, timer, timers, clear, workers, DOMException, Event, EventTarget, ErrorEvent,
    MessageEvent, MessagePort, Worker,
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
    (name, message) => {
      if (name === "TypeError") return new TypeError(message);
      return name === "SyntaxError" ? new SyntaxError(message) : new DOMException(message, name);
    },
    (value, isMap) => [...apply(isMap ? mapEntries : setValues, value, [])],
    (port, data, ports) => deliver(port, () => messageEvent("message", data, ports)),
    (port) => deliver(port, () => messageEvent("messageerror", null, [])),
    (port) => void (port !== parent || State.of(port) ? dispatch(port, new Event("close")) : undefined),
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
    (promise) => void apply(then, promise, [() => native.started(true), (error) => (manners.failed ? manners.failed(error) : native.started(false, error))]),
    rejected,
    workerSaid,
    (id) => internals.woken(id),
    // Defines the globals of a part.
    (part) => {
      const globals = part(internals);
      for (const key of Reflect.ownKeys(globals)) put(globalThis, key, globals[key]);
    },
    // A channel's message, or the word that it cannot be read.
    (id, data, readable) => internals.heard(id, data, readable),
    (module) => (specifier) => native.resolve(module, `${specifier}`),
    MessagePort.prototype,
    DOMException.prototype,
  ];
});
