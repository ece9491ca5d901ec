/** The server's side of a WebSocket, on a peer that the test plays. */
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { ServerSocket } from "../src/server/websocket.js";

/** A peer's end: what it was sent, which it reads only if it is told to. */
class Peer extends Duplex {
  readonly heard: Buffer[] = [];
  readonly messages: (string | Uint8Array)[] = [];
  readonly socket: ServerSocket;
  #waiting: (() => void) | undefined;
  #reads = true;

  constructor() {
    super();
    const request = { headers: { "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" } } as unknown as IncomingMessage;
    const events = { message: (data: string | Uint8Array) => void this.messages.push(data), drain() {}, close() {} };
    this.socket = new ServerSocket(request, this, Buffer.alloc(0), events);
    this.heard.length = 0;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.heard.push(chunk);
    if (this.#reads) done();
    else this.#waiting = done;
  }

  set reads(on: boolean) {
    this.#reads = on;
    this.#waiting?.();
  }

  say(first: number, body = ""): void {
    this.emit("data", Buffer.from([first, 0x80 | body.length, 0, 0, 0, 0, ...Buffer.from(body)]));
  }
}

test("pings of who never reads fill no memory, and the newest is answered", async () => {
  const peer = new Peer();
  peer.reads = false;
  for (let i = 0; i < 10_000; i++) peer.say(0x89, `ping ${i}`.padEnd(125));
  expect(peer.socket.bufferedAmount).toBeLessThan(64 << 10);
  const drained = new Promise((resolve) => peer.once("drain", resolve));
  peer.reads = true;
  await drained;
  expect(String(Buffer.concat(peer.heard))).toContain("ping 9999 ");
});

test("parts without bytes fill no memory, and the message comes whole", () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const peer = new Peer();
  peer.say(0x01, "from ");
  gc();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 300_000; i++) peer.say(0x00);
  gc();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(8 << 20);
  for (let i = 0; i < 1_000; i++) peer.say(0x00, String(i % 10));
  peer.say(0x80);
  expect(peer.messages).toEqual([`from ${"0123456789".repeat(100)}`]);
});
