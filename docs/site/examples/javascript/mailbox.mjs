// main.mjs
import { S, compileStruct, createMailbox } from "peristyle";

const Sample = compileStruct(S.struct({ time: S.f64(), values: S.array(S.f32(), 3) }));
const mailbox = createMailbox({ capacity: 64, record: Sample });
// A worker that is given `mailbox.buffer` opens it: openMailbox(buffer, 0, Sample).receiver().
const receiver = mailbox.receiver();

mailbox.sender().push({ time: 0.5, values: [1, 2, 3] });
await receiver.waitAsync();
console.log(receiver.pop());
