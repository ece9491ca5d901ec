/** Colours of the canvases, as the style sheet has them for the scheme in use. */

export interface Colours {
  readonly page: string;
  readonly land: string;
  readonly country: string;
  readonly border: string;
  readonly coast: string;
  readonly grid: string;
  readonly text: string;
  readonly faint: string;
  readonly line: string;
  readonly ring: string;
  /** Of points, by kind. */
  readonly points: readonly [number, number, number][];
  /** Of spans, by system. */
  readonly spans: readonly string[];
  readonly isDark: boolean;
}

function rgb(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [((value >> 16) & 255) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}

/** Reads them: call it again when the scheme changes. */
export function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    page: read("page"),
    land: read("land"),
    country: read("country"),
    border: read("border"),
    coast: read("coast"),
    grid: read("grid"),
    text: read("text"),
    faint: read("faint"),
    line: read("line"),
    ring: read("ring"),
    points: ["point-early", "point-late", "point-very-late"].map((name) => rgb(read(name))),
    spans: [1, 2, 3, 4, 5, 6].map((at) => read(`span-${at}`)),
    isDark: read("scheme") === "dark",
  };
}
