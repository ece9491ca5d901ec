/**
 * The jobs of one thread: loaded once, called for each range.
 *
 * A module is loaded by the thread's own `import`, so its errors, its stacks and its source maps are the environment's.
 * A job that failed to load stays known: each of its calls fails with the same words.
 */
import { JobError } from "../errors.js";
import type { Patch } from "../snapshot/patch.js";
import { describeThrown, threw, toFailure, type Failure } from "./failure.js";
import { JobCall, type Bytes, type JobInput, type Values } from "./input.js";
import { KernelInstance, type KernelParts } from "./kernel.js";
import type { JobFunction, JobShape } from "./lanes.js";

/** A job as it is told to a thread. */
export type JobMail =
  | { readonly kind: "module"; readonly url: string }
  | { readonly kind: "function"; readonly name: string; readonly handle: JobFunction }
  | { readonly kind: "kernel"; readonly name: string; readonly parts: KernelParts };

/** What a call gave: patches, nothing, or a failure. */
export type Outcome = readonly Patch[] | undefined | Failure;

export const isFailure = (outcome: Outcome): outcome is Failure => outcome !== undefined && !Array.isArray(outcome);

interface Loaded {
  readonly name: string;
  readonly shape: JobShape;
  readonly run: ((input: JobInput) => unknown) | KernelInstance | Failure;
  /** Calls by the place of their descriptor. */
  readonly calls: Map<number, JobCall>;
}

/** Places of descriptors that are remembered for a job; more than a world of hundred million rows has. */
const CALLS_MAX = 8192;

/** The jobs of one thread. */
export class Jobs {
  readonly #loaded = new Map<number, Loaded>();

  /** Loads a job. Never rejects: what went wrong is told, and told again by each call. */
  async load(job: number, mail: JobMail, shape: JobShape): Promise<Failure | undefined> {
    const name = mail.kind === "module" ? mail.url : mail.name;
    let run: Loaded["run"];
    try {
      if (mail.kind === "module") run = (await loadModule(mail.url)) as (input: JobInput) => unknown;
      else if (mail.kind === "function") run = mail.handle as (input: JobInput) => unknown;
      else run = new KernelInstance(mail.name, mail.parts);
    } catch (error) {
      run = toFailure(error);
    }
    this.#loaded.set(job, { name, shape, run, calls: new Map() });
    return typeof run === "object" && "code" in run ? run : undefined;
  }

  unload(job: number): void {
    this.#loaded.delete(job);
  }

  has(job: number): boolean {
    return this.#loaded.has(job);
  }

  /** Calls a job on the descriptor at `at`. Never throws. */
  call(
    job: number,
    bytes: Bytes,
    at: number,
    dt: number,
    time: number,
    extra: unknown,
    values: Values | undefined,
  ): Outcome | Promise<Outcome> {
    const loaded = this.#loaded.get(job);
    if (loaded === undefined) return { code: "job-load", message: `job ${job} is not loaded in this worker` };
    const { name, run } = loaded;
    try {
      if (typeof run !== "function") return run instanceof KernelInstance ? run.call(at) : run;
      let call = loaded.calls.get(at);
      if (call === undefined) {
        if (loaded.calls.size >= CALLS_MAX) loaded.calls.clear();
        loaded.calls.set(at, (call = new JobCall(loaded.shape, bytes.isShared)));
      }
      const answer = run(call.put(bytes, at, dt, time, extra, values));
      return isThenable(answer) ? later(name, answer) : outcomeOf(name, answer);
    } catch (error) {
      return threw(name, error);
    }
  }
}

async function later(name: string, answer: PromiseLike<unknown>): Promise<Outcome> {
  try {
    return outcomeOf(name, await answer);
  } catch (error) {
    return threw(name, error);
  }
}

/** What a job returned. Whoever works in place may return anything that is no list. */
export function outcomeOf(name: string, answer: unknown): Outcome {
  if (!Array.isArray(answer) || answer.length === 0) return undefined;
  for (let i = 0; i < answer.length; i++) {
    const patch: unknown = answer[i];
    if (typeof patch === "object" && patch !== null && "kind" in patch) continue;
    const kinds = `{ kind: "set" | "add" | "remove" | "destroy", eid, … }`;
    return { code: "job-patch", message: `job \`${name}\` returned a list whose element ${i} is no patch: ${kinds}` };
  }
  return answer as Patch[];
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/**
 * The handler of a module.
 * @throws {JobError} if it does not load (`job-load`), or has none (`job-handle`).
 */
export async function loadModule(url: string): Promise<(input: unknown) => unknown> {
  let module: { handle?: unknown; default?: unknown };
  try {
    module = (await import(/* @vite-ignore */ /* webpackIgnore: true */ url)) as typeof module;
  } catch (cause) {
    const { name, message } = describeThrown(cause);
    throw new JobError("job-load", `job module ${url} does not load: ${name}: ${message}`, { cause });
  }
  const handle = module.handle ?? module.default;
  if (typeof handle === "function") return handle as (input: unknown) => unknown;
  const message = `job module ${url} exports neither a function \`handle\` nor a default function`;
  throw new JobError("job-handle", message);
}
