/**
 * The jobs of some lanes: what was loaded, for the caller's thread and for workers that come later; and calls on the
 * caller's thread without a board.
 */
import { native } from "../core/native.js";
import { JobError } from "../errors.js";
import type { Patch } from "../snapshot/patch.js";
import { LIST } from "./board.js";
import { now } from "./board-lane.js";
import { freezeAll, isPlain } from "./carry.js";
import { toError, type Failure } from "./failure.js";
import type { Bytes } from "./input.js";
import { Jobs, isFailure, type JobMail, type Outcome } from "./jobs.js";
import { STACK_BYTES, checkKernel, type KernelNeeds, type KernelParts } from "./kernel.js";
import type { JobId, JobShape, JobSource, LaneMemory, LeaseResult, LeaseTask, Span } from "./lanes.js";
import { isNode } from "./node.js";

/** A job that is known. */
export interface Known {
  readonly id: JobId;
  readonly name: string;
  readonly shape: JobShape;
  readonly source: JobSource;
  /** What a lane is told of it; nothing of a function, which stays here, or of a page's own worker. */
  mail(lane: number): JobMail | undefined;
  /** Forgets the blocks of a lane whose end is not proven: they are never used again. */
  forget(lane: number): void;
  /** Gives the blocks of a kernel back. To be called when no lane runs it any more. */
  release(): void;
  /** The copy of `extra` that calls here see, and what it was made of. */
  extra: { readonly of: unknown; readonly text: string | undefined; readonly value: unknown } | undefined;
}

export class Roster {
  /** Jobs of the caller's thread. */
  readonly jobs = new Jobs();
  isClosed = false;
  readonly #memory: LaneMemory;
  /** By number, which is never given again. */
  readonly #known = new Map<number, Known>();
  #ids = 0;
  #bytes: { -readonly [K in keyof Bytes]: Bytes[K] } | undefined;

  constructor(memory: LaneMemory) {
    this.#memory = memory;
  }

  get known(): Iterable<Known> {
    return this.#known.values();
  }

  get(job: JobId): Known | undefined {
    return this.#known.get(job);
  }

  /** Loads a job here. Throws a {@link JobError} if that cannot be. */
  async load(source: JobSource, shape: JobShape): Promise<Known> {
    let mail: Known["mail"] = () => undefined;
    let forget: Known["forget"] = () => {};
    let release: Known["release"] = () => {};
    let name: string;
    if (source.kind === "module") {
      const url = String(source.url);
      name = url;
      mail = () => ({ kind: "module", url });
    } else if (source.kind === "kernel") {
      name = source.name;
      const kernel = await this.#kernel(source.name, source.module);
      const lanes = new Map<number, KernelParts>();
      forget = (lane) => void lanes.delete(lane);
      release = () => {
        for (const parts of lanes.values()) this.#release(parts);
        lanes.clear();
      };
      mail = (lane) => {
        let parts = lanes.get(lane);
        if (parts === undefined) lanes.set(lane, (parts = this.#parts(kernel)));
        return { kind: "kernel", name: source.name, parts };
      };
    } else name = source.name;
    const id = this.#ids++ as JobId;
    const known: Known = { id, name, shape, source, mail, forget, release, extra: undefined };
    this.#known.set(id, known);
    const here = source.kind === "function" ? source : mail(0);
    const failure = here && (await this.jobs.load(id, here, shape));
    if (failure) {
      this.unload(id);
      throw toError(failure);
    }
    return known;
  }

  async #kernel(
    name: string,
    from: string | URL | BufferSource,
  ): Promise<{ module: WebAssembly.Module; needs: KernelNeeds }> {
    const bytes = await bytesOf(name, from);
    const needs = checkKernel(name, bytes, this.#memory);
    try {
      return { module: await WebAssembly.compile(bytes), needs };
    } catch (cause) {
      throw new JobError("job-load", `kernel \`${name}\`: the engine refuses it: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  #parts({ module, needs }: { module: WebAssembly.Module; needs: KernelNeeds }): KernelParts {
    const { memory } = this.#memory;
    const stack = this.#memory.allocate(STACK_BYTES);
    const data = needs.dataBytes === 0 ? 0 : this.#memory.allocate(needs.dataBytes);
    return { module, needs, memory, stack, data };
  }

  #release({ stack, data, needs }: KernelParts): void {
    this.#memory.release(stack, STACK_BYTES);
    if (data !== 0) this.#memory.release(data, needs.dataBytes);
  }

  /** Forgets a job. To be called when no lane runs it any more. */
  unload(job: JobId): void {
    this.#known.get(job)?.release();
    this.#known.delete(job);
    this.jobs.unload(job);
  }

  /** Ends all, and gives the blocks of kernels back. To be called when no lane runs any more. */
  close(): void {
    this.isClosed = true;
    for (const known of this.known) known.release();
  }

  /** Runs a lease on this thread alone. */
  async run(task: LeaseTask, spans: boolean): Promise<LeaseResult> {
    const known = this.#known.get(task.job);
    const { buffer } = this.#memory;
    const list = new Uint32Array(buffer, task.list, LIST.descriptors);
    const count = list[LIST.count];
    const collected = new Collected(count);
    if (this.isClosed) return collected.refuse(poolClosed);
    if (known === undefined) return collected.refuse(unknownJob(task.job));
    const places = new Uint32Array(buffer, task.list + LIST.descriptors * 4, count).slice();
    let extra: unknown;
    try {
      extra = this.extra(known, task.extra);
    } catch (error) {
      return collected.refuse(unclonable(known.name, error));
    }
    const later: Promise<void>[] = [];
    for (let range = list[LIST.cursor]; range < count; range++) {
      const start = now();
      const finish = (outcome: Outcome): void => {
        if (outcome !== undefined) collected.put(range, outcome);
        if (spans) collected.span(0, range, start, now());
      };
      const outcome = this.call(task, range, places[range], extra);
      if (outcome instanceof Promise) later.push(outcome.then(finish));
      else finish(outcome);
    }
    await Promise.all(later);
    return collected.result();
  }

  /** Calls a job on one range, here. */
  call(task: LeaseTask, range: number, at: number, extra: unknown): Outcome | Promise<Outcome> {
    const { buffer } = this.#memory;
    if (this.#bytes?.buffer !== buffer) {
      const words = new Uint32Array(buffer);
      this.#bytes = { buffer, words, isShared: this.#memory.isShared, entities: 0, areRows: false };
    }
    this.#bytes.entities = this.#memory.entities();
    try {
      return this.jobs.call(task.job, this.#bytes, at, task.dt, task.time, extra, task.values?.(range));
    } catch (error) {
      return {
        code: "job-threw",
        message: `the values of range ${range} could not be read: ${(error as Error).message}`,
      };
    }
  }

  /** The copy of `extra` that calls here see: frozen, and kept as long as it says the same. */
  extra(known: Known, of: unknown): unknown {
    if (of === undefined) return undefined;
    const text = isPlain(of) ? JSON.stringify(of) : undefined;
    if (text !== undefined && known.extra?.text === text) return known.extra.value;
    const value: unknown = freezeAll(text === undefined ? structuredClone(of) : JSON.parse(text));
    known.extra = { of, text, value };
    return value;
  }
}

export const unknownJob = (job: number): Failure => ({
  code: "job-load",
  message: `there is no job ${job} in these lanes`,
});

export const poolClosed: Failure = { code: "pool-closed", message: "the lanes are closed" };

export const unclonable = (name: string, error: unknown): Failure => ({
  code: "job-unclonable",
  message: `\`extra\` or values of job \`${name}\` cannot be sent: ${(error as Error).message}`,
});

/** What the ranges of a lease gave, put together in their order. */
export class Collected {
  readonly ranges: number;
  copied = 0;
  readonly #outcomes: Exclude<Outcome, undefined>[] = [];
  readonly #spans: Span[] = [];
  #has = false;

  constructor(ranges: number) {
    this.ranges = ranges;
  }

  put(range: number, outcome: Exclude<Outcome, undefined>): void {
    this.#has = true;
    this.#outcomes[range] = outcome;
  }

  /** `start` and `end` are milliseconds of the epoch. */
  span(lane: number, range: number, start: number, end: number): void {
    const { timeOrigin } = performance;
    this.#spans.push({ lane, range, start: start - timeOrigin, end: end - timeOrigin });
  }

  /** The result of a lease of which nothing could be run. */
  refuse(failure: Failure): LeaseResult {
    const failed = Array.from({ length: this.ranges }, (_, range) => range);
    return { patches: [], failure: toError(failure), failed, ranges: this.ranges, copied: 0, spans: [] };
  }

  result(): LeaseResult {
    const { ranges, copied } = this;
    const spans = this.#spans;
    if (!this.#has) return { patches: NO_PATCHES, failed: NO_RANGES, ranges, copied, spans };
    const patches: Patch[] = [];
    const failed: number[] = [];
    let failure: Failure | undefined;
    for (let range = 0; range < ranges; range++) {
      const outcome = this.#outcomes[range];
      if (outcome === undefined) continue;
      if (isFailure(outcome)) {
        failure ??= outcome;
        failed.push(range);
      } else for (let i = 0; i < outcome.length; i++) patches.push(outcome[i]);
    }
    return { patches, failed, ranges, copied, spans, ...(failure && { failure: toError(failure) }) };
  }
}

const NO_PATCHES: readonly Patch[] = Object.freeze([]);
const NO_RANGES: readonly number[] = Object.freeze([]);

async function bytesOf(name: string, from: string | URL | BufferSource): Promise<Uint8Array<ArrayBuffer>> {
  if (from instanceof ArrayBuffer) return new Uint8Array(from);
  if (ArrayBuffer.isView(from)) return new Uint8Array(from.buffer, from.byteOffset, from.byteLength).slice();
  const url = String(from);
  try {
    if (native && url.startsWith("file:")) return await native.kernel(url);
    if (isNode && url.startsWith("file:")) {
      const path = "node:fs/promises";
      const { readFile } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ path)) as {
        readFile(url: URL): Promise<Uint8Array<ArrayBuffer>>;
      };
      return new Uint8Array(await readFile(new URL(url)));
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw new JobError("job-load", `kernel \`${name}\` (${url}) does not load: ${(cause as Error).message}`, { cause });
  }
}
