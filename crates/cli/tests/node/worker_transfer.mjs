import { Worker, MessageChannel, markAsUntransferable } from "node:worker_threads";
import { once } from "node:events";

const script = `
  const { parentPort, workerData } = require("node:worker_threads");
  workerData.port.postMessage([workerData.buffer.byteLength, new Uint8Array(workerData.buffer)[1]]);
  workerData.port.on("message", (bytes) => {
    bytes[0]++;
    workerData.port.postMessage(bytes, [bytes.buffer]);
    workerData.port.close();
  });
`;
const { port1, port2 } = new MessageChannel();
const buffer = new Uint8Array([1, 2, 3]).buffer;
const worker = new Worker(script, { eval: true, workerData: { port: port2, buffer }, transferList: [port2, buffer] });
console.log(buffer.byteLength);
console.log(await once(port1, "message"));
const bytes = new Uint8Array([8, 9]);
port1.postMessage(bytes, [bytes.buffer]);
console.log(bytes.length);
console.log(await once(port1, "message"));
console.log(await once(worker, "exit"));

const marked = new ArrayBuffer(8);
markAsUntransferable(marked);
try {
  new MessageChannel().port1.postMessage(marked, [marked]);
  console.log("posted", marked.byteLength);
} catch (error) {
  console.log(error.name, error.code, marked.byteLength);
}
try {
  new Worker("1", { eval: true, workerData: { port: new MessageChannel().port1 } });
  console.log("worked");
} catch (error) {
  console.log("refused");
}
