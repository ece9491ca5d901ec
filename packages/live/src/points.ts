/**
 * All entities as points. Positions go to the graphics card as they arrived; there they are scaled, interpolated and
 * projected.
 *
 * # Rules
 * - Where a row was and where it is are two buffers that change places with each update: one upload per axis and update.
 * - A row that was added was nowhere before: it starts where it is.
 * - Nothing is sent to a card that has not yet drawn what it was sent: a slow one draws less often, and the page stays quick.
 */
import type { ViewWorld } from "peristyle/client";
import { CONE, type Camera } from "./projection.js";
import type { Colours } from "./theme.js";

/** What is drawn of an entity: a kind, or nothing. */
export const NOTHING = 255;

/** Where entities are: two fields of a component. */
export interface Coordinates {
  readonly component: string;
  readonly x: string;
  readonly y: string;
  /** Whether they are degrees. */
  readonly isGlobe: boolean;
}

/** Positions as they arrived: integers and their step, or numbers and 1. */
export interface Axis {
  readonly values: Int32Array | Float32Array;
  readonly step: number;
}

/** A field as it arrived; `undefined` if it is no number that can be drawn. */
export function axis(view: ViewWorld, { component }: Coordinates, field: string): Axis | undefined {
  const quantised = view.steps(component, field);
  if (quantised) return { values: quantised.steps, step: quantised.step };
  const values = view.column(component, field);
  return values instanceof Float32Array || values instanceof Int32Array ? { values, step: 1 } : undefined;
}

/** Draws points. */
export interface Renderer {
  /** Says what a frame changed: it is uploaded when it is drawn. `kinds` says what to draw of each row. */
  update(view: ViewWorld, kinds: Uint8Array, isNew: boolean): void;
  /** Draws, unless the card is behind; `part` is how far it is from the last tick to this one. Tells whether it drew. */
  draw(camera: Camera, ratio: number, part: number, colours: Colours): boolean;
}

const VERTEX = `#version 300 es
precision highp float;
in float fromX, fromY, toX, toY;
in uint kind;
uniform float part, isGlobe, size;
uniform vec2 stepOf, scale, origin;
uniform vec4 cone;
uniform vec3 colours[3];
out vec3 colour;
void main() {
  vec2 place = mix(vec2(fromX, fromY), vec2(toX, toY), part) * stepOf;
  if (isGlobe > 0.5) {
    place *= ${Math.PI / 180};
    float away = sqrt(cone.y - 2.0 * cone.x * sin(place.y)) / cone.x;
    float angle = cone.x * (place.x + cone.w);
    place = vec2(away * sin(angle), cone.z - away * cos(angle));
  }
  colour = colours[min(kind, 2u)];
  gl_Position = kind == ${NOTHING}u ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(place * scale + origin, 0.0, 1.0);
  gl_PointSize = kind == 0u ? size : size * 1.15;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec3 colour;
uniform float alpha, ink;
out vec4 pixel;
void main() {
  float away = length(gl_PointCoord - 0.5) * 2.0;
  float cover = alpha * (1.0 - smoothstep(0.55, 1.0, away));
  pixel = vec4(colour * cover, cover * ink);
}`;

/** Drawings that may be on their way to the card. */
const AHEAD_MAX = 2;

/** How large points are, in pixels, and how much they cover, so that many stay as legible as few. */
function look(count: number, area: number): { size: number; alpha: number } {
  // How often the map would be covered by points of two pixels.
  const crowd = (4 * count) / Math.max(area, 1);
  const size = Math.min(10, Math.max(1.5, 3 * crowd ** -0.25));
  const cover = (size * size * count) / Math.max(area, 1);
  return { size, alpha: Math.min(0.95, Math.max(0.08, 0.9 * cover ** -0.75)) };
}

/** With WebGL 2. */
export class GlRenderer implements Renderer {
  readonly #gl: WebGL2RenderingContext;
  readonly #program: WebGLProgram;
  readonly #uniforms: Record<string, WebGLUniformLocation | null> = {};
  readonly #buffers: [WebGLBuffer, WebGLBuffer][] = [];
  readonly #kinds: WebGLBuffer;
  /** One for each of the two orders of the buffers. */
  #arrays: WebGLVertexArrayObject[] = [];
  #now = 0;
  #capacity = 0;
  #rows = 0;
  /** Entities among the rows. */
  #count = 0;
  #step: [number, number] = [1, 1];
  #isInteger = false;
  /** What is to be uploaded: a view, what to draw of its rows, and whether nothing that was there before counts. */
  #pending: { view: ViewWorld; kinds: Uint8Array } | undefined;
  #isFresh = true;
  readonly #ahead: WebGLSync[] = [];

  /** @throws if the context lacks what is needed. */
  constructor(gl: WebGL2RenderingContext, readonly coordinates: Coordinates) {
    this.#gl = gl;
    this.#program = this.#link();
    const made = (): WebGLBuffer => {
      const buffer = gl.createBuffer();
      if (buffer === null) throw new Error("WebGL gives no buffers");
      return buffer;
    };
    this.#buffers = [
      [made(), made()],
      [made(), made()],
    ];
    this.#kinds = made();
    for (const name of ["part", "isGlobe", "size", "stepOf", "scale", "origin", "cone", "colours", "alpha", "ink"]) {
      this.#uniforms[name] = gl.getUniformLocation(this.#program, name);
    }
  }

  #link(): WebGLProgram {
    const gl = this.#gl;
    const program = gl.createProgram();
    for (const [type, source] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ] as const) {
      const shader = gl.createShader(type);
      if (shader === null || program === null) throw new Error("WebGL gives no shaders");
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "shader");
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "program");
    return program;
  }

  update(view: ViewWorld, kinds: Uint8Array, isNew: boolean): void {
    // Of several frames between two drawings the last is shown, and who came in the others is not known any more.
    this.#isFresh ||= isNew || this.#pending !== undefined;
    this.#pending = { view, kinds };
  }

  #upload(view: ViewWorld, kinds: Uint8Array): void {
    const gl = this.#gl;
    const x = axis(view, this.coordinates, this.coordinates.x);
    const y = axis(view, this.coordinates, this.coordinates.y);
    if (!x || !y) return;
    this.#rows = view.rows;
    this.#step = [x.step, y.step];
    const isInteger = x.values instanceof Int32Array;
    const fresh = this.#isFresh || view.rows > this.#capacity || isInteger !== this.#isInteger;
    this.#isFresh = false;
    if (fresh) this.#reserve(view.rows, isInteger);
    else this.#now ^= 1;
    const [before, after] = [this.#buffers[this.#now ^ 1], this.#buffers[this.#now]];
    [x.values, y.values].forEach((values, at) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, after[at]);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
      gl.bindBuffer(gl.ARRAY_BUFFER, before[at]);
      if (fresh) gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
      else runs(view.added, (row, count) => gl.bufferSubData(gl.ARRAY_BUFFER, row * 4, values, row, count));
    });
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#kinds);
    if (fresh) {
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, kinds, 0, view.rows);
    } else {
      runs(view.added, (row, count) => gl.bufferSubData(gl.ARRAY_BUFFER, row, kinds, row, count));
      for (const { row } of view.removed) gl.bufferSubData(gl.ARRAY_BUFFER, row, kinds, row, 1);
    }
  }

  #reserve(rows: number, isInteger: boolean): void {
    const gl = this.#gl;
    this.#isInteger = isInteger;
    this.#capacity = Math.max(1024, Math.ceil(rows * 1.25));
    for (const buffer of this.#buffers.flat()) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, this.#capacity * 4, gl.DYNAMIC_DRAW);
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#kinds);
    gl.bufferData(gl.ARRAY_BUFFER, this.#capacity, gl.DYNAMIC_DRAW);
    this.#arrays = [0, 1].map((now) => {
      const array = gl.createVertexArray();
      if (array === null) throw new Error("WebGL gives no vertex arrays");
      gl.bindVertexArray(array);
      const [before, after] = [this.#buffers[now ^ 1], this.#buffers[now]];
      const numbers = [["fromX", before[0]], ["fromY", before[1]], ["toX", after[0]], ["toY", after[1]]] as const;
      for (const [name, buffer] of numbers) {
        const location = gl.getAttribLocation(this.#program, name);
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.enableVertexAttribArray(location);
        gl.vertexAttribPointer(location, 1, isInteger ? gl.INT : gl.FLOAT, false, 0, 0);
      }
      const location = gl.getAttribLocation(this.#program, "kind");
      gl.bindBuffer(gl.ARRAY_BUFFER, this.#kinds);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribIPointer(location, 1, gl.UNSIGNED_BYTE, 0, 0);
      return array;
    });
    gl.bindVertexArray(null);
  }

  /** Whether the card has still to draw what it was sent. */
  #isBehind(): boolean {
    const gl = this.#gl;
    while (this.#ahead.length > 0 && gl.getSyncParameter(this.#ahead[0], gl.SYNC_STATUS) === gl.SIGNALED) {
      gl.deleteSync(this.#ahead.shift() ?? null);
    }
    return this.#ahead.length >= AHEAD_MAX;
  }

  draw(camera: Camera, ratio: number, part: number, { points, isDark }: Colours): boolean {
    const gl = this.#gl;
    if (this.#isBehind()) return false;
    if (this.#pending) this.#upload(this.#pending.view, this.#pending.kinds);
    const count = this.#pending?.view.length ?? this.#count;
    [this.#count, this.#pending] = [count, undefined];
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const array = this.#arrays[this.#now];
    if (array === undefined) return true;
    const [left, top] = camera.origin;
    const u = this.#uniforms;
    gl.useProgram(this.#program);
    gl.bindVertexArray(array);
    gl.uniform1f(u.part, part);
    gl.uniform1f(u.isGlobe, this.coordinates.isGlobe ? 1 : 0);
    gl.uniform2f(u.stepOf, ...this.#step);
    gl.uniform2f(u.scale, (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height);
    gl.uniform2f(u.origin, (2 * left) / camera.width - 1, 1 - (2 * top) / camera.height);
    gl.uniform4f(u.cone, CONE.n, CONE.c, CONE.radius, CONE.meridian);
    gl.uniform3fv(u.colours, points.flat());
    const { size, alpha } = look(count, camera.area * ratio * ratio);
    gl.uniform1f(u.size, size);
    gl.uniform1f(u.alpha, alpha);
    // Ink covers; on black it gives some light as well, so that crowds are brighter.
    gl.uniform1f(u.ink, isDark ? 0.8 : 1);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArrays(gl.POINTS, 0, this.#rows);
    gl.bindVertexArray(null);
    const sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    if (sync) this.#ahead.push(sync);
    return true;
  }
}

/** Calls `f` for each run of neighbours. */
function runs(rows: { readonly length: number; at(place: number): number }, f: (row: number, count: number) => void): void {
  let place = 0;
  while (place < rows.length) {
    const first = rows.at(place);
    let count = 1;
    while (place + count < rows.length && rows.at(place + count) === first + count) count++;
    f(first, count);
    place += count;
  }
}

/** Without WebGL: no more points than a canvas can fill in time. */
export class CanvasRenderer implements Renderer {
  static readonly #POINTS_MAX = 20_000;
  #view: ViewWorld | undefined;
  #kinds: Uint8Array = new Uint8Array(0);

  constructor(readonly context: CanvasRenderingContext2D, readonly coordinates: Coordinates) {}

  update(view: ViewWorld, kinds: Uint8Array): void {
    this.#view = view;
    this.#kinds = kinds;
  }

  draw(camera: Camera, ratio: number, _part: number, { points }: Colours): boolean {
    const { context, coordinates } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, camera.width, camera.height);
    const view = this.#view;
    const x = view && axis(view, coordinates, coordinates.x);
    const y = view && axis(view, coordinates, coordinates.y);
    if (!view || !x || !y) return true;
    const stride = Math.ceil(view.rows / CanvasRenderer.#POINTS_MAX) || 1;
    const styles = points.map((parts) => `rgb(${parts.map((part) => Math.round(part * 255)).join(" ")} / 0.7)`);
    for (let row = 0; row < view.rows; row += stride) {
      if (this.#kinds[row] === NOTHING) continue;
      const [left, top] = camera.project(x.values[row] * x.step, y.values[row] * y.step);
      context.fillStyle = styles[Math.min(this.#kinds[row], 2)];
      context.fillRect(left - 1, top - 1, 2, 2);
    }
    return true;
  }
}
