/** Mailboxes: between threads, with the bytes of Rust's, and when a side is gone. */
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { expect, expectTypeOf, test } from "vitest";
import { type Mailbox, MailboxError, createMailbox, mailboxBytes, openMailbox } from "../src/mailbox/index.js";
import { S, compileStruct } from "../src/struct/index.js";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function refusal(act: () => unknown): MailboxError {
  try {
    act();
  } catch (error) {
    if (error instanceof MailboxError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

test("the bytes are those of Rust", () => {
  const file = new URL("../../../crates/memory/vectors/mailbox.json", import.meta.url);
  const vector = JSON.parse(readFileSync(file, "utf8")) as { readonly hex: string };
  const rust = Uint8Array.from(Buffer.from(vector.hex, "hex"));

  const mailbox = createMailbox({ capacity: 5, slotBytes: 12, receivers: 2 });
  const sender = mailbox.sender();
  const receivers = [mailbox.receiver(0), mailbox.receiver(1)];
  for (let message = 1; message <= 4; message++) sender.push(Uint8Array.from({ length: 12 }, (_, i) => 16 * message + i));
  receivers[0]!.pop();
  receivers[0]!.pop();
  receivers[1]!.pop();
  expect(Buffer.from(mailbox.buffer).toString("hex")).toBe(Buffer.from(rust).toString("hex"));

  const buffer = new SharedArrayBuffer(rust.length);
  new Uint8Array(buffer).set(rust);
  const opened = openMailbox(buffer);
  expect([opened.capacity, opened.slotBytes, opened.receivers]).toEqual([5, 12, 2]);
  expect(opened.receiver(0).length).toBe(2);
  expect(opened.receiver(1).pop()![0]).toBe(32);
});

test("a full mailbox refuses, the slowest receiver decides, and each sees every message in order", () => {
  const mailbox = createMailbox({ capacity: 3, slotBytes: 1, receivers: 2 });
  const sender = mailbox.sender();
  const [fast, slow] = [mailbox.receiver(0), mailbox.receiver(1)];
  const seen: number[][] = [[], []];
  let sent = 0;
  for (let round = 0; round < 100; round++) {
    while (sender.push(bytes(sent & 0xff))) sent++;
    expect(slow.length).toBe(3);
    for (let message = fast.pop(); message !== undefined; message = fast.pop()) seen[0]!.push(message[0]!);
    expect(sender.push(bytes(0))).toBe(false);
    seen[1]!.push(slow.pop()![0]!);
  }
  expect(seen[0]).toEqual(Array.from({ length: sent }, (_, i) => i & 0xff));
  expect(seen[1]).toEqual(seen[0]!.slice(0, 100));
  slow.close();
  expect(sender.push(bytes(7))).toBe(true);
});

test("numbers of messages wrap around", () => {
  const mailbox = createMailbox({ capacity: 4, slotBytes: 4 });
  const words = new Int32Array(mailbox.buffer);
  words[64 >> 2] = -2;
  words[192 >> 2] = -2;
  const [sender, receiver] = [mailbox.sender(), mailbox.receiver()];
  for (let i = 0; i < 4; i++) expect(sender.push(bytes(i))).toBe(true);
  expect(sender.push(bytes(9))).toBe(false);
  expect(Array.from({ length: 4 }, () => receiver.pop()![0])).toEqual([0, 1, 2, 3]);
  expect(receiver.pop()).toBe(undefined);
});

test("records have the types of their struct", () => {
  const record = compileStruct(S.struct({ id: S.u32(), at: S.array(S.f32(), 2) }));
  const mailbox = createMailbox({ capacity: 8, record });
  expectTypeOf(mailbox).toEqualTypeOf<Mailbox<{ id: number; at: number[] }>>();
  const sender = mailbox.sender();
  sender.push({ id: 7, at: [0.5, -1] });
  expect(() => sender.push({ id: -1, at: [0, 0] })).toThrow("`id` is u32, which cannot hold -1");
  const receiver = openMailbox(mailbox.buffer, 0, record).receiver();
  expect(receiver.pop()).toEqual({ id: 7, at: [0.5, -1] });
  expect(receiver.pop()).toBe(undefined);
  const other = compileStruct(S.struct({ id: S.u64() }));
  expect(refusal(() => openMailbox(mailbox.buffer, 0, other)).code).toBe("mailbox-record");
});

test("a worker that blocks answers 20 000 messages through mailboxes of 16", async () => {
  const { outputFiles } = await build({
    entryPoints: [new URL("../src/mailbox/index.ts", import.meta.url).pathname],
    bundle: true,
    format: "esm",
    write: false,
  });
  const module = `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`;
  const [there, back] = [16, 16].map((capacity) => createMailbox({ capacity, slotBytes: 4 })) as [Mailbox<Uint8Array>, Mailbox<Uint8Array>];
  const worker = new Worker(new URL("fixtures/mailbox/echo.mjs", import.meta.url), {
    workerData: { module, there: there.buffer, back: back.buffer },
  });
  const done = new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  const [sender, receiver] = [there.sender(), back.receiver()];
  let [sent, received] = [0, 0];
  while (received < 20_000) {
    const message = new Uint8Array(Uint32Array.of(sent).buffer);
    while (sent < 20_000 && sender.push(message)) new Uint32Array(message.buffer)[0] = ++sent;
    expect(await receiver.waitAsync(30_000)).toBe("ready");
    for (let answer = receiver.pop(); answer !== undefined; answer = receiver.pop()) {
      if (new Uint32Array(answer.buffer)[0] !== received++) throw new Error(`message ${received - 1} is another`);
    }
  }
  sender.close();
  expect(await receiver.waitAsync(30_000)).toBe("ready");
  expect(refusal(() => receiver.pop()).code).toBe("mailbox-closed");
  expect(await done).toBe("done");
  await worker.terminate();
});

test("waiting ends with the time, and when the other side is gone", async () => {
  const mailbox = createMailbox({ capacity: 1, slotBytes: 0 });
  const [sender, receiver] = [mailbox.sender(), mailbox.receiver()];
  expect(receiver.wait(1)).toBe("timed-out");
  expect(await receiver.waitAsync(1)).toBe("timed-out");
  const woken = receiver.waitAsync();
  sender.push(bytes());
  expect(await woken).toBe("ready");
  expect(sender.wait(1)).toBe("timed-out");
  const room = sender.waitAsync();
  expect(receiver.pop()).toEqual(bytes());
  expect(await room).toBe("ready");
  // Nobody is left among the sleepers.
  expect(new Int32Array(mailbox.buffer)[136 >> 2]).toBe(0);
  sender.push(bytes());
  const alone = sender.waitAsync();
  receiver.close();
  expect(await alone).toBe("ready");
  expect(refusal(() => sender.push(bytes())).code).toBe("mailbox-closed");
  expect(refusal(() => receiver.pop()).code).toBe("mailbox-closed");
});

test("a side that died is told of, after what it sent", () => {
  const mailbox = createMailbox({ capacity: 2, slotBytes: 1, receivers: 2 });
  const words = new Int32Array(mailbox.buffer);
  const [sender, receiver] = [mailbox.sender(), mailbox.receiver(0)];
  sender.push(bytes(1));
  // Who buries receiver 1 does this.
  words[(256 + 4) >> 2] = 2;
  words[140 >> 2] = 1;
  expect(refusal(() => sender.push(bytes(2)))).toMatchObject({ code: "mailbox-died", message: "receiver 1 died" });
  expect(sender.push(bytes(2))).toBe(true);
  words[68 >> 2] = 2;
  expect([receiver.pop()![0], receiver.pop()![0]]).toEqual([1, 2]);
  expect(refusal(() => receiver.pop()).code).toBe("mailbox-died");
});

test("what somebody else wrote is found out", () => {
  const mailbox = createMailbox({ capacity: 2, slotBytes: 1 });
  const words = new Int32Array(mailbox.buffer);
  words[192 >> 2] = 5;
  expect(refusal(() => mailbox.sender().push(bytes(1))).code).toBe("mailbox-corrupt");
  expect(refusal(() => mailbox.receiver().pop()).code).toBe("mailbox-corrupt");
});

test.each<[what: string, act: () => unknown, code: string]>([
  ["no capacity", () => createMailbox({ capacity: 0, slotBytes: 1 }), "mailbox-options"],
  ["too much", () => createMailbox({ capacity: 2 ** 30 + 1, slotBytes: 1 }), "mailbox-options"],
  ["no size", () => createMailbox({ capacity: 1 } as never), "mailbox-options"],
  ["33 receivers", () => createMailbox({ capacity: 1, slotBytes: 1, receivers: 33 }), "mailbox-options"],
  ["no such receiver", () => createMailbox({ capacity: 1, slotBytes: 1 }).receiver(1), "mailbox-options"],
  ["little memory", () => createMailbox({ capacity: 1, slotBytes: 1, buffer: new SharedArrayBuffer(300) }), "mailbox-memory"],
  ["an odd offset", () => createMailbox({ capacity: 1, slotBytes: 1, buffer: new SharedArrayBuffer(999), offset: 4 }), "mailbox-memory"],
  ["no mailbox", () => openMailbox(new SharedArrayBuffer(1024)), "mailbox-memory"],
  ["no memory", () => openMailbox(new SharedArrayBuffer(8)), "mailbox-memory"],
  ["a long message", () => createMailbox({ capacity: 1, slotBytes: 1 }).sender().push(bytes(1, 2)), "mailbox-record"],
])("refused: %s", (_, act, code) => expect(refusal(act).code).toBe(code));

test("a header that was changed is refused", () => {
  for (const [place, value] of [[4, 2], [8, 0], [8, 99], [12, 3], [16, 999], [20, 1 << 20], [24, 0], [28, 64]] as const) {
    const { buffer } = createMailbox({ capacity: 4, slotBytes: 8 });
    new Int32Array(buffer)[place >> 2] = value;
    expect(refusal(() => openMailbox(buffer)).code, `word ${place}`).toBe("mailbox-memory");
  }
  expect(mailboxBytes({ capacity: 5, receivers: 2 }, 12)).toBe(192 + 128 + 8 * 64);
});
