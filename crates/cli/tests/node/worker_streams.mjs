import { Worker } from "node:worker_threads";

const worker = new Worker("console.log('out', { a: 1 }); console.error('err'); process.stdout.write('no line');", { eval: true, stdout: true, stderr: true });
let [out, err] = ["", ""];
worker.stdout.setEncoding("utf8").on("data", (chunk) => (out += chunk));
worker.stderr.on("data", (chunk) => (err += chunk.toString()));
worker.on("exit", (code) => setTimeout(() => console.log([out, err, code]), 50));
