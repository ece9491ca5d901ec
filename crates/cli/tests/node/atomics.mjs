import { Worker, isMainThread, workerData, parentPort } from "node:worker_threads";
import { once } from "node:events";

const COUNT = 3;
if (isMainThread) {
  const shared = new SharedArrayBuffer(16);
  const words = new Int32Array(shared);
  const workers = Array.from({ length: COUNT }, () => new Worker(new URL(import.meta.url), { workerData: shared }));
  // The main thread may block.
  while (Atomics.load(words, 1) < COUNT) Atomics.wait(words, 1, Atomics.load(words, 1), 1000);
  console.log(Atomics.load(words, 0), Atomics.wait(words, 3, 1), Atomics.wait(words, 3, 0, 1));
  Atomics.store(words, 2, 1);
  console.log(Atomics.notify(words, 2) <= COUNT);
  console.log(await Promise.all(workers.map((worker) => once(worker, "exit"))));
  console.log(words);
} else {
  const words = new Int32Array(workerData);
  for (let i = 0; i < 1000; i++) Atomics.add(words, 0, 1);
  Atomics.add(words, 1, 1);
  Atomics.notify(words, 1);
  Atomics.wait(words, 2, 0);
}
