import { Worker } from "node:worker_threads";

const run = async (text, options) => {
  const worker = new Worker(text, { eval: true, ...options });
  const seen = [];
  worker.on("message", (message) => seen.push(message));
  worker.on("error", (error) => seen.push(["error", error.name, error.name === "SyntaxError" || error.message, error.code]));
  const code = await new Promise((resolve) => worker.on("exit", resolve));
  console.log(seen, code);
};
await run("const { parentPort, workerData } = require('worker_threads'); parentPort.postMessage(workerData + 1);", { workerData: 1 });
await run("const { parentPort } = require('node:worker_threads'); parentPort.postMessage([typeof require, typeof module, typeof exports, __filename, this === module.exports]);");
await run("process.exit(7)");
await run("process.exitCode = 4");
await run("throw new RangeError('no')");
await run("throw 42");
await run("Promise.reject(new TypeError('rejected'))");
await run("setTimeout(() => { throw Object.assign(new Error('late'), { code: 'E_LATE' }) }, 1)");
await run("return;");
await run("require('node:nothing')");
await run("process.on('exit', (code) => require('worker_threads').parentPort.postMessage(['exiting', code])); process.exitCode = 3;");
await run("process.on('uncaughtException', (error, origin) => { require('worker_threads').parentPort.postMessage([error.message, origin]); }); throw new Error('caught');");
await run("process.on('unhandledRejection', (reason) => { require('worker_threads').parentPort.postMessage(reason); }); Promise.reject(5);");
