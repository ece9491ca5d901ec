/**
 * A recording as a Gantt chart in SVG: one picture, no script, 1200 units wide, that looks as Rust's `peristyle gantt` does.
 *
 * Bars too narrow to be seen are drawn as one with their neighbours of the same colour, so that the size of the picture is
 * bound by what can be seen in it, not by the number of spans.
 */
import { type Bar, type Chart, chartOf } from "./chart.js";
import type { LaneSpans } from "./recorder.js";
import { type Statistics, type Times, statisticsOf } from "./statistics.js";
import { css, duration, escaped, shortened, stageClass } from "./style.js";

const WIDTH = 1200;
const LEFT = 104;
const RIGHT = 1176;
const TOP = 92;
/** From one lane to the next. */
const LANE = 48;
const BAR = 28;
/** Height of a collection, at the foot of the range that it interrupted. */
const GC = 9;
/** From one line of the table to the next. */
const LINE = 20;
/** Bars that are narrower are drawn together. */
const SEEN = 0.6;
/** Ranges of a system that are closer share a label. */
const JOINED = 1.5;
/** A character's width, of the bars' text. */
const CHARACTER = 6.3;
/** Where the table's numbers end. */
const COLUMNS = [560, 680, 800, 920] as const;
/** Systems in the table at most. */
const SYSTEMS_MAX = 20;

/** What to draw. */
export interface GanttOptions {
  /** Above the chart; "frames" if not given. */
  readonly title?: string;
  /** The last frames, so many; all if not given. */
  readonly frames?: number;
}

/**
 * Draws a recording as the text of an SVG document.
 *
 * @throws {@link TimelineError} (`timeline-frames`)
 */
export function gantt(recording: readonly LaneSpans[], { title = "frames", frames }: GanttOptions = {}): string {
  const chart = chartOf(recording, frames);
  const stats = statisticsOf(chart);
  const bottom = TOP + chart.lanes.length * LANE;
  const rows = Math.min(stats.systems.length, SYSTEMS_MAX) + met(stats).length;
  const height = bottom + 78 + LINE * rows;
  const scale = (RIGHT - LEFT) / Math.max(chart.end - chart.start, 1e-6);
  const x = (ms: number): number => LEFT + (ms - chart.start) * scale;
  return [
    ...head(chart, title, height),
    ...frameBands(chart, x, bottom),
    ...axis(chart, x, bottom),
    ...laneNames(stats),
    ...bars(chart, x),
    ...labels(chart, x),
    ...table(chart, stats, bottom),
    "</svg>\n",
  ].join("\n");
}

type X = (ms: number) => number;

function barClass(chart: Chart, bar: Bar): string | undefined {
  switch (bar.kind) {
    case "system":
    case "range":
      return stageClass(bar.stage, chart.turns.get(bar.name) ?? 0);
    case "commit":
    case "wait":
    case "gc":
      return bar.kind;
    default:
      return undefined;
  }
}

function legend(chart: Chart): [className: string, text: string][] {
  const stages = chart.stages.flatMap((name, stage): [string, string][] =>
    chart.bars.some((bar) => bar.stage === stage) ? [[stageClass(stage, 0), name]] : [],
  );
  const kinds = [["commit", "commit"], ["wait", "wait"], ["gc", "garbage collection"]] as const;
  return [...stages, ...kinds.filter(([kind]) => chart.bars.some((bar) => bar.kind === kind)).map(([a, b]): [string, string] => [a, b])];
}

function head(chart: Chart, title: string, height: number): string[] {
  const { frames, lanes } = chart;
  const [first, last] = [frames[0]!.number, frames[frames.length - 1]!.number];
  const which = frames.length === 1 ? `frame ${first}` : `frames ${first} to ${last}`;
  const subtitle = `${which} · ${lanes.length} lane${lanes.length === 1 ? "" : "s"} · ${duration(chart.end - chart.start)}`;
  const style = `${css()}.n{font-variant-numeric:tabular-nums}.none{fill:none}.wait{fill:url(#wait)}.b{pointer-events:none;font-size:11px}`;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}" font-family="ui-sans-serif, system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif" font-size="12">`,
    `<style>${style}</style>`,
    `<defs><pattern id="wait" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V5" stroke-width="2"/></pattern></defs>`,
    `<rect class="ground" width="${WIDTH}" height="${height}" rx="6"/>`,
    `<text class="ink" x="24" y="32" font-size="16" font-weight="600">${escaped(title)}</text>`,
    `<text class="faint" x="24" y="52">${escaped(subtitle)}</text>`,
  ];
  const entries = legend(chart);
  const width = (text: string): number => 34 + [...text].length * 6.4;
  let x = RIGHT + 14 - entries.reduce((sum, [, text]) => sum + width(text), 0);
  for (const [className, text] of entries) {
    lines.push(`<rect class="${className}" x="${x.toFixed(1)}" y="22" width="12" height="12" rx="2"/>`);
    lines.push(`<text class="ink" x="${(x + 19).toFixed(1)}" y="32">${escaped(text)}</text>`);
    x += width(text);
  }
  return lines;
}

/** Bands behind every other frame, and what each took. */
function frameBands(chart: Chart, x: X, bottom: number): string[] {
  return chart.frames.flatMap((frame, index) => {
    const left = x(frame.start);
    const width = x(frame.end) - left;
    const lines: string[] = [];
    if (index % 2 === 0) {
      const size = `width="${width.toFixed(1)}" height="${bottom - TOP + 26}"`;
      lines.push(`<rect class="band" x="${left.toFixed(1)}" y="${TOP - 26}" ${size}/>`);
    }
    const text = `${frame.number} · ${duration(frame.end - frame.start)}`;
    if (width > [...text].length * CHARACTER + 10) {
      lines.push(`<text class="faint n" x="${(left + 6).toFixed(1)}" y="${TOP - 12}" font-size="11">${text}</text>`);
    }
    return lines;
  });
}

/** The round number (1, 2 or 5 times a power of ten) that is at least `value`. */
function roundFrom(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find((factor) => factor * power >= value) ?? 10) * power;
}

function axis(chart: Chart, x: X, bottom: number): string[] {
  const time = chart.end - chart.start;
  const step = roundFrom(Math.max(time / 12, 1e-6));
  const decimals = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const lines = [`<path class="line" d="M${LEFT} ${bottom}H${RIGHT}"/>`];
  for (let tick = 0; tick * step <= time; tick++) {
    const at = x(chart.start + tick * step).toFixed(1);
    const text = `${(tick * step).toFixed(decimals)}${tick === 0 ? " ms" : ""}`;
    lines.push(`<path class="line" d="M${at} ${TOP}V${bottom + 5}" stroke-width=".6"/>`);
    lines.push(`<text class="faint n" x="${at}" y="${bottom + 19}" font-size="11" text-anchor="middle">${text}</text>`);
  }
  return lines;
}

function laneNames(stats: Statistics): string[] {
  return stats.lanes.flatMap(({ name, busyShare }, index) => {
    const y = TOP + index * LANE;
    const busy = (busyShare * 100).toFixed(0);
    return [
      `<text class="ink" x="24" y="${y + 14}">${escaped(shortened(name, 12))}</text>`,
      `<text class="faint n" x="24" y="${y + 29}" font-size="11">${busy} % busy</text>`,
    ];
  });
}

function bars(chart: Chart, x: X): string[] {
  const lines: string[] = [];
  let narrow: { className: string; lane: number; start: number; end: number; count: number } | undefined;
  // Draws what was too narrow to be drawn one by one.
  const flush = (): void => {
    if (narrow === undefined) return;
    const { className, lane, start, end, count } = narrow;
    const [top, height] = className === "wait" ? [7, BAR - 14] : [0, BAR];
    const size = `width="${Math.max(end - start, SEEN).toFixed(1)}" height="${height}"`;
    const place = `x="${start.toFixed(1)}" y="${TOP + lane * LANE + top}"`;
    lines.push(`<rect class="${className}" ${place} ${size}><title>${count} short spans</title></rect>`);
    narrow = undefined;
  };
  for (const bar of chart.bars) {
    const className = barClass(chart, bar);
    if (className === undefined) continue;
    const [start, end] = [x(bar.start), x(bar.end)];
    const isNarrow = end - start < SEEN && bar.kind !== "gc";
    if (isNarrow && narrow?.className === className && narrow.lane === bar.lane && start - narrow.end < SEEN) {
      narrow.end = end;
      narrow.count++;
      continue;
    }
    flush();
    if (isNarrow) narrow = { className, lane: bar.lane, start, end, count: 1 };
    else lines.push(drawn(chart, bar, className, start, end));
  }
  flush();
  return lines;
}

function drawn(chart: Chart, bar: Bar, className: string, start: number, end: number): string {
  const [top, height] = bar.kind === "wait" ? [7, BAR - 14] : bar.kind === "gc" ? [BAR - GC, GC] : [0, BAR];
  // A hair of ground between neighbours tells them apart.
  const width = end - start > 3 ? end - start - 0.7 : Math.max(end - start, SEEN);
  const corner = width > 6 ? ` rx="2"` : "";
  const place = `x="${start.toFixed(1)}" y="${TOP + bar.lane * LANE + top}" width="${width.toFixed(1)}" height="${height}"`;
  return `<rect class="${className}" ${place}${corner}><title>${escaped(describe(chart, bar))}</title></rect>`;
}

/** What a bar is, in one line. */
function describe(chart: Chart, bar: Bar): string {
  const stage = bar.stage === undefined ? "" : ` · ${chart.stages[bar.stage]}`;
  const more =
    bar.kind === "range" ? ` · ${bar.rows} rows, range ${bar.detail}` : bar.kind === "commit" ? ` · ${bar.rows} entities despawned` : "";
  return `${bar.name}${stage} · ${duration(bar.end - bar.start)}${more}`;
}

/** The names of systems, once for ranges of one system that follow each other. */
function labels(chart: Chart, x: X): string[] {
  const groups: { lane: number; name: string; start: number; end: number }[] = [];
  for (const { kind, lane, name, start, end } of chart.bars) {
    if (kind !== "system" && kind !== "range") continue;
    const last = groups[groups.length - 1];
    if (last?.lane === lane && last.name === name && x(start) - last.end < JOINED) last.end = x(end);
    else groups.push({ lane, name, start: x(start), end: x(end) });
  }
  return groups.flatMap(({ lane, name, start, end }) => {
    const room = Math.floor((end - start - 10) / CHARACTER);
    if (room < Math.min([...name].length, 4)) return [];
    const place = `x="${(start + 6).toFixed(1)}" y="${TOP + lane * LANE + 15}"`;
    return [`<text class="on b" ${place}>${escaped(shortened(name, room))}</text>`];
  });
}

/** What there was beside systems: its colour, name and times. */
const met = ({ commits, collections, waits }: Statistics): [className: string, name: string, times: Times][] =>
  [
    ["commit", "commits", commits] as [string, string, Times],
    ["gc", "collections", collections] as [string, string, Times],
    ["wait", "waits of the frame", waits] as [string, string, Times],
  ].filter(([, , times]) => times.count > 0);

function table(chart: Chart, stats: Statistics, bottom: number): string[] {
  let y = bottom + 56;
  const lines = ["count", "total ms", "p50 ms", "p99 ms"].map(
    (text, index) => `<text class="faint" x="${COLUMNS[index]}" y="${y}" font-size="11" text-anchor="end">${text}</text>`,
  );
  for (const [x, text] of [[LEFT, "system"], [360, "stage"]] as const) {
    lines.push(`<text class="faint" x="${x}" y="${y}" font-size="11">${text}</text>`);
  }
  for (const [index, system] of stats.systems.slice(0, SYSTEMS_MAX).entries()) {
    y += LINE;
    const left = stats.systems.length - index;
    if (index + 1 === SYSTEMS_MAX && left > 1) {
      lines.push(`<text class="faint" x="${LEFT}" y="${y}">and ${left} more</text>`);
      break;
    }
    const stage = system.stage === undefined ? undefined : chart.stages.indexOf(system.stage);
    const className = stageClass(stage, chart.turns.get(system.name) ?? 0);
    lines.push(...line(y, className, system.name, system.stage ?? "–", system));
  }
  for (const [className, name, times] of met(stats)) {
    y += LINE;
    lines.push(...line(y, className, name, "", times));
  }
  return lines;
}

/** One line of the table. */
function line(y: number, className: string, name: string, stage: string, times: Times): string[] {
  const cells = [`${times.count}`, times.total.toFixed(3), times.p50.toFixed(3), times.p99.toFixed(3)];
  return [
    `<rect class="${className}" x="${LEFT - 18}" y="${y - 9}" width="10" height="10" rx="2"/>`,
    `<text class="ink" x="${LEFT}" y="${y}">${escaped(shortened(name, 38))}</text>`,
    `<text class="faint" x="360" y="${y}">${escaped(shortened(stage, 22))}</text>`,
    ...cells.map((text, index) => `<text class="ink n" x="${COLUMNS[index]}" y="${y}" text-anchor="end">${text}</text>`),
  ];
}
