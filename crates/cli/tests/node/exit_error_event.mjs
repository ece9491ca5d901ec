import { Worker } from "node:worker_threads";
process.on("exit", (code) => console.log("exit", code));
new Worker("throw new Error('nobody listens')", { eval: true });
