// Events, their targets, and what nobody caught.
(function (internals) {
  "use strict";

  const { native, parent, State, target, stateOf, drop, describe, manners, tag, apply, defineProperty } = internals;
  const { Error, String, TypeError } = globalThis;

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
  const PHASES = ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"];
  for (let value = 0; value < PHASES.length; value++) {
    defineProperty(Event, PHASES[value], { __proto__: null, value, enumerable: true });
    defineProperty(Event.prototype, PHASES[value], { __proto__: null, value, enumerable: true });
  }
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
    let abort;
    if ((typeof options === "object" && options !== null) || typeof options === "function") {
      capture = !!options.capture;
      once = !!options.once;
      passive = !!options.passive;
      if (options.signal !== undefined) {
        const given = options.signal;
        signal = (typeof given === "object" || typeof given === "function") && given !== null && State.of(given);
        abort = signal && signal.abort;
        if (!abort) throw new TypeError("addEventListener: the signal is no AbortSignal");
      }
    }
    if (callback !== null && callback !== undefined && typeof callback !== "function" && typeof callback !== "object") {
      throw new TypeError("addEventListener: the listener is neither a function nor an object");
    }
    if (callback === null || callback === undefined || abort?.aborted) return;
    if (find(state, type, callback, capture) >= 0) return;
    const next = [];
    for (let i = 0; i < state.listeners.length; i++) next[i] = state.listeners[i];
    const listener = { type, callback, capture, once, passive, attribute: false, removed: false, forget: undefined };
    next[next.length] = listener;
    state.listeners = next;
    if (abort) {
      // What the signal does, and keeps, as long as the listener is there.
      const algorithm = () => remove(object, type, callback, capture);
      abort.algorithms.add(algorithm);
      signal.changed?.("abort");
      listener.forget = () => {
        abort.algorithms.delete(algorithm);
        signal.changed?.("abort");
      };
    }
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
    if (event.eventPhase !== 0) throw new internals.DOMException("the event is being dispatched", "InvalidStateError");
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

  // ---- messages ----

  const receivers = (port) => (port !== parent ? [port] : State.of(parent) ? [globalThis, parent] : [globalThis]);
  const deliver = (port, makeEvent) => {
    const all = receivers(port);
    for (let i = 0; i < all.length; i++) dispatch(all[i], makeEvent());
  };
  const delivered = (port, data, ports) => deliver(port, () => messageEvent("message", data, ports));
  const closed = (port) => void (port !== parent || State.of(port) ? dispatch(port, new Event("close")) : undefined);
  const unreadable = (port) => deliver(port, () => messageEvent("messageerror", null, []));

  internals.Event = Event;
  internals.EventTarget = EventTarget;
  internals.MessageEvent = MessageEvent;
  internals.ErrorEvent = ErrorEvent;
  internals.PromiseRejectionEvent = PromiseRejectionEvent;
  internals.add = add;
  internals.remove = remove;
  internals.dispatch = dispatch;
  internals.dispatchGiven = dispatchGiven;
  internals.messageEvent = messageEvent;
  internals.place = place;
  internals.report = report;
  internals.rejected = rejected;
  internals.delivered = delivered;
  internals.unreadable = unreadable;
  internals.closed = closed;
  return { Event, EventTarget, MessageEvent, ErrorEvent, PromiseRejectionEvent };
});
