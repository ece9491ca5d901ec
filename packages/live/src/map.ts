/** The map below the points: land, and the states of the United States. Drawn anew only when what is looked at changes. */
import { geoGraticule10, geoPath } from "d3-geo";
import { feature, mesh } from "topojson-client";
import us from "map:us";
import world from "map:world";
import type { Camera } from "./projection.js";
import type { Colours } from "./theme.js";

const land = feature(world, world.objects.land);
const states = feature(us, us.objects.states);
const borders = mesh(us, us.objects.states, (a, b) => a !== b);
const coast = mesh(us, us.objects.states, (a, b) => a === b);
const graticule = geoGraticule10();

export function drawMap(canvas: HTMLCanvasElement, camera: Camera, ratio: number, colours: Colours): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, camera.width, camera.height);
  if (!camera.isGlobe) return;
  const projection = camera.d3().clipExtent([
    [-20, -20],
    [camera.width + 20, camera.height + 20],
  ]);
  const path = geoPath(projection, context);
  const stroke = (shape: Parameters<typeof path>[0], colour: string, width: number): void => {
    context.beginPath();
    path(shape);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  };
  const fill = (shape: Parameters<typeof path>[0], colour: string): void => {
    context.beginPath();
    path(shape);
    context.fillStyle = colour;
    context.fill();
  };
  context.lineJoin = "round";
  stroke(graticule, colours.grid, 0.5);
  fill(land, colours.land);
  fill(states, colours.country);
  stroke(borders, colours.border, 0.6);
  stroke(coast, colours.coast, 0.8);
}
