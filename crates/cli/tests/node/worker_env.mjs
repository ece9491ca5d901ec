import { Worker, SHARE_ENV, setEnvironmentData, getEnvironmentData } from "node:worker_threads";
import { once } from "node:events";

process.env.OWN = "mine";
process.env.NUMBER = 5;
console.log(process.env.NUMBER, "NUMBER" in process.env, process.env.NOTHING, delete process.env.NUMBER, process.env.NUMBER);
setEnvironmentData("color", { name: "red" });
const ask = async (env) => {
  const script = `
    const { parentPort, getEnvironmentData } = require("worker_threads");
    process.env.CHANGED = "by the worker";
    parentPort.postMessage([process.env.OWN, process.env.GIVEN, Object.keys(process.env).includes("OWN"), getEnvironmentData("color")]);
  `;
  const worker = new Worker(script, { eval: true, ...(env === undefined ? {} : { env }) });
  const exit = once(worker, "exit");
  console.log((await once(worker, "message"))[0], await exit, process.env.CHANGED);
};
await ask(undefined);
await ask({ GIVEN: 7 });
await ask(SHARE_ENV);
setEnvironmentData("color");
console.log(getEnvironmentData("color"));
