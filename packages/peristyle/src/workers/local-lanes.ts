/** Lanes without workers: the caller's thread runs everything. */
import { SupportError } from "../errors.js";
import type { JobId, JobShape, JobSource, LaneMemory, Lanes, LanesOptions, LeaseResult, LeaseTask } from "./lanes.js";
import { Roster } from "./roster.js";

export class LocalLanes implements Lanes {
  readonly size = 0;
  readonly way = "local";
  readonly reason: string;
  readonly ready = Promise.resolve();
  readonly hasWorkers = false;
  readonly #roster: Roster;
  readonly #spans: boolean;

  constructor(memory: LaneMemory, reason: string, options: LanesOptions) {
    this.reason = reason;
    this.#roster = new Roster(memory);
    this.#spans = options.spans ?? false;
  }

  async load(source: JobSource, shape: JobShape): Promise<JobId> {
    if (source.kind === "worker") {
      throw new SupportError("no-workers", `browser worker \`${source.name}\` cannot be used: ${this.reason}`);
    }
    return (await this.#roster.load(source, shape)).id;
  }

  unload(job: JobId): void {
    this.#roster.unload(job);
  }

  async run(leases: readonly LeaseTask[]): Promise<LeaseResult[]> {
    const results: LeaseResult[] = [];
    for (const task of leases) results.push(await this.#roster.run(task, this.#spans));
    return results;
  }

  async close(): Promise<void> {
    this.#roster.close();
  }
}
