/** The host's ends, written by hand for tests: messages of modules, and frames of one component. */
import type { WorkerTransport } from "../../src/client/index.js";

/** A host of one counter, at the far end of a transport. */
export class CounterHost {
  version = 0;
  count = 0;
  readonly heard: unknown[] = [];
  readonly transport: WorkerTransport;

  constructor(transport: WorkerTransport) {
    this.transport = transport;
    transport.subscribe((message) =>
      this.#hear(message as { type: string; id: number; method: string; args: number[] }),
    );
  }

  greet(syncId?: number): void {
    const state = { counter: { count: this.count } };
    this.transport.post({ type: "state", sync: "snapshot", version: this.version, state, ...(syncId && { syncId }) });
  }

  #hear(message: { type: string; id: number; method: string; args: number[] }): void {
    this.heard.push(message);
    const { type, id, method, args } = message;
    if (type === "sync") return this.greet(id);
    if (type !== "call") return;
    if (method !== "add") {
      const error = { name: "RangeError", message: `no method ${method}` };
      return this.transport.post({ type: "result", id, stateVersion: this.version, error });
    }
    this.count += args[0];
    this.version++;
    const patches = [{ op: "replace", path: ["counter", "count"], value: this.count }];
    this.transport.post({ type: "state", sync: "patch", version: this.version, patches });
    this.transport.post({ type: "result", id, stateVersion: this.version, value: this.count });
  }
}

function varint(value: number): number[] {
  const out: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) out.push((value % 0x80) | 0x80);
  out.push(value);
  return out;
}

const text = (value: string): number[] => [...varint(value.length), ...new TextEncoder().encode(value)];
const f32 = (value: number): number[] => [...new Uint8Array(Float32Array.of(value).buffer)];

/** Frames of a component `Body` with the exact, unpredicted fields `x` and `speed`, both f32. */
export class FrameHost {
  readonly schema: Uint8Array;
  readonly #low: number[];
  #tick = 0;

  constructor() {
    const field = (name: string): number[] => [...text(name), 1, 0, 0];
    const components = [1, ...text("Body"), ...new Uint8Array(8), 1, 2, ...field("x"), ...field("speed")];
    let hash = 0xcbf29ce484222325n;
    for (const byte of components) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    const bytes = Array.from({ length: 8 }, (_, at) => Number((hash >> BigInt(8 * at)) & 0xffn));
    this.#low = bytes.slice(0, 4);
    this.schema = Uint8Array.from([0xd7, 1, 0, ...bytes, ...components]);
  }

  /** The entity of a row. */
  static entity(row: number): number {
    return 2 ** 32 + row;
  }

  #column(values: number[]): number[] {
    return [(1 << 6) | 32, 0, ...values.flatMap(f32)];
  }

  /** A snapshot of rows with these values. */
  snapshot(xs: number[], speeds: number[]): Uint8Array {
    this.#tick++;
    const entities = xs.flatMap((_, row) => varint(row === 0 ? 2 * 2 ** 32 : 0));
    return Uint8Array.from([
      ...[0xd7, 1, 1, ...this.#low, 1 | 8, ...varint(this.#tick), ...varint(xs.length)],
      ...[3, 1, 0, ...varint(xs.length - 1)],
      ...entities,
      ...[1, ...varint(xs.length - 1), 0],
      ...this.#column(xs),
      ...this.#column(speeds),
    ]);
  }

  /** A frame in which some rows have other values; all of them, in order, if none is named. */
  frame(xs: number[], speeds: number[], rows?: number[], input?: number): Uint8Array {
    this.#tick++;
    const named =
      rows === undefined ? [0] : [3, rows.length, ...rows.flatMap((row, at) => [row - (at ? rows[at - 1] + 1 : 0), 0])];
    const high = rows === undefined ? xs.length : FrameHost.rows;
    return Uint8Array.from([
      ...[0xd7, 1, 1, ...this.#low, input === undefined ? 0 : 32, ...varint(this.#tick), 1],
      ...(input === undefined ? [] : varint(input)),
      ...varint(high),
      1,
      ...named,
      ...this.#column(xs),
      ...this.#column(speeds),
    ]);
  }

  /** Rows of frames that name theirs. */
  static rows = 3;
}

/** Waits until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 50_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error("it did not come to hold");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
