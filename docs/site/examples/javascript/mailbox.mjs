// main.mjs
import { Worker } from "node:worker_threads";
import { S, compileStruct, createMailbox, MailboxError } from "peristyle";

const Reading = compileStruct(S.struct({ time: S.f64(), values: S.array(S.f32(), 3) }));
console.log("a reading takes", Reading.size, "bytes");

const mailbox = createMailbox({ capacity: 64, record: Reading });
new Worker(new URL("./mailbox.worker.mjs", import.meta.url), { workerData: mailbox.buffer });

const receiver = mailbox.receiver();
let [count, sum] = [0, 0];
try {
  for (;;) {
    await receiver.waitAsync();
    for (let reading; (reading = receiver.pop()) !== undefined; count++) sum += reading.values[0];
  }
} catch (error) {
  // Told after everything that was sent before.
  if (!(error instanceof MailboxError && error.code === "mailbox-closed")) throw error;
}
console.log(count, "readings,", sum, "in all");
