import { Worker } from "node:worker_threads";

const run = (text) =>
  new Promise((resolve) => {
    const worker = new Worker(text, { eval: true });
    worker.on("error", (error) => console.log("error", error instanceof Error ? [error.constructor.name, error.name, error.message, error.code, error.cause] : error));
    worker.on("exit", (code) => resolve(console.log("exit", code)));
  });
await run("throw new TypeError('t', { cause: 'why' })");
await run("throw Object.assign(new Error('m'), { code: 'E_CODE' })");
await run("throw null");
await run("throw { a: [1] }");
await run("throw undefined");
await run("Promise.reject(undefined)");
await run("Promise.reject('text')");
await run("queueMicrotask(() => { throw new SyntaxError('in a microtask') })");
await run("process.nextTick(() => { throw new EvalError('in a tick') })");
await run("setImmediate(() => process.exit(9))");
await run("try { process.exit(2) } finally { process.exit(3) }");
await run("process.on('exit', () => { process.exitCode = 8 })");
await run("new Promise(() => {})");
await run("nowhere");
