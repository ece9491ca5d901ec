import { Worker } from "node:worker_threads";

const worker = new Worker("this is no script", { eval: true });
worker.on("error", (error) => console.log(error.name, error instanceof SyntaxError));
worker.on("exit", (code) => console.log("exit", code));
