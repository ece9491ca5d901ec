import { Worker } from "node:worker_threads";
import { once } from "node:events";

const worker = new Worker("require('worker_threads').parentPort.postMessage('up'); for (;;);", { eval: true });
worker.on("exit", (code) => console.log("exit", code));
worker.on("error", (error) => console.log("error", error));
await once(worker, "message");
console.log(await worker.terminate());
console.log(await worker.terminate());
worker.postMessage("to nobody");

const sleeper = new Worker("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", { eval: true });
await once(sleeper, "online");
console.log(await sleeper.terminate());

const pending = new Worker("setInterval(() => {}, 1000)", { eval: true });
await once(pending, "online");
const [one, other] = [pending.terminate(), pending.terminate()];
console.log(await one, await other);
