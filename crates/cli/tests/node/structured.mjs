import { Worker } from "node:worker_threads";
import { once } from "node:events";

class Point {
  constructor() {
    this.x = 1;
  }
}
const shared = {};
const values = [
  undefined, null, 1, -0, NaN, 10n, "s", true, Object(1), Object("t"), new Date(5), /r/gy, [1, , 2], { a: shared, b: shared }, new Map([[1, { a: 1 }]]), new Set([[1]]),
  new TypeError("t", { cause: 5 }), new Uint16Array([1, 2]), new DataView(new ArrayBuffer(3), 1), new Point(), Object.create(null, { a: { value: 1, enumerable: true } }), { get g() { return 7; } }, new ArrayBuffer(2, { maxByteLength: 4 }),
];
const worker = new Worker("const { parentPort } = require('worker_threads'); parentPort.on('message', (m) => { if (m === 'end') return parentPort.close(); parentPort.postMessage(m) });", { eval: true });
for (const value of values) {
  worker.postMessage(value);
  const [back] = await once(worker, "message");
  if (back instanceof Error) console.log(back.name, back.message, back.cause, back instanceof TypeError);
  else if (back?.a && back.b) console.log(back.a === back.b);
  else if (back instanceof ArrayBuffer) console.log(back.byteLength, back.maxByteLength, back.resizable);
  else console.log(back, Object.is(back, value));
}
for (const bad of [() => {}, Symbol("x"), { f() {} }, new WeakMap(), Promise.resolve()]) {
  try {
    worker.postMessage(bad);
  } catch (error) {
    console.log(error.name, error.code, error instanceof DOMException);
  }
}
worker.postMessage("end");
console.log(await once(worker, "exit"));
