// A figure in Node's worker_threads: `node node.mjs FIGURE`, printed as a number.
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

import { answer, figures, listen } from "./measure.mjs";

const IDLE = "require('node:worker_threads').parentPort.on('message', () => {}).postMessage(1)";
const idle = () =>
  new Promise((resolve) => {
    const worker = new Worker(IDLE, { eval: true });
    worker.once("message", () => resolve(worker));
  });

const own = {
  // From `new Worker` to its first message, in microseconds.
  async ready() {
    const took = [];
    for (let i = 0; i < 12; i++) {
      const start = performance.now();
      const worker = await idle();
      took.push((performance.now() - start) * 1000);
      await worker.terminate();
    }
    return took.sort((a, b) => a - b)[6];
  },
  // Resident bytes of an idle worker.
  async memory() {
    const settle = () => new Promise((resolve) => setTimeout(resolve, 1000));
    await idle();
    await settle();
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 20; i++) await idle();
    await settle();
    return (process.memoryUsage.rss() - before) / 20;
  },
};

if (isMainThread) {
  const name = process.argv[2];
  let took;
  if (own[name]) {
    took = await own[name]();
  } else {
    const worker = new Worker(new URL(import.meta.url));
    const peer = {
      post: (value, transfer) => worker.postMessage(value, transfer),
      on: (callback) => worker.removeAllListeners("message").on("message", callback),
    };
    const listeners = (count, callback) => {
      for (let i = 0; i < count; i++) {
        new Worker(new URL(import.meta.url), { workerData: "listener" }).on("message", callback);
      }
    };
    took = await figures[name](peer, listeners);
  }
  console.log(took);
  process.exit();
} else {
  if (workerData === "listener") listen((value) => parentPort.postMessage(value));
  parentPort.on("message", (data) => answer(data, (value, transfer) => parentPort.postMessage(value, transfer)));
}
