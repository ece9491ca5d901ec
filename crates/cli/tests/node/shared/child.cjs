const { parentPort, workerData } = require("worker_threads");
parentPort.postMessage([workerData, process.argv.slice(2), require("./other.cjs")()]);
import("./child.mjs").then(() => parentPort.postMessage("imported"));
