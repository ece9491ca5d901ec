// AbortController, AbortSignal and CustomEvent.
(function (internals) {
  "use strict";

  const { State, stateOf, dispatch, attribute, tag, report, DOMException, Event, EventTarget } = internals;
  const { Math, Number, Set, TypeError, WeakRef, setTimeout } = globalThis;
  const now = internals.native.now;

  const KEY = {};
  // A signal's state holds `abort`: whether it was aborted, why, and what runs then.
  class AbortSignal extends EventTarget {
    constructor(key) {
      if (key !== KEY) throw new TypeError("AbortSignal has no constructor: new AbortController() makes one");
      super();
      stateOf(this).abort = { aborted: false, reason: undefined, algorithms: new Set(), sources: [], dependents: [] };
    }
    get aborted() {
      return abortOf(this).aborted;
    }
    get reason() {
      return abortOf(this).reason;
    }
    throwIfAborted() {
      const abort = abortOf(this);
      if (abort.aborted) throw abort.reason;
    }
    static abort(reason = new DOMException("the operation was aborted", "AbortError")) {
      const signal = new AbortSignal(KEY);
      const state = abortOf(signal);
      state.aborted = true;
      state.reason = reason;
      return signal;
    }
    static timeout(milliseconds) {
      const delay = Math.trunc(+milliseconds);
      if (!(delay >= 0 && delay <= Number.MAX_SAFE_INTEGER)) {
        throw new TypeError("AbortSignal.timeout: the time is no number of milliseconds");
      }
      const signal = new AbortSignal(KEY);
      const end = now() + delay;
      // Timers know 31 bits.
      const wait = () => {
        const left = end - now();
        if (left > 0) setTimeout(wait, Math.min(Math.ceil(left), 2147483647));
        else signalAbort(signal, new DOMException("the operation timed out", "TimeoutError"));
      };
      setTimeout(wait, Math.min(delay, 2147483647));
      return signal;
    }
    static any(signals) {
      const sources = [...signals];
      for (const source of sources) abortOf(source);
      const signal = new AbortSignal(KEY);
      const abort = abortOf(signal);
      for (const source of sources) {
        const known = abortOf(source);
        if (known.aborted) {
          abort.aborted = true;
          abort.reason = known.reason;
          return signal;
        }
      }
      for (const source of sources) {
        // Signals depend on those that depend on none.
        const known = abortOf(source);
        for (const origin of known.sources.length > 0 ? known.sources : [source]) {
          if (abort.sources.includes(origin)) continue;
          abort.sources.push(origin);
          const { dependents } = abortOf(origin);
          for (let i = dependents.length - 1; i >= 0; i--) if (!dependents[i].deref()) dependents.splice(i, 1);
          dependents.push(new WeakRef(signal));
        }
      }
      // While somebody listens, or something is to be done, its sources keep it.
      const state = stateOf(signal);
      state.changed = (type) => {
        if (type !== "abort") return;
        const listening = internals.listens(state, "abort") || abort.algorithms.size > 0;
        for (const origin of abort.sources) {
          const { kept } = abortOf(origin);
          if (listening) (abortOf(origin).kept = kept ?? new Set()).add(signal);
          else kept?.delete(signal);
        }
      };
      return signal;
    }
  }
  tag(AbortSignal, "AbortSignal");
  attribute(AbortSignal.prototype, "abort");
  const abortOf = (signal) => {
    const known = (typeof signal === "object" || typeof signal === "function") && signal !== null && State.of(signal)?.abort;
    if (!known) throw new TypeError("this is no AbortSignal");
    return known;
  };

  const run = (signal) => {
    const { algorithms } = abortOf(signal);
    for (const algorithm of [...algorithms]) {
      try {
        algorithm();
      } catch (error) {
        report(error);
      }
    }
    algorithms.clear();
    dispatch(signal, new Event("abort"));
  };
  const signalAbort = (signal, reason) => {
    const abort = abortOf(signal);
    if (abort.aborted) return;
    abort.aborted = true;
    abort.reason = reason;
    const dependents = [];
    // All are aborted before anybody is told.
    for (const reference of abort.dependents) {
      const dependent = reference.deref();
      const state = dependent && abortOf(dependent);
      if (!state || state.aborted) continue;
      state.aborted = true;
      state.reason = reason;
      dependents.push(dependent);
    }
    run(signal);
    for (const dependent of dependents) run(dependent);
    abort.dependents = [];
    abort.kept = undefined;
  };

  class AbortController {
    #signal = new AbortSignal(KEY);
    get signal() {
      return this.#signal;
    }
    abort(reason = new DOMException("the operation was aborted", "AbortError")) {
      signalAbort(this.#signal, reason);
    }
  }
  tag(AbortController, "AbortController");

  class CustomEvent extends Event {
    #detail;
    constructor(type, init = undefined) {
      if (arguments.length === 0) throw new TypeError("an event needs a type");
      super(type, init);
      this.#detail = init?.detail === undefined ? null : init.detail;
    }
    get detail() {
      return this.#detail;
    }
  }
  tag(CustomEvent, "CustomEvent");

  return { AbortController, AbortSignal, CustomEvent };
});
