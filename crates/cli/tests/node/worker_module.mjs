import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { once } from "node:events";

const attempt = async (specifier, options) => {
  const worker = new Worker(specifier, options);
  const seen = [];
  worker.on("message", (message) => seen.push(message));
  worker.on("error", (error) => seen.push(error instanceof Error));
  const code = await new Promise((resolve) => worker.on("exit", resolve));
  console.log(seen, code);
};
await attempt(new URL("data:text/javascript,import { parentPort } from 'node:worker_threads'; parentPort.postMessage(import.meta.url.slice(0, 5));"));
await attempt(new URL("./shared/child.mjs", import.meta.url), { workerData: 3 });
await attempt(new URL("./shared/child.mjs", import.meta.url).pathname, { workerData: 4 });
await attempt(new URL("./shared/child.cjs", import.meta.url), { workerData: 5, argv: ["--flag"] });
await attempt(new URL("./shared/nowhere.mjs", import.meta.url));
