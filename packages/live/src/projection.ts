/**
 * Where things are on the screen: Albers' equal-area cone for degrees, the plain plane for other coordinates.
 *
 * The same cone is in d3-geo, which draws the map, and in the points' shader; the numbers here are what they share.
 */
import { geoConicEqualArea, type GeoProjection } from "d3-geo";

const RADIANS = Math.PI / 180;
/** As is usual for the United States. */
const PARALLELS: [number, number] = [29.5, 45.5];
const MERIDIAN = 96;

/** A place, in coordinates of the world. */
export type Place = readonly [x: number, y: number];

/** The corners of the United States without Alaska and Hawaii. */
export const UNITED_STATES: readonly Place[] = [
  [-124.7, 48.4],
  [-124.4, 40.4],
  [-120.6, 34.5],
  [-117.1, 32.5],
  [-97.1, 25.9],
  [-80.5, 25],
  [-75.5, 35.2],
  [-67, 44.8],
  [-69, 47.4],
  [-95, 49.4],
];

/** Numbers of the cone. */
export const CONE = (() => {
  const [south, north] = PARALLELS.map((parallel) => Math.sin(parallel * RADIANS));
  const n = (south + north) / 2;
  const c = 1 + south * (2 * n - south);
  return { n, c, radius: Math.sqrt(c) / n, meridian: MERIDIAN * RADIANS };
})();

/** Plain coordinates of a place; y grows to the north. */
function flat(isGlobe: boolean, x: number, y: number): [number, number] {
  if (!isGlobe) return [x, y];
  const { n, c, radius, meridian } = CONE;
  const distance = Math.sqrt(c - 2 * n * Math.sin(y * RADIANS)) / n;
  const angle = n * (x * RADIANS + meridian);
  return [distance * Math.sin(angle), radius - distance * Math.cos(angle)];
}

/** The place of plain coordinates. */
function unflat(isGlobe: boolean, x: number, y: number): [number, number] {
  if (!isGlobe) return [x, y];
  const { n, c, radius, meridian } = CONE;
  const down = radius - y;
  const distance = Math.hypot(x, down);
  const longitude = Math.atan2(x, down) / n - meridian;
  const sine = (c - distance * distance * n * n) / (2 * n);
  return [longitude / RADIANS, Math.asin(Math.max(-1, Math.min(1, sine))) / RADIANS];
}

/** What the user looks at. */
export class Camera {
  width = 1;
  height = 1;
  /** Pixels that panels cover on each side. */
  inset = { top: 0, right: 0, bottom: 0, left: 0 };
  /** 1 shows everything. */
  zoom = 1;
  /** Counts changes. */
  version = 0;
  #center: [number, number] = [0, 0];
  #home: { center: [number, number]; width: number; height: number } = { center: [0, 0], width: 1, height: 1 };

  /** @param isGlobe whether places are degrees. */
  constructor(readonly isGlobe: boolean, places: readonly Place[]) {
    this.fit(places);
  }

  /** Makes what is between places what zoom 1 shows. */
  fit(places: readonly Place[]): void {
    let [left, bottom, right, top] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const [x, y] of places) {
      const [flatX, flatY] = flat(this.isGlobe, x, y);
      [left, right] = [Math.min(left, flatX), Math.max(right, flatX)];
      [bottom, top] = [Math.min(bottom, flatY), Math.max(top, flatY)];
    }
    this.#home = {
      center: [(left + right) / 2, (bottom + top) / 2],
      width: Math.max(right - left, 1e-6),
      height: Math.max(top - bottom, 1e-6),
    };
    this.reset();
  }

  /** Shows everything. */
  reset(): void {
    this.zoom = 1;
    this.#center = [...this.#home.center];
    this.version++;
  }

  resize(width: number, height: number, inset: Camera["inset"]): void {
    const sides = ["top", "right", "bottom", "left"] as const;
    if (width === this.width && height === this.height && sides.every((side) => inset[side] === this.inset[side])) return;
    Object.assign(this, { width, height, inset });
    this.version++;
  }

  /** How large what zoom 1 shows would be between panels, as a factor. */
  scaleWithin(width: number, height: number, { top, right, bottom, left }: Camera["inset"]): number {
    const room = [Math.max(width - left - right, 40), Math.max(height - top - bottom, 40)];
    return 0.94 * Math.min(room[0] / this.#home.width, room[1] / this.#home.height);
  }

  /** Pixels of one plain unit. */
  get scale(): number {
    return this.scaleWithin(this.width, this.height, this.inset) * this.zoom;
  }

  /** Pixels, squared, of what zoom 1 shows. */
  get area(): number {
    return this.#home.width * this.#home.height * this.scale ** 2;
  }

  /** The pixel of plain 0, 0; pixels grow to the south. */
  get origin(): [number, number] {
    const { top, right, bottom, left } = this.inset;
    const middle = [(left + this.width - right) / 2, (top + this.height - bottom) / 2];
    return [middle[0] - this.#center[0] * this.scale, middle[1] + this.#center[1] * this.scale];
  }

  /** The pixel of a place. */
  project(x: number, y: number): [number, number] {
    const [flatX, flatY] = flat(this.isGlobe, x, y);
    const [left, top] = this.origin;
    return [left + flatX * this.scale, top - flatY * this.scale];
  }

  /** The place of a pixel. */
  place(x: number, y: number): [number, number] {
    const [left, top] = this.origin;
    return unflat(this.isGlobe, (x - left) / this.scale, (top - y) / this.scale);
  }

  pan(byX: number, byY: number): void {
    this.#center[0] -= byX / this.scale;
    this.#center[1] += byY / this.scale;
    this.version++;
  }

  /** Comes nearer by a factor; the place under a pixel stays there. */
  zoomAt(factor: number, x: number, y: number): void {
    const [left, top] = this.origin;
    const under = [(x - left) / this.scale, (top - y) / this.scale];
    this.zoom = Math.max(0.5, Math.min(60, this.zoom * factor));
    const [newLeft, newTop] = this.origin;
    this.pan(x - (newLeft + under[0] * this.scale), y - (newTop - under[1] * this.scale));
  }
}

/** The same cone for d3-geo, with so many pixels in a plain unit and plain 0, 0 at pixel 0, 0. */
export function cone(scale: number): GeoProjection {
  const projection = geoConicEqualArea().parallels(PARALLELS).rotate([MERIDIAN, 0]).center([0, 0]);
  // Where d3 puts its centre is the place that it is told to put there.
  const [flatX, flatY] = flat(true, -MERIDIAN, 0);
  return projection.scale(scale).translate([flatX * scale, -flatY * scale]);
}
