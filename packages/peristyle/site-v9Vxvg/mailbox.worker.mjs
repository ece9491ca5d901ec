// mailbox.worker.mjs
import { workerData } from "node:worker_threads";
import { S, compileStruct, openMailbox } from "peristyle";

const Reading = compileStruct(S.struct({ time: S.f64(), values: S.array(S.f32(), 3) }));
const sender = openMailbox(workerData, 0, Reading).sender();

for (let time = 0; time < 1000; time++) {
  // No room: waits for the slowest receiver. A worker may block.
  while (!sender.push({ time, values: [1.5, 0, 0] })) sender.wait();
}
sender.close();
