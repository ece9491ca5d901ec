// ANCHOR: transport
// transport.ts: messages as lines of text, over anything that carries bytes.
import type { Duplex } from "node:stream";
import { createWorkerClient, type WorkerTransport } from "peristyle/client";

/** A line that grows longer is no message. */
const LINE_MAX = 1 << 20;

/** One end of a transport over a stream. It reads once somebody subscribes. */
export function lineTransport(stream: Duplex): WorkerTransport {
  return {
    post(message) {
      // One that is gone cannot be told anything. What waits in the stream's buffer is bounded by the other end's calls.
      if (stream.writable) stream.write(`${JSON.stringify(message)}\n`);
    },

    subscribe(listener) {
      let rest = "";
      const read = (text: string): void => {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        for (const line of lines) listener(parse(line));
        if (rest.length > LINE_MAX) stream.destroy();
      };
      stream.setEncoding("utf8").on("data", read);
      return () => void stream.off("data", read);
    },

    // A client fails its calls when the way breaks; without this they would wait for their time-out.
    onConnection(listener) {
      const closed = (): void => listener(false);
      stream.on("close", closed);
      return () => void stream.off("close", closed);
    },
  };
}

/** What is no JSON is handed on as it is: who listens judges what is a message, and counts what is none. */
function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
// ANCHOR_END: transport

// ANCHOR: use
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { createWorkerApp, defineModule } from "peristyle/app";

class Counter {
  count = 0;
  increase(step = 1): number {
    return (this.count += step);
  }
}

const server = createServer((socket) => {
  const counter = defineModule(Counter, { name: "counter", state: ["count"], actions: ["increase"] });
  const { dispose } = createWorkerApp({ providers: [counter], transport: lineTransport(socket), sync: "patch" });
  socket.on("close", dispose);
}).listen(0, "127.0.0.1");
await once(server, "listening");

const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
const client = createWorkerClient({ transport: lineTransport(socket) });
client.onStatus(({ status }) => console.log("the client is", status));
await client.ready;
console.log("answered:", await client.call("counter", "increase", 2));
server.close();
socket.destroy();
await once(socket, "close");
client.dispose();
// ANCHOR_END: use

export {};
