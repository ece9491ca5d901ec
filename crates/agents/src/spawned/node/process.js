// node:process, and the global `process` of agents in Node's manner.
(function (node) {
  "use strict";

  const { native, host, seat, first, control, failure, badType, outOfRange } = node;
  const EventEmitter = node.builtin("events");

  class Process extends EventEmitter {}
  Object.defineProperty(Process, "name", { value: "process" });
  const process = new Process();

  const env = new Proxy(Object.create(null), {
    get: (_, name) => (typeof name === "string" ? host("env.get", name) ?? undefined : undefined),
    set(_, name, value) {
      if (typeof name === "symbol" || typeof value === "symbol") throw new TypeError("Cannot convert a Symbol value to a string");
      host("env.set", name, `${value}`);
      return true;
    },
    has: (_, name) => typeof name === "string" && host("env.get", name) !== null,
    deleteProperty(_, name) {
      if (typeof name === "string") host("env.delete", name);
      return true;
    },
    ownKeys: () => host("env.keys"),
    getOwnPropertyDescriptor(_, name) {
      const value = typeof name === "string" ? host("env.get", name) : null;
      return value === null ? undefined : { value, writable: true, enumerable: true, configurable: true };
    },
    defineProperty(target, name, { value }) {
      return this.set(target, name, value);
    },
  });

  // A stream that is only written to. A worker's may go to its parent instead.
  const stream = (name, fd) => {
    const output = new EventEmitter();
    const write = control && first[name] ? (text) => control.postMessage({ [name]: text }) : (text) => host("write", name, text);
    const textOf = (chunk) => {
      if (typeof chunk === "string") return chunk;
      if (ArrayBuffer.isView(chunk)) return node.builtin("buffer").Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString();
      throw badType("chunk", "of type string or an instance of Buffer or Uint8Array", chunk);
    };
    return Object.assign(output, {
      fd,
      writable: true,
      write(chunk, encoding, callback) {
        write(textOf(chunk));
        const done = typeof encoding === "function" ? encoding : callback;
        if (typeof done === "function") node.nextTick(done);
        return true;
      },
      end(chunk, encoding, callback) {
        if (chunk !== undefined && typeof chunk !== "function") output.write(chunk, encoding, callback);
        return output;
      },
    });
  };

  let exitCode;
  const hrtime = (before) => {
    const now = native.now();
    let seconds = Math.trunc(now / 1e3);
    let nanoseconds = Math.trunc((now % 1e3) * 1e6);
    if (before !== undefined) {
      if (!Array.isArray(before)) throw badType("time", "an instance of Array", before);
      seconds -= before[0];
      nanoseconds -= before[1];
      if (nanoseconds < 0) {
        seconds -= 1;
        nanoseconds += 1e9;
      }
    }
    return [seconds, nanoseconds];
  };
  hrtime.bigint = () => BigInt(Math.trunc(native.now() * 1e6));
  const memoryUsage = () => {
    const heapUsed = native.heapBytes();
    return { rss: host("memory").rss, heapTotal: heapUsed, heapUsed, external: 0, arrayBuffers: 0 };
  };
  memoryUsage.rss = () => host("memory").rss;

  const argv = [seat.program, seat.main, ...seat.arguments];
  const warned = new Set();
  Object.assign(process, {
    title: "peristyle", pid: seat.pid, ppid: seat.ppid, platform: seat.platform, arch: seat.arch, argv, argv0: "peristyle", execArgv: [],
    execPath: seat.program, env, exitCode: undefined,
    // The Node whose rules are followed; and what this is.
    version: "v20.0.0",
    versions: { node: "20.0.0", peristyle: seat.version },
    release: { name: "node" },
    features: {},
    config: {},
    stdout: stream("stdout", 1),
    stderr: stream("stderr", 2),
    exit: node.exit,
    reallyExit: (code) => native.exit(code ?? 0),
    nextTick: node.nextTick,
    hrtime, memoryUsage,
    cwd: () => seat.cwd,
    uptime: () => native.now() / 1e3,
    umask: () => 0o22,
    chdir() {
      throw failure(Error, "ERR_WORKER_UNSUPPORTED_OPERATION", "process.chdir() is not supported in workers");
    },
    abort() {
      throw failure(Error, "ERR_WORKER_UNSUPPORTED_OPERATION", "process.abort() is not supported in workers");
    },
    emitWarning(warning, type = "Warning", code) {
      if (typeof type === "object" && type !== null) ({ type = "Warning", code } = type);
      const error = warning instanceof Error ? warning : Object.assign(new Error(`${warning}`), { name: type });
      if (code !== undefined) error.code = code;
      if (error.name === "DeprecationWarning" && warned.has(error.message)) return;
      warned.add(error.message);
      node.nextTick(() => {
        if (process.emit("warning", error)) return;
        const shown = error.code ? `[${error.code}] ` : "";
        process.stderr.write(`(peristyle:${seat.pid}) ${shown}${error.name}: ${error.message}\n`);
      });
    },
  });
  Object.defineProperty(process, "exitCode", {
    get: () => exitCode,
    set(code) {
      if (code === undefined || code === null) {
        exitCode = undefined;
        return;
      }
      const number = typeof code === "string" && code.trim() !== "" ? Number(code) : code;
      if (typeof number !== "number") throw badType("code", "of type number", code);
      if (!Number.isInteger(number)) {
        if (typeof code === "string") throw badType("code", "of type number", code);
        throw outOfRange("code", "an integer", code);
      }
      exitCode = number | 0;
    },
    enumerable: true,
    configurable: false,
  });
  Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });
  return process;
});
