// node:worker_threads
(function (node) {
  "use strict";

  const { internals, native, seat, first, control, failure, badType, mustBe } = node;
  const { MessagePort, parent, portState, transferList, workers, State, messageEvent } = internals;
  const { MessageChannel } = globalThis;
  const EventEmitter = node.builtin("events");
  const { apply } = Reflect;
  const put = internals.put;
  const SHARE_ENV = Symbol.for("nodejs.worker_threads.SHARE_ENV");

  // ---- ports: Node's methods beside the web's ----

  const { addEventListener, removeEventListener, start, close } = MessagePort.prototype;
  const { get: getOnMessage, set: setOnMessage } = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
  const isNode = seat.manners;
  const emitters = new WeakMap();
  // What `on` was given, by type: { listener, wrapped }.
  const listenersOf = (port) => {
    if (!emitters.has(port)) emitters.set(port, new Map());
    return emitters.get(port);
  };
  const begin = (port, type) => {
    if (type !== "message") return;
    ref(port, true);
    apply(start, port, []);
  };
  // Whether a port keeps its agent; what was said last counts, also before it listens.
  const kept = new WeakMap();
  const ref = (port, holds) => {
    kept.set(port, holds);
    native.holdPort(port, holds);
  };
  const subscribe = (port, type, listener, once) => {
    mustBe("listener", "function", listener);
    type = `${type}`;
    const all = listenersOf(port);
    const wrapped = (event) => {
      if (once) unsubscribe(port, type, listener);
      apply(listener, port, event.type === "message" || event.type === "messageerror" ? [event.data] : event.args ?? []);
    };
    const list = all.get(type) ?? [];
    if (list.some((known) => known.listener === listener)) return port;
    all.set(type, [...list, { listener, wrapped }]);
    apply(addEventListener, port, [type, wrapped]);
    begin(port, type);
    return port;
  };
  const unsubscribe = (port, type, listener) => {
    const all = listenersOf(port);
    type = `${type}`;
    const list = all.get(type) ?? [];
    const found = list.find((known) => known.listener === listener);
    if (!found) return port;
    all.set(type, list.filter((known) => known !== found));
    apply(removeEventListener, port, [type, found.wrapped]);
    return port;
  };
  const closed = new WeakSet();
  const methods = {
    on(type, listener) {
      return subscribe(this, type, listener, false);
    },
    once(type, listener) {
      return subscribe(this, type, listener, true);
    },
    off(type, listener) {
      return unsubscribe(this, type, listener);
    },
    emit(type, ...args) {
      const event = type === "message" ? messageEvent("message", args[0], []) : Object.assign(new internals.Event(type), { args });
      internals.dispatch(this, event);
      return this.listenerCount(type) > 0;
    },
    listenerCount: function (type) {
      return State.of(this)?.listeners.filter((known) => known.type === type).length ?? 0;
    },
    eventNames() {
      return [...new Set((State.of(this)?.listeners ?? []).map(({ type }) => type))];
    },
    removeAllListeners(type) {
      for (const [known, list] of listenersOf(this)) {
        if (type === undefined || known === type) for (const { listener } of list) unsubscribe(this, known, listener);
      }
      return this;
    },
    setMaxListeners() {
      return this;
    },
    getMaxListeners: () => EventEmitter.defaultMaxListeners,
    ref() {
      ref(this, true);
    },
    unref() {
      ref(this, false);
    },
    hasRef() {
      return kept.get(this) !== false && !!State.of(this)?.listening;
    },
  };
  methods.addListener = methods.on;
  methods.removeListener = methods.off;
  for (const key of Object.keys(methods)) put(MessagePort.prototype, key, methods[key]);
  if (isNode) {
    // As in Node: listening for messages starts a port, and a port that is closed tells so itself, too.
    put(MessagePort.prototype, "addEventListener", function addEventListener_(type, ...rest) {
      apply(addEventListener, this, [type, ...rest]);
      begin(this, `${type}`);
    });
    put(MessagePort.prototype, "close", function close_(callback) {
      if (closed.has(this)) return;
      closed.add(this);
      if (typeof callback === "function") this.once("close", callback);
      const wasOpen = internals.isOpen?.(this) ?? true;
      apply(close, this, []);
      if (wasOpen) node.timers.setImmediate(() => internals.dispatch((portState(this), this), new internals.Event("close")));
    });
    Object.defineProperty(MessagePort.prototype, "onmessage", {
      get: getOnMessage,
      set(value) {
        if (typeof value === "function") ref(this, true);
        apply(setOnMessage, this, [value]);
      },
      enumerable: true,
      configurable: true,
    });
  }

  // ---- what is not to be transferred ----

  const untransferable = new WeakSet();
  internals.manners.transfer = (list) => {
    // As in Node 20, what is marked is cloned all the same.
    let kept = 0;
    for (let i = 0; i < list.length; i++) if (!untransferable.has(list[i])) list[kept++] = list[i];
    list.length = kept;
  };
  const markAsUntransferable = (object) => {
    if ((typeof object === "object" || typeof object === "function") && object !== null) untransferable.add(object);
  };

  const receiveMessageOnPort = (port) => {
    if (!(port instanceof MessagePort)) {
      throw failure(TypeError, "ERR_INVALID_ARG_TYPE", 'The "port" argument must be a MessagePort instance');
    }
    const received = native.receive(port);
    return received ? { message: received[0] } : undefined;
  };

  // ---- data for workers ----

  const environment = new Map(first.environment ?? []);
  const getEnvironmentData = (key) => environment.get(key);
  const setEnvironmentData = (key, value) => {
    if (value === undefined) environment.delete(key);
    else environment.set(key, value);
  };

  // ---- Worker ----

  const LIMITS = ["maxYoungGenerationSizeMb", "maxOldGenerationSizeMb", "codeRangeSizeMb", "stackSizeMb"];
  const limitsOf = (given = {}) => {
    const limits = { maxYoungGenerationSizeMb: 0, maxOldGenerationSizeMb: seat.heapMb, codeRangeSizeMb: 0, stackSizeMb: seat.stackMb };
    for (const name of LIMITS) if (typeof given[name] === "number") limits[name] = given[name];
    return limits;
  };

  // What a worker writes, as a stream that is read.
  const readable = () => {
    const stream = new EventEmitter();
    let encoding = null;
    const chunkOf = (text) => (encoding ? text : node.builtin("buffer").Buffer.from(text));
    return Object.assign(stream, {
      readable: true,
      setEncoding(name) {
        encoding = name;
        return stream;
      },
      push(text) {
        if (text === null) {
          stream.emit("end");
          stream.emit("close");
        } else stream.emit("data", chunkOf(text));
      },
      pipe(target) {
        stream.on("data", (chunk) => target.write(chunk));
        return target;
      },
      async *[Symbol.asyncIterator]() {
        for await (const [kind, chunk] of chunks(stream)) {
          if (kind === "end") return;
          yield chunk;
        }
      },
    });
  };
  const chunks = async function* (stream) {
    const came = [];
    let wake = null;
    const tell = (kind) => (chunk) => {
      came.push([kind, chunk]);
      wake?.();
    };
    stream.on("data", tell("data"));
    stream.on("end", tell("end"));
    for (;;) {
      while (came.length > 0) yield came.shift();
      await new Promise((resolve) => (wake = resolve));
    }
  };

  const { isAbsolute, resolve: resolvePath } = node.builtin("path");
  const { fileURLToPath } = node.builtin("url");
  // What Rust is to load.
  const scriptOf = (filename, isText) => {
    if (isText) {
      if (typeof filename !== "string") {
        const message = "The property 'options.eval' must be false when 'filename' is not a string. Received true";
        throw failure(TypeError, "ERR_INVALID_ARG_VALUE", message);
      }
      return filename;
    }
    if (typeof filename === "object" && filename !== null && typeof filename.href === "string") {
      if (filename.protocol === "data:") return filename.href;
      if (filename.protocol === "file:") return fileURLToPath(filename);
      throw failure(TypeError, "ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
    }
    if (typeof filename !== "string") throw badType("filename", "of type string or an instance of URL", filename);
    if (isAbsolute(filename) || /^\.\.?[\\/]/.test(filename)) return resolvePath(filename);
    const wrap = /^(file|data):/.test(filename) ? ` Wrap ${filename.startsWith("data:") ? "data:" : "file://"} URLs with \`new URL\`.` : "";
    throw failure(
      TypeError,
      "ERR_WORKER_PATH",
      "The worker script or module filename must be an absolute path or a relative path starting with './' or '../'." +
        `${wrap} Received "${filename}"`,
    );
  };

  // Whether a text can only be an ES module.
  const isModule = (text) => {
    if (!/^\s*(?:import|export)\b/m.test(text)) return false;
    try {
      native.compile(text, "[worker eval]");
      return false;
    } catch {
      return true;
    }
  };

  class Worker extends EventEmitter {
    #id;
    #port;
    #control;
    #over = false;
    #ending = null;
    #failed = null;
    #terminated = false;
    constructor(filename, options = {}) {
      super();
      options ??= {};
      const script = scriptOf(filename, !!options.eval);
      if (options.argv !== undefined && !Array.isArray(options.argv)) throw badType("options.argv", "an instance of Array", options.argv);
      if (options.execArgv !== undefined && !Array.isArray(options.execArgv)) {
        throw badType("options.execArgv", "an instance of Array", options.execArgv);
      }
      const { env } = options;
      if (env !== undefined && env !== null && env !== SHARE_ENV && typeof env !== "object") {
        throw badType("options.env", "of type object or one of undefined, null, or worker_threads.SHARE_ENV", env);
      }
      const limits = limitsOf(options.resourceLimits);
      const { port1, port2 } = new MessageChannel();
      this.#control = port1;
      put(this, "resourceLimits", limits);
      put(this, "stdin", null);
      put(this, "stdout", readable());
      put(this, "stderr", readable());
      const [stdout, stderr] = [!!options.stdout, !!options.stderr];
      const boot = {
        workerData: options.workerData, environment: [...environment], control: port2, stdout, stderr, limits,
        eval: options.eval ? true : false,
      };
      const asked = {
        script,
        eval: options.eval ? (isModule(script) ? "module" : "script") : null,
        name: typeof options.name === "string" ? options.name : "",
        arguments: (options.argv ?? []).map((item) => `${item}`),
        env: env && env !== SHARE_ENV ? Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined).map(([key, value]) => [key, `${value}`])) : null,
        sharesEnv: env === SHARE_ENV,
        heap: options.resourceLimits?.maxOldGenerationSizeMb === undefined ? null : +options.resourceLimits.maxOldGenerationSizeMb,
        stack: options.resourceLimits?.stackSizeMb === undefined ? null : +options.resourceLimits.stackSizeMb,
      };
      const list = [port2, ...(options.transferList ?? [])];
      [this.#id, this.#port] = native.spawnNode(asked, boot, transferList(list));
      put(this, "threadId", this.#id);
      workers.set(this.#id, (kind, ...texts) => this.#said(kind, ...texts));
      port1.onmessage = ({ data }) => this.#told(data);
      native.holdPort(port1, false);
      const port = this.#port;
      portState(port);
      port.onmessage = ({ data }) => this.emit("message", data);
      port.onmessageerror = () => this.emit("messageerror", failure(TypeError, "ERR_WORKER_MESSAGE", "a message could not be read"));
      native.holdPort(port, false);
    }
    // The worker's `boot.js` said something.
    #told(data) {
      if (data.online) this.emit("online");
      else if (data.failed) this.#failed = { error: data.error instanceof Error ? Object.assign(data.error, data.own) : data.error };
      else for (const name of ["stdout", "stderr"]) if (data[name] !== undefined) this[name].push(data[name]);
    }
    // Rust said something.
    #said(kind, name, message, stack) {
      if (kind === "error") {
        if (!this.#failed && name !== "") this.#failed = { error: errorOf(name, message, stack) };
        return;
      }
      if (kind === "memory") {
        const limit = "Worker terminated due to reaching memory limit: JS heap out of memory";
        this.#failed ??= { error: failure(Error, "ERR_WORKER_OUT_OF_MEMORY", limit) };
        return;
      }
      const code = +name;
      if (code !== 13 && !this.#failed && message !== "" && !this.#terminated) {
        this.#failed = { error: failure(Error, "ERR_WORKER_TERMINATED", message) };
      }
      this.#end(code, code === 13 || !this.#failed ? undefined : this.#failed.error, !!this.#failed && code !== 13);
    }
    #end(code, error, failed = error !== undefined) {
      this.#over = true;
      if (this.#id !== undefined) {
        workers.delete(this.#id);
        apply(close, this.#port, []);
      }
      apply(close, this.#control, []);
      put(this, "threadId", -1);
      for (const stream of [this.stdout, this.stderr]) stream.push(null);
      const exit = () => {
        this.emit("exit", code);
        this.removeAllListeners();
      };
      if (!failed) return exit();
      // A task of its own, so that whoever awaited the error can still wait for the end.
      node.timers.setImmediate(exit);
      this.emit("error", error);
    }
    postMessage(value, transfer) {
      if (!this.#port || this.#over) return;
      native.post(this.#port, value, transferList(transfer));
    }
    terminate() {
      if (this.#over || this.#id === undefined) return Promise.resolve();
      this.ref();
      this.#terminated = true;
      this.#ending ??= new Promise((resolve) => this.once("exit", resolve));
      native.terminate(this.#id);
      return this.#ending;
    }
    ref() {
      if (!this.#over && this.#id !== undefined) native.holdWorker(this.#id, true);
    }
    unref() {
      if (!this.#over && this.#id !== undefined) native.holdWorker(this.#id, false);
    }
    [Symbol.asyncDispose ?? Symbol("asyncDispose")]() {
      return this.terminate();
    }
  }

  // An error that Rust tells by its texts.
  const errorOf = (name, message, stack) => {
    const Kind = typeof globalThis[name] === "function" && (globalThis[name] === Error || Error.isPrototypeOf(globalThis[name])) ? globalThis[name] : Error;
    const error = new Kind(message);
    put(error, "stack", [`${name}: ${message}`, ...stack.split("\n").filter(Boolean).map((line) => `    at ${line}`)].join("\n"));
    return error;
  };

  // A worker tells its parent of the error that ends it: the value itself, if it can be cloned.
  const tellError = (port, error) => {
    // A clone keeps an error's class, message, stack and cause, but no other property.
    const own = {};
    if (error instanceof Error) for (const key of Object.keys(error)) if (isPlain(error[key])) own[key] = error[key];
    try {
      port.postMessage({ failed: true, error, own });
    } catch {
      const shown = new Error(error instanceof Error ? error.message : node.builtin("util").inspect(error));
      if (error instanceof Error) put(shown, "stack", error.stack);
      port.postMessage({ failed: true, error: shown, own });
    }
  };
  const isPlain = (value) => value === null || !["object", "function", "symbol"].includes(typeof value);

  const parentPort = seat.origin === "rust" ? null : parent;
  const exports = {
    isMainThread: seat.origin === "rust",
    parentPort,
    workerData: seat.origin === "node" ? first.workerData : null,
    threadId: seat.thread,
    resourceLimits: seat.origin === "node" ? first.limits : {},
    SHARE_ENV, Worker, MessagePort, MessageChannel, receiveMessageOnPort, markAsUntransferable,
    isMarkedAsUntransferable: (object) => untransferable.has(object),
    getEnvironmentData, setEnvironmentData,
  };
  const { BroadcastChannel } = globalThis;
  if (BroadcastChannel) {
    exports.BroadcastChannel = BroadcastChannel;
    const keep = (holds) =>
      function () {
        internals.holdBroadcast(this, holds);
        return this;
      };
    put(BroadcastChannel.prototype, "ref", keep(true));
    put(BroadcastChannel.prototype, "unref", keep(false));
  }
  Object.defineProperty(exports, "tellError", { value: tellError });
  return exports;
});
