/**
 * The server's side of a WebSocket (RFC 6455) on a connection that Node's `http` upgraded.
 *
 * # Rules
 * - Whatever a peer sends is bounded and checked: frames must be masked, text must be UTF-8, messages have a greatest
 *   length. Who breaks a rule is closed with the code that RFC 6455 has for it.
 * - Of what is sent nothing is kept beside the socket's own buffer: {@link ServerSocket.bufferedAmount} says how full it is.
 *   Of what a full one cannot take, only the newest pong waits.
 *
 * # Not here
 * Extensions (compression), subprotocols, the client's side.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** Appended to a client's key before it is hashed (RFC 6455, 1.3). */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** Milliseconds that a peer has to answer a close. */
const CLOSE_MS = 2_000;
/** Pieces of a message that are kept apart: each costs more than its bytes, and a peer decides how small they are. */
const PIECES_MAX = 256;

/** What a socket tells. */
export interface ServerSocketEvents {
  message(data: string | Uint8Array): void;
  /** It has room again, after {@link ServerSocket.send} said that it has none. */
  drain(): void;
  /** It is over: nothing comes after this. */
  close(code: number, reason: string): void;
}

/** Why an upgrade was refused. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
}

/** What is wrong with a request to upgrade; nothing if it can be accepted. */
export function checkUpgrade({ method, headers }: IncomingMessage): Refusal | undefined {
  const key = headers["sec-websocket-key"];
  const lists = (header: string | undefined, word: string) =>
    (header ?? "").split(",").some((part) => part.trim().toLowerCase() === word);
  if (method !== "GET") return { status: 405, reason: "a WebSocket begins with GET" };
  if (!lists(headers.upgrade, "websocket") || !lists(headers.connection, "upgrade")) {
    return { status: 426, reason: "this address speaks WebSocket" };
  }
  if (headers["sec-websocket-version"] !== "13") return { status: 426, reason: "version 13 of WebSocket is spoken here" };
  if (!key || !/^[A-Za-z0-9+/]{22}==$/.test(key)) return { status: 400, reason: "Sec-WebSocket-Key is not 16 bytes" };
  return undefined;
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  426: "Upgrade Required",
  503: "Service Unavailable",
};

/** Answers a request that is not upgraded. */
export function refuse(socket: Duplex, { status, reason }: Refusal): void {
  const body = `${reason}\n`;
  socket.once("error", () => {});
  // A peer that does not end its side would keep the server from closing.
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? "Error"}\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\n` +
      `Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** Pieces and one more, of which no more are kept than {@link PIECES_MAX}. */
function joined(pieces: Buffer[], piece: Buffer): Buffer[] {
  if (piece.length === 0) return pieces;
  pieces.push(piece);
  return pieces.length > PIECES_MAX ? [Buffer.concat(pieces)] : pieces;
}

/** One connection. */
export class ServerSocket {
  readonly #socket: Duplex;
  readonly #events: ServerSocketEvents;
  readonly #messageMax: number;
  /** What came and is no whole frame yet. */
  #chunks: Buffer[] = [];
  #length = 0;
  /** Parts of a message. */
  #parts: Buffer[] = [];
  #partsLength = 0;
  #opcode = 0;
  /** What the newest ping is answered with, once there is room. */
  #pong: Buffer | undefined;
  /** Whether there was a sign of life since {@link ServerSocket.probe}. */
  #isAlive = true;
  #state: "open" | "closing" | "closed" = "open";
  #code = 1006;
  #reason = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Accepts an upgrade that was checked. `head` is what came behind the request; messages are at most `messageMax` bytes
   * long. No event comes before this returns.
   */
  constructor(request: IncomingMessage, socket: Duplex, head: Buffer, events: ServerSocketEvents, messageMax = 1 << 20) {
    this.#socket = socket;
    this.#events = events;
    this.#messageMax = messageMax;
    const accept = createHash("sha1")
      .update(request.headers["sec-websocket-key"] + GUID)
      .digest("base64");
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    // Read like what comes later, after whoever makes this has it in hand.
    if (head.length > 0) socket.unshift(head);
    socket.on("data", (data: Buffer) => this.#receive(data));
    socket.on("drain", () => this.#drained());
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end());
    socket.on("close", () => this.#closed());
    (socket as Duplex & { setNoDelay?(on: boolean): void }).setNoDelay?.(true);
  }

  /** Whether messages can be sent. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Bytes that wait to be sent. */
  get bufferedAmount(): number {
    return this.#socket.writableLength;
  }

  /** Sends a message. Gives whether there is room for more. What is sent to a socket that is not open is dropped. */
  send(message: string | Uint8Array): boolean {
    if (this.#state !== "open") return false;
    return typeof message === "string" ? this.#frame(TEXT, Buffer.from(message)) : this.#frame(BINARY, message);
  }

  /** Closes it; the peer is told why. */
  close(code = 1000, reason = ""): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#code = code;
    this.#reason = reason;
    const text = Buffer.from(reason).subarray(0, 123);
    const body = Buffer.alloc(2 + text.length);
    body.writeUInt16BE(code, 0);
    text.copy(body, 2);
    this.#frame(CLOSE, body);
    this.#timer = setTimeout(() => this.#socket.destroy(), CLOSE_MS);
    this.#timer.unref();
  }

  /** Pings the peer; ends the connection of one that gave no sign of life since the last time. */
  probe(): void {
    if (this.#state !== "open") return;
    if (!this.#isAlive) return void this.#socket.destroy();
    this.#isAlive = false;
    // Behind what waits already a ping says nothing more: taking that is a sign of life as well.
    if (!this.#socket.writableNeedDrain) this.#frame(PING, Buffer.alloc(0));
  }

  #frame(opcode: number, body: Uint8Array): boolean {
    const { length } = body;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
    head[0] = 0x80 | opcode;
    if (length < 126) {
      head[1] = length;
    } else if (length < 65_536) {
      head[1] = 126;
      head.writeUInt16BE(length, 2);
    } else {
      head[1] = 127;
      head.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
      head.writeUInt32BE(length >>> 0, 6);
    }
    if (!this.#socket.writable) return false;
    this.#socket.cork();
    this.#socket.write(head);
    const room = this.#socket.write(body);
    this.#socket.uncork();
    return room;
  }

  #drained(): void {
    this.#isAlive = true;
    if (this.#state !== "open") return;
    const pong = this.#pong;
    this.#pong = undefined;
    if (pong) this.#frame(PONG, pong);
    this.#events.drain();
  }

  #receive(data: Buffer): void {
    if (this.#state === "closed") return;
    this.#isAlive = true;
    this.#chunks = joined(this.#chunks, data);
    this.#length += data.length;
    while (this.#next());
  }

  /** The first bytes that came, if there are as many. */
  #peek(bytes: number): Buffer | undefined {
    if (this.#length < bytes) return undefined;
    if (this.#chunks[0].length < bytes) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0].subarray(0, bytes);
  }

  #skip(bytes: number): void {
    this.#length -= bytes;
    const rest = this.#chunks[0].subarray(bytes);
    if (rest.length > 0) this.#chunks[0] = rest;
    else this.#chunks.shift();
  }

  /** Takes the next frame. Whether there was one. */
  #next(): boolean {
    const start = this.#peek(2);
    if (!start) return false;
    const fin = (start[0] & 0x80) !== 0;
    const opcode = start[0] & 0x0f;
    const isControl = opcode >= 8;
    let length = start[1] & 0x7f;
    if ((start[0] & 0x70) !== 0) return this.#fail(1002, "reserved bits are set");
    if ((start[1] & 0x80) === 0) return this.#fail(1002, "a client's frames must be masked");
    if (![CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode)) return this.#fail(1002, "unknown opcode");
    if (isControl && (!fin || length > 125)) return this.#fail(1002, "a control frame is too long, or in parts");
    if (!isControl && (opcode === CONTINUATION) !== this.#opcode > 0) return this.#fail(1002, "parts out of order");
    let at = 2;
    if (length >= 126) {
      const bytes = length === 126 ? 2 : 8;
      const head = this.#peek(2 + bytes);
      if (!head) return false;
      length = bytes === 2 ? head.readUInt16BE(2) : head.readUInt32BE(2) * 2 ** 32 + head.readUInt32BE(6);
      at += bytes;
    }
    if (this.#partsLength + length > this.#messageMax) return this.#fail(1009, `more than ${this.#messageMax} bytes`);
    const frame = this.#peek(at + 4 + length);
    if (!frame) return false;
    const mask = frame.subarray(at, at + 4);
    const body = Buffer.from(frame.subarray(at + 4));
    for (let i = 0; i < length; i++) body[i] ^= mask[i & 3];
    this.#skip(at + 4 + length);
    if (isControl) this.#control(opcode, body);
    else this.#data(opcode, fin, body);
    return this.#state !== "closed";
  }

  #control(opcode: number, body: Buffer): void {
    if (opcode === PING && this.#state === "open") {
      // Who pings and never reads would fill memory with pongs; the newest one answers them all (RFC 6455, 5.5.3).
      if (this.#socket.writableNeedDrain) this.#pong = body;
      else this.#frame(PONG, body);
    }
    if (opcode !== CLOSE) return;
    if (this.#state === "open") {
      const code = body.length >= 2 ? body.readUInt16BE(0) : 1005;
      const valid = body.length === 0 || (code >= 1000 && code < 5000 && ![1004, 1005, 1006, 1015].includes(code));
      if (body.length === 1 || !valid) return void this.#fail(1002, "a close without a meaning");
      this.close(code === 1005 ? 1000 : code);
      this.#code = code;
      this.#reason = body.toString("utf8", 2);
    }
    this.#socket.end();
  }

  #data(opcode: number, fin: boolean, body: Buffer): void {
    if (opcode !== CONTINUATION) this.#opcode = opcode;
    this.#parts = joined(this.#parts, body);
    this.#partsLength += body.length;
    if (!fin) return;
    const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    const isText = this.#opcode === TEXT;
    this.#parts = [];
    this.#partsLength = 0;
    this.#opcode = 0;
    if (this.#state !== "open") return;
    if (!isText) return this.#events.message(new Uint8Array(whole.buffer, whole.byteOffset, whole.length));
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(whole);
    } catch {
      return void this.#fail(1007, "a text that is no UTF-8");
    }
    this.#events.message(text);
  }

  #fail(code: number, reason: string): false {
    this.close(code, reason);
    this.#chunks = [];
    this.#length = 0;
    this.#socket.end();
    return false;
  }

  #closed(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    this.#chunks = [];
    this.#events.close(this.#code, this.#reason);
  }
}
