// The host object `$262` and `print`, on a bare global. Evaluates to a function that gets the natives of `test262.rs` and
// whether this is the realm of an agent that a test started; it returns the tools that Rust calls: describe, timer.
//
// Tests replace what they like, so everything is captured first, and a test finds nothing here but what it was given.
(native, isStarted) => {
  const global = globalThis;
  const text = String;
  const number = Number;
  const { defineProperty, create } = Object;
  const { apply } = Reflect;

  const define = (name, value) =>
    defineProperty(global, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });

  const started = {
    receiveBroadcast(callback) {
      const message = native.receive();
      if (message !== undefined) callback(message.buffer, message.value);
    },
    report(message) {
      native.report(text(message));
    },
    leaving() {
      native.leaving();
    },
  };
  const starting = {
    start(script) {
      native.start(text(script));
    },
    broadcast(buffer, value) {
      native.broadcast({ __proto__: null, buffer, value });
    },
    getReport() {
      return native.getReport();
    },
  };
  const agent = isStarted ? started : starting;
  agent.sleep = (ms) => {
    native.sleep(number(ms));
  };
  agent.monotonicNow = () => native.now();

  define("print", (message) => {
    native.print(text(message));
  });
  define("$262", {
    createRealm() {
      return native.createRealm();
    },
    detachArrayBuffer(buffer) {
      native.detach(buffer);
    },
    evalScript(script) {
      return native.evalScript(text(script));
    },
    gc() {
      native.gc();
    },
    global,
    AbstractModuleSource: native.abstractModuleSource(),
    IsHTMLDDA: native.htmlDda(),
    agent,
  });

  // Without one, the suite's own replacement spins in microtasks, which starves every other task.
  const timers = create(null);
  let last = 0;
  define("setTimeout", (callback, delay) => {
    last += 1;
    timers[last] = callback;
    native.setTimer(last, number(delay));
    return last;
  });

  return {
    // The constructor's name, as `negative` names errors; a text; a stack.
    describe(value) {
      if ((typeof value !== "object" && typeof value !== "function") || value === null) {
        let shown = "";
        try {
          shown = text(value);
        } catch {}
        return [typeof value, shown, ""];
      }
      const read = (get) => {
        try {
          const found = get();
          return typeof found === "string" ? found : "";
        } catch {
          return "";
        }
      };
      const name = read(() => value.constructor.name) || "Object";
      return [name, read(() => text(value.message)), read(() => value.stack)];
    },
    timer(id) {
      const callback = timers[id];
      delete timers[id];
      apply(callback, undefined, []);
    },
  };
}
