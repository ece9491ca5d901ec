/** Colours and words of charts: those of `crates/timeline/src/gantt/style.rs`, in pairs for light and dark surroundings. */

const COLOURS: readonly [name: string, light: number, dark: number][] = [
  ["ground", 0xffffff, 0x15181d],
  ["band", 0xf4f5f7, 0x1b1f26],
  ["line", 0xdfe2e7, 0x2c323b],
  ["ink", 0x1f2530, 0xe4e7ec],
  ["faint", 0x69717f, 0x949dab],
  ["commit", 0x2f3744, 0xc9d0db],
  ["wait", 0xc3c9d2, 0x48515e],
  ["gc", 0xf2b705, 0xffcc33],
];

/** Colours of stages; if there are more stages they share them. */
const STAGES: readonly [light: number, dark: number][] = [
  [0x4678b4, 0x5f93d2],
  [0x35928a, 0x47ada3],
  [0x8568b5, 0xa389d3],
  [0x7e8f3c, 0x9bad55],
  [0x9a6d8a, 0xb888a7],
  [0x5f7389, 0x8096ae],
];

/** How far the shades of a stage's colour lie from it, towards the colour of text: what is written on them stays legible. */
const SHADES: readonly [suffix: string, share: number][] = [
  ["", 0],
  ["a", 0.22],
  ["b", 0.42],
];

const RULES: readonly [selector: string, property: string, colour: string][] = [
  [".ground", "fill", "ground"],
  [".band", "fill", "band"],
  [".line", "stroke", "line"],
  [".hatch", "stroke", "wait"],
  [".ink", "fill", "ink"],
  [".faint", "fill", "faint"],
  [".commit", "fill", "commit"],
  [".gc", "fill", "gc"],
  [".gc", "stroke", "ground"],
  [".on", "fill", "ground"],
];

/** A colour, moved by a share of the way to another. */
function mixed(from: number, to: number, share: number): number {
  const channel = (shift: number): number => {
    const [a, b] = [(from >> shift) & 0xff, (to >> shift) & 0xff];
    return Math.round(a + (b - a) * share) << shift;
  };
  return channel(16) | channel(8) | channel(0);
}

const hex = (colour: number): string => `#${colour.toString(16).padStart(6, "0")}`;

/** The rules of an SVG's style element. No variables, for not all viewers know them. */
export function css(): string {
  return [false, true]
    .map((dark) => {
      const pick = ([light, night]: readonly [number, number]): number => (dark ? night : light);
      const colours = new Map(COLOURS.map(([name, ...pair]) => [name, pick(pair)]));
      const rules = RULES.map(([selector, property, name]) => `${selector}{${property}:${hex(colours.get(name)!)}}`);
      const stages = STAGES.flatMap((pair, stage) =>
        SHADES.map(([suffix, share]) => `.s${stage}${suffix}{fill:${hex(mixed(pick(pair), colours.get("ink")!, share))}}`),
      );
      const text = [...rules, ...stages].join("");
      return dark ? `@media(prefers-color-scheme:dark){${text}}` : text;
    })
    .join("");
}

/** The colour of a stage, and of the system in it that is number `turn`. What ran in no stage is drawn like the last. */
export function stageClass(stage: number | undefined, turn: number): string {
  return `s${(stage ?? STAGES.length - 1) % STAGES.length}${SHADES[turn % SHADES.length]![0]}`;
}

/** A time in milliseconds, in the unit that fits it. */
export function duration(ms: number): string {
  const ns = Math.round(ms * 1e6);
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e9).toFixed(2)} s`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text as it may stand in XML, between tags and in attributes. What XML cannot hold at all is replaced. */
export const escaped = (text: string): string =>
  text
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!)
    .replace(/[\t\n\r]/g, " ")
    .replace(/[\u0000-\u001f\ufffe\uffff]/g, "\ufffd");

/** At most so many characters of a text, with an ellipsis if some were left out. */
export function shortened(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, Math.max(0, most - 1)).join("")}…`;
}
