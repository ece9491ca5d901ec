/**
 * Records what each lane did when.
 *
 * Each lane is a ring of a fixed number of spans, allocated when recording is first turned on; it keeps the newest spans
 * and counts those that it dropped. Names are interned once. A span costs two readings of the clock and six stores, and
 * allocates nothing; while recording is off it costs a branch. Times are milliseconds.
 */
import { PeristyleError } from "../errors.js";

/** What can be wrong with what is asked of a timeline. */
export type TimelineErrorCode = "timeline-options" | "timeline-lane" | "timeline-frames";

/** A timeline cannot be made, or has not what is asked of it. */
export class TimelineError extends PeristyleError<TimelineErrorCode> {
  override readonly name = "TimelineError";
}

/**
 * What a span is: a whole system; one range of a job; merging commands and patches; idling; one frame, whose `detail` is
 * its number; one stage of a frame; the garbage collector.
 */
export type SpanKind = "system" | "range" | "commit" | "wait" | "frame" | "stage" | "gc";

/** In the order of their numbers. */
const KINDS: readonly SpanKind[] = ["system", "range", "commit", "wait", "frame", "stage", "gc"];
const NUMBERS: Readonly<Record<SpanKind, number>> = { system: 0, range: 1, commit: 2, wait: 3, frame: 4, stage: 5, gc: 6 };

/** One recorded span. */
export interface Span {
  readonly kind: SpanKind;
  readonly name: string;
  /** Milliseconds on the timeline's clock. */
  readonly start: number;
  readonly end: number;
  /** How many rows it worked on. */
  readonly rows: number;
  /** The index of the chunk or range that it worked on; the number of a frame. */
  readonly detail: number;
}

/** What one lane holds. */
export interface LaneSpans {
  readonly name: string;
  /** The newest spans, in the order in which they ended. */
  readonly spans: readonly Span[];
  /** How many older spans the lane had no room for. */
  readonly dropped: number;
}

/** How a timeline is made. */
export interface TimelineOptions {
  /** Lanes: the frame's own, and a worker each; 1 if not given. A scheduler adds those of its workers. */
  readonly lanes?: number;
  /** The newest spans that each lane keeps; 4096 if not given. Takes 32 bytes a span once recording is on. */
  readonly spansPerLane?: number;
  /** Milliseconds; `performance.now` if not given. */
  readonly clock?: () => number;
}

/** The stamp of a span that is not recorded. */
const OFF = -1;

class Ring {
  readonly times: Float64Array;
  readonly words: Uint32Array;
  head = 0;

  constructor(spans: number) {
    this.times = new Float64Array(2 * spans);
    this.words = new Uint32Array(4 * spans);
  }
}

/** A recorder of spans on a fixed number of lanes. Off until {@link Timeline.setEnabled}. */
export class Timeline {
  readonly spansPerLane: number;
  #lanes: number;
  readonly #clock: () => number;
  readonly #names: string[] = [];
  readonly #ids = new Map<string, number>();
  readonly #rings: Ring[] = [];
  #isEnabled = false;

  /** @throws {@link TimelineError} (`timeline-options`) */
  constructor({ lanes = 1, spansPerLane = 4096, clock = () => performance.now() }: TimelineOptions = {}) {
    for (const [what, value] of [["lanes", lanes], ["spans of a lane", spansPerLane]] as const) {
      if (Number.isInteger(value) && value >= 1 && value <= 2 ** 24) continue;
      throw new TimelineError("timeline-options", `the number of ${what} is ${value}, expected an integer from 1 to 2^24`);
    }
    this.#lanes = lanes;
    this.spansPerLane = spansPerLane;
    this.#clock = clock;
  }

  /** How many lanes there are. */
  get lanes(): number {
    return this.#lanes;
  }

  /** Adds lanes, if there are fewer than so many. */
  reserve(lanes: number): void {
    this.#lanes = Math.max(this.#lanes, lanes);
    if (this.#rings.length > 0) this.#allocate();
  }

  #allocate(): void {
    while (this.#rings.length < this.#lanes) this.#rings.push(new Ring(this.spansPerLane));
  }

  get isEnabled(): boolean {
    return this.#isEnabled;
  }

  /** Turns recording on or off. Turning it on the first time allocates the lanes. */
  setEnabled(isEnabled: boolean): void {
    if (isEnabled) this.#allocate();
    this.#isEnabled = isEnabled;
  }

  /** The number of a name, the same for equal names: for registration, not for each span. */
  name(name: string): number {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.#names.push(name) - 1;
      this.#ids.set(name, id);
    }
    return id;
  }

  /** Starts a span: the time, or a stamp that is not recorded while recording is off. */
  begin(): number {
    return this.#isEnabled ? this.#clock() : OFF;
  }

  /** Ends a span that {@link Timeline.begin} started. */
  end(lane: number, kind: SpanKind, name: number, start: number, rows = 0, detail = 0): void {
    if (start !== OFF && this.#isEnabled) this.record(lane, kind, name, start, this.#clock(), rows, detail);
  }

  /**
   * Records a span that was measured elsewhere, by a worker for example, on the same clock.
   *
   * @throws {@link TimelineError} (`timeline-lane`)
   */
  record(lane: number, kind: SpanKind, name: number, start: number, end: number, rows = 0, detail = 0): void {
    if (!this.#isEnabled) return;
    const ring = this.#rings[lane];
    if (ring === undefined) {
      throw new TimelineError("timeline-lane", `there is no lane ${lane}, the timeline has ${this.lanes}`);
    }
    const slot = ring.head++ % this.spansPerLane;
    ring.times[2 * slot] = start;
    ring.times[2 * slot + 1] = end;
    ring.words[4 * slot] = NUMBERS[kind];
    ring.words[4 * slot + 1] = name;
    ring.words[4 * slot + 2] = rows;
    ring.words[4 * slot + 3] = detail;
  }

  /** Forgets all spans; names stay. */
  clear(): void {
    for (const ring of this.#rings) ring.head = 0;
  }

  /** What the lanes hold now. */
  read(): LaneSpans[] {
    return Array.from({ length: this.lanes }, (_, lane) => {
      const ring = this.#rings[lane];
      const head = ring?.head ?? 0;
      const dropped = Math.max(0, head - this.spansPerLane);
      const spans = Array.from({ length: head - dropped }, (_, index) => this.#span(ring!, dropped + index));
      return { name: lane === 0 ? "frame" : `worker ${lane}`, spans, dropped };
    });
  }

  #span({ times, words }: Ring, number: number): Span {
    const slot = number % this.spansPerLane;
    return {
      kind: KINDS[words[4 * slot]!]!,
      name: this.#names[words[4 * slot + 1]!] ?? "?",
      start: times[2 * slot]!,
      end: times[2 * slot + 1]!,
      rows: words[4 * slot + 2]!,
      detail: words[4 * slot + 3]!,
    };
  }
}
