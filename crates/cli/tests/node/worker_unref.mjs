import { Worker, MessageChannel } from "node:worker_threads";
import { once } from "node:events";

const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
await once(worker, "online");
worker.unref();
const { port1 } = new MessageChannel();
port1.on("message", () => {});
console.log(port1.hasRef());
port1.unref();
console.log(port1.hasRef());
setTimeout(() => console.log("never"), 100_000).unref();
const timer = setInterval(() => {}, 100_000);
console.log(timer.hasRef(), timer.unref() === timer, timer.hasRef(), timer.ref().hasRef());
timer.unref();
process.on("exit", (code) => console.log("exit", code));
console.log("end");
