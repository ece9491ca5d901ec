/**
 * The map below the points: land, and the states of the United States.
 *
 * Shapes are projected once; what is looked at is a scale and a place, so that moving the map costs no more than drawing it.
 */
import { geoGraticule10, geoPath, type GeoPermissibleObjects } from "d3-geo";
import { feature, mesh } from "topojson-client";
import us from "map:us";
import world from "map:world";
import { cone, type Camera } from "./projection.js";
import type { Colours } from "./theme.js";

/** Pixels of a plain unit in which shapes are kept: fine enough for the nearest look. */
const UNIT = 4000;

interface Shapes {
  readonly land: Path2D;
  readonly states: Path2D;
  readonly borders: Path2D;
  readonly coast: Path2D;
  readonly graticule: Path2D;
}

let kept: Shapes | undefined;

function shapes(): Shapes {
  const path = geoPath(cone(UNIT));
  const shape = (object: GeoPermissibleObjects): Path2D => new Path2D(path(object) ?? "");
  kept ??= {
    land: shape(feature(world, world.objects.land)),
    states: shape(feature(us, us.objects.states)),
    borders: shape(mesh(us, us.objects.states, (a, b) => a !== b)),
    coast: shape(mesh(us, us.objects.states, (a, b) => a === b)),
    graticule: shape(geoGraticule10()),
  };
  return kept;
}

export function drawMap(canvas: HTMLCanvasElement, camera: Camera, ratio: number, colours: Colours): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!camera.isGlobe) return;
  const [left, top] = camera.origin;
  const scale = camera.scale / UNIT;
  context.setTransform(scale * ratio, 0, 0, scale * ratio, left * ratio, top * ratio);
  const { land, states, borders, coast, graticule } = shapes();
  const stroke = (shape: Path2D, colour: string, width: number): void => {
    context.strokeStyle = colour;
    context.lineWidth = width / scale;
    context.stroke(shape);
  };
  const fill = (shape: Path2D, colour: string): void => {
    context.fillStyle = colour;
    context.fill(shape);
  };
  context.lineJoin = "round";
  stroke(graticule, colours.grid, 0.5);
  fill(land, colours.land);
  fill(states, colours.country);
  stroke(borders, colours.border, 0.6);
  stroke(coast, colours.coast, 0.8);
}
