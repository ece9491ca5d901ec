import { parentPort, workerData } from "node:worker_threads";
import lib from "./lib.cjs";
await new Promise((resolve) => setTimeout(resolve, 1));
parentPort.postMessage([workerData * 2, lib.name, import.meta.url.endsWith("child.mjs")]);
