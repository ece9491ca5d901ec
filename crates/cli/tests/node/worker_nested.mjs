import { Worker, isMainThread, parentPort, workerData, threadId } from "node:worker_threads";

if (isMainThread || workerData.depth < 3) {
  const depth = isMainThread ? 1 : workerData.depth + 1;
  const worker = new Worker(new URL(import.meta.url), { workerData: { depth } });
  worker.on("message", (path) => (isMainThread ? console.log(path) : parentPort.postMessage([depth - 1, ...path])));
  worker.on("exit", (code) => isMainThread && console.log("exit", code));
} else {
  parentPort.postMessage([workerData.depth]);
}
