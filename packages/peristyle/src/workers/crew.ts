/**
 * Seats with workers in them: filled when the crew is made, and filled again when a worker dies, from spares that are
 * already started.
 */
import { SupportError } from "../errors.js";
import type { Starter, Thread } from "./thread.js";

/** What is told of seats. */
export interface CrewEvents {
  /** A started worker took a seat. */
  join(seat: number, thread: Thread): void;
  /** The worker of a seat has really stopped. The seat is filled again. */
  lost(seat: number, why: string, thread: Thread): void;
  /** No worker can be started here. */
  none(error: Error): void;
}

/** Workers that end this often without a call in between are not replaced: something is wrong with all of them. */
const ENDS_MAX = 8;

export class Crew {
  /** Resolves once all seats are filled, or cannot be. */
  readonly ready: Promise<void>;
  readonly size: number;
  readonly #starter: Starter;
  readonly #events: CrewEvents;
  readonly #seats: (Thread | undefined)[];
  readonly #spares: Thread[] = [];
  readonly #spareCount: number;
  #isClosed = false;
  #cannotStart = false;
  #ends = 0;

  constructor(starter: Starter, size: number, spares: number, events: CrewEvents) {
    this.size = size;
    this.#starter = starter;
    this.#events = events;
    this.#spareCount = spares;
    this.#seats = Array.from({ length: size }, () => undefined);
    // Spares after the others, which somebody waits for.
    this.ready = Promise.all(this.#seats.map((_, seat) => this.#fill(seat))).then(() => this.#keepSpares());
  }

  /** Workers that take part now. */
  get alive(): number {
    let alive = 0;
    for (const thread of this.#seats) if (thread) alive++;
    return alive;
  }

  /** Whether workers may still come. */
  get isHopeless(): boolean {
    return this.#isClosed || this.#cannotStart || this.size === 0;
  }

  thread(seat: number): Thread | undefined {
    return this.#seats[seat];
  }

  /** Says that workers work: those that end are replaced again. */
  works(): void {
    this.#ends = 0;
  }

  keepAlive(isNeeded: boolean): void {
    for (const thread of this.#seats) thread?.keepAlive(isNeeded);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const threads = [...this.#seats, ...this.#spares.splice(0)];
    this.#seats.fill(undefined);
    await Promise.all(threads.map((thread) => thread?.stop()));
    this.#starter.close();
  }

  async #fill(seat: number): Promise<void> {
    if (this.#isClosed || this.#cannotStart) return;
    const thread = this.#spares.pop() ?? this.#starter.start();
    try {
      await thread.started;
    } catch (error) {
      return this.#fail(error as Error);
    }
    if (this.#isClosed) return void thread.stop();
    this.#seats[seat] = thread;
    try {
      this.#events.join(seat, thread);
    } catch (error) {
      // What a worker is told first cannot be sent to any.
      this.#seats[seat] = undefined;
      void thread.stop();
      return this.#fail(error as Error);
    }
    void thread.stopped.then((why) => {
      if (this.#isClosed || this.#seats[seat] !== thread) return;
      this.#seats[seat] = undefined;
      if (++this.#ends > ENDS_MAX) this.#cannotStart = true;
      this.#events.lost(seat, why, thread);
      if (this.#cannotStart) return this.#fail(new SupportError("no-workers", `workers end again and again: ${why}`));
      void this.#fill(seat).then(() => this.#keepSpares());
    });
  }

  #keepSpares(): void {
    while (!this.#isClosed && !this.#cannotStart && this.#spares.length < this.#spareCount) {
      const thread = this.#starter.start();
      this.#spares.push(thread);
      const forget = (): void => {
        const at = this.#spares.indexOf(thread);
        if (at >= 0) this.#spares.splice(at, 1);
      };
      thread.started.catch(forget);
      void thread.stopped.then(forget);
    }
  }

  #fail(error: Error): void {
    if (this.#isClosed) return;
    this.#cannotStart = true;
    if (this.alive === 0) this.#events.none(error);
  }
}
