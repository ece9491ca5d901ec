const { Worker, isMainThread, parentPort } = require("node:worker_threads");

if (isMainThread) {
  const worker = new Worker(__filename);
  worker.on("message", (message) => console.log(message));
  worker.on("exit", (code) => console.log("exit", code));
  process.nextTick(() => console.log("tick"));
  Promise.resolve().then(() => console.log("promise"));
  console.log(typeof require, module.exports === exports, this === exports);
} else {
  parentPort.postMessage(["from", __filename.split("/").at(-1)]);
}
