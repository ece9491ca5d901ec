/** The last frames as a Gantt chart: a lane for each thread, systems in their colours; and how long systems take. */
import type { Colours } from "./theme.js";

/** Lane, kind, name, begin and duration in microseconds, rows. */
export type Span = readonly [lane: number, kind: string, name: string, begin: number, duration: number, rows: number];

/** A message of the topic `trace`. */
export interface TraceMessage {
  readonly lanes: number;
  readonly now: number;
  readonly spans: readonly Span[];
}

/** How long a system took. */
export interface SystemTimes {
  readonly name: string;
  readonly colour: string;
  readonly p50: number;
  readonly p99: number;
}

/** Durations of a system that are kept. */
const KEPT = 512;
/** Frames that are shown. */
const FRAMES = 3;

/** How long each system took in each frame: from its first span there to its last one's end. */
function* runs(spans: readonly Span[]): Generator<[name: string, duration: number]> {
  for (const [, kind, , from, took] of spans) {
    if (kind !== "frame") continue;
    const bounds = new Map<string, { begin: number; end: number }>();
    for (const [, of, name, begin, duration] of spans) {
      if ((of !== "system" && of !== "range") || begin < from - 1 || begin + duration > from + took + 1) continue;
      const known = bounds.get(name);
      if (known === undefined) bounds.set(name, { begin, end: begin + duration });
      else Object.assign(known, { begin: Math.min(known.begin, begin), end: Math.max(known.end, begin + duration) });
    }
    for (const [name, { begin, end }] of bounds) yield [name, end - begin];
  }
}

export class Gantt {
  #lanes = 1;
  #spans: readonly Span[] = [];
  readonly #durations = new Map<string, number[]>();
  #names: string[] = [];

  /** Takes a message in. */
  add(bytes: Uint8Array): void {
    const message = JSON.parse(new TextDecoder().decode(bytes)) as TraceMessage;
    this.#lanes = message.lanes;
    this.#spans = message.spans;
    for (const [name, duration] of runs(message.spans)) {
      let durations = this.#durations.get(name);
      if (durations === undefined) {
        this.#durations.set(name, (durations = []));
        this.#names = [...this.#durations.keys()].sort();
      }
      durations.push(duration);
      if (durations.length > KEPT) durations.splice(0, durations.length - KEPT);
    }
  }

  #colour(name: string, { spans, faint }: Colours): string {
    const at = this.#names.indexOf(name);
    return at < 0 ? faint : spans[at % spans.length];
  }

  /** Systems by name. */
  times(colours: Colours): SystemTimes[] {
    return this.#names.map((name) => {
      const sorted = (this.#durations.get(name) ?? []).slice().sort((a, b) => a - b);
      const quantile = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
      return { name, colour: this.#colour(name, colours), p50: quantile(0.5), p99: quantile(0.99) };
    });
  }

  draw(canvas: HTMLCanvasElement, colours: Colours): void {
    const context = canvas.getContext("2d");
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (context === null || width === 0) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const frames = this.#spans.filter(([, kind]) => kind === "frame").slice(-FRAMES);
    if (frames.length === 0) return;
    // Each frame gets the same share of the width, as wide as the longest of them: pauses in between say nothing.
    const longest = Math.max(...frames.map(([, , , , duration]) => duration), 1);
    const [gap, label] = [10, 52];
    const share = (width - label - gap * (frames.length - 1)) / frames.length;
    const axis = 14;
    const lane = (height - axis) / this.#lanes;
    context.font = "10px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (let at = 0; at < this.#lanes; at++) {
      context.fillStyle = colours.faint;
      context.fillText(at === 0 ? "frame" : `worker ${at}`, 0, at * lane + lane / 2);
      context.fillStyle = colours.line;
      context.fillRect(label, (at + 1) * lane - 0.5, width - label, 0.5);
    }
    frames.forEach(([, , , begin, duration], at) => {
      const left = label + at * (share + gap);
      const scale = share / longest;
      for (const [of, kind, name, from, took] of this.#spans) {
        if (from < begin - 1 || from + took > begin + duration + 1) continue;
        const x = left + (from - begin) * scale;
        const w = Math.max(took * scale, 0.75);
        if (kind === "system" || kind === "range") {
          // A system that its lane did itself, or the range of one.
          context.globalAlpha = kind === "system" ? 0.35 : 1;
          context.fillStyle = this.#colour(name, colours);
          context.fillRect(x, of * lane + 3, w, lane - 6);
          context.globalAlpha = 1;
        } else if (kind === "commit" || kind === "gc") {
          context.fillStyle = kind === "gc" ? colours.spans[5] : colours.faint;
          context.fillRect(x, of * lane + lane / 2 - 1.5, w, 3);
        }
      }
      context.fillStyle = colours.faint;
      context.textBaseline = "alphabetic";
      context.fillText(milliseconds(duration), left, height - 2);
      context.textBaseline = "middle";
    });
  }
}

/** A duration in microseconds, in words. */
export function milliseconds(microseconds: number): string {
  return microseconds < 1000 ? `${Math.round(microseconds)} µs` : `${(microseconds / 1000).toFixed(2)} ms`;
}
