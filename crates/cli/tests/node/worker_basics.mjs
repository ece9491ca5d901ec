import { Worker, isMainThread, parentPort, workerData, threadId, resourceLimits } from "node:worker_threads";
import { once } from "node:events";

if (isMainThread) {
  console.log(isMainThread, parentPort, workerData, threadId, resourceLimits);
  const worker = new Worker(new URL(import.meta.url), { workerData: { n: 21, list: [1, , 3], when: new Date(0) }, argv: ["x", 7] });
  const events = [];
  for (const name of ["online", "message", "error", "exit"]) worker.on(name, (value) => events.push([name, value]));
  await once(worker, "message");
  console.log(worker.threadId);
  worker.postMessage("bye");
  await once(worker, "exit");
  console.log(events);
  console.log(worker.threadId);
} else {
  console.log(isMainThread, threadId, workerData, process.argv.slice(2));
  parentPort.postMessage({ answer: workerData.n * 2 });
  parentPort.once("message", (message) => parentPort.postMessage(new Map([[message, new Set([1n])]])));
}
