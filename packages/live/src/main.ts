/**
 * The live page: a world, as it moves.
 *
 * It knows nothing of the world but what the connection says. Where entities are is told by their fields: `latitude` and
 * `longitude` of a component, else `x` and `y`. A module `clock` brings controls, one `airports` names and busyness, a
 * timeline the chart; what is not there is not shown.
 */
import { TickClock, connect, type Connection, type ViewWorld } from "peristyle/client";
import { Flights } from "./flights.js";
import { Gantt, milliseconds } from "./gantt.js";
import { drawMap } from "./map.js";
import { CanvasRenderer, GlRenderer, NOTHING, axis, type Coordinates, type Renderer } from "./points.js";
import { Camera, UNITED_STATES, type Place } from "./projection.js";
import { CountingWebSocket, received } from "./socket.js";
import { colours as readColours } from "./theme.js";

interface Clock {
  readonly tick: number;
  readonly seconds: number;
  readonly speed: number;
  readonly ticks_per_second: number;
  readonly paused: boolean;
}
interface Airport {
  readonly iata: string;
  readonly city: string;
  readonly latitude: number;
  readonly longitude: number;
}
type State = { clock?: Clock; airports?: { list: readonly Airport[] } };

const element = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;
const canvas = (id: string): HTMLCanvasElement => element<HTMLCanvasElement>(id);
const text = (id: string, value: string): void => {
  const node = element(id);
  if (node.textContent !== value) node.textContent = value;
};
const grouped = new Intl.NumberFormat("en-US");

const stage = element("stage");
const [mapCanvas, markCanvas] = ["map", "marks"].map(canvas);
let pointCanvas = canvas("points");
/** Who wants less motion sees where everything is once a second, not how it gets there. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let colours = readColours();
let camera = new Camera(true, UNITED_STATES);
let coordinates: Coordinates | undefined;
let renderer: Renderer | undefined;
let drawnCamera = -1;
/** The camera at which points were drawn last, and when. */
let drawnPoints = { camera: -1, at: -Infinity };
const flights = new Flights();
const gantt = new Gantt();
const ticks = new TickClock();
let isNew = true;
/** What the pointer is on: an entity, or none. */
let pointed: { entity: number; x: number; y: number } | undefined;
let isFixed = false;

// ---- the connection ----

let connection: Connection<State>;
/** Whether there is state to select from. */
let isReady = false;
let token = new URLSearchParams(location.hash.slice(1)).get("token") ?? undefined;

function open(): void {
  connection = connect<State>("/ws" + location.search, {
    topics: ["process.state", "render.state", "trace"],
    WebSocket: CountingWebSocket as never,
    view: { verify: true },
    ...(token !== undefined && { token }),
  });
  isReady = false;
  const { client } = connection;
  void client.ready.then(() => (isReady = client === connection.client), () => {});
  connection.on("status", showStatus);
  connection.on("view", (view) => {
    isNew = true;
    begin(view);
  });
  connection.on("frame", ({ snapshot }) => {
    const began = performance.now();
    isNew ||= snapshot;
    ticks.arrived(began);
    updates++;
    if (connection.view) update(connection.view);
    script.updating += performance.now() - began;
  });
  connection.on("trace", (bytes) => {
    gantt.add(bytes);
    element("timeline").hidden = false;
  });
  connection.client.watch((state) => state.clock, showClock, { immediate: true });
  connection.client.watch((state) => state.airports, (airports) => {
    element("busy").hidden = element("legend").hidden = !airports;
    if (airports) text("what", "flights in the air");
  }, { immediate: true });
}

function airports(): readonly Airport[] {
  return isReady ? (connection.client.select((state) => state.airports?.list) ?? []) : [];
}

let countdown: ReturnType<typeof setInterval> | undefined;

function showStatus(status: Connection["status"]): void {
  clearInterval(countdown);
  const notice = element("notice");
  const [form, retry] = [element("token-form"), element("retry")];
  notice.hidden = status.status === "open" || (status.status === "connecting" && status.attempt === 0);
  form.hidden = !(status.status === "closed" && status.code === 4401);
  retry.hidden = status.status !== "waiting";
  if (status.status === "waiting") {
    const end = performance.now() + status.retryIn;
    const why = status.reason === "" ? "The server is gone" : `The server said: ${status.reason}`;
    const show = (): void => {
      const seconds = Math.max(0, Math.ceil((end - performance.now()) / 1000));
      text("notice-text", `${why}. Trying again in ${seconds} s.`);
    };
    show();
    countdown = setInterval(show, 250);
  } else if (status.status === "connecting") {
    text("notice-text", "Connecting…");
  } else if (status.status === "closed") {
    text("notice-text", ending(status.code, status.reason));
    if (status.code === 4401) element("token").focus();
  }
}

function ending(code: number, reason: string): string {
  if (code === 4401) return token === undefined ? "This world asks for a token." : "That token is not the right one.";
  if (code === 4403) return `Not allowed: ${reason}.`;
  if (reason.includes("version")) return `The server speaks another version than this page. Load it again. (${reason})`;
  return reason === "" ? "The connection was closed." : `The connection was closed: ${reason}.`;
}

element("retry").onclick = () => connection.retry();
element("token-form").onsubmit = (event) => {
  event.preventDefault();
  token = element<HTMLInputElement>("token").value;
  connection.close();
  open();
};

// ---- the world ----

function find(view: ViewWorld): Coordinates | undefined {
  for (const [x, y, isGlobe] of [["longitude", "latitude", true], ["x", "y", false]] as const) {
    for (const { name, fields } of view.schema.components) {
      if ([x, y].every((field) => fields.some((known) => known.name === field))) {
        return { component: name, x, y, isGlobe };
      }
    }
  }
  return undefined;
}

function begin(view: ViewWorld): void {
  coordinates = find(view);
  if (coordinates === undefined) return;
  camera = new Camera(coordinates.isGlobe, coordinates.isGlobe ? UNITED_STATES : PLANE);
  layout();
  renderer ??= makeRenderer(coordinates);
}

function makeRenderer(where: Coordinates): Renderer | undefined {
  const { dataset } = document.documentElement;
  try {
    const gl = pointCanvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true });
    if (gl) {
      dataset.renderer = "webgl";
      return new GlRenderer(gl, where);
    }
  } catch (error) {
    console.warn("WebGL cannot be used here:", error);
  }
  // A canvas has one kind of context for good.
  const fresh = pointCanvas.cloneNode() as HTMLCanvasElement;
  pointCanvas.replaceWith(fresh);
  pointCanvas = fresh;
  const context = fresh.getContext("2d");
  dataset.renderer = "canvas";
  return context ? new CanvasRenderer(context, where) : undefined;
}

// A card that was taken away may come back; what it held is lost.
pointCanvas.addEventListener("webglcontextlost", (event) => {
  event.preventDefault();
  renderer = undefined;
});
pointCanvas.addEventListener("webglcontextrestored", () => {
  renderer = coordinates && makeRenderer(coordinates);
  if (connection.view) renderer?.update(connection.view, flights.kinds, true);
});

function update(view: ViewWorld): void {
  if (coordinates === undefined) return;
  if (isNew && !coordinates.isGlobe) camera.fit(bounds(view, coordinates));
  flights.update(view, isNew);
  renderer?.update(view, flights.kinds, isNew);
  isNew = false;
}

/** What is shown of a plane on which nothing is. */
const PLANE: readonly Place[] = [
  [-1, -1],
  [1, 1],
];

/** Two places between which everybody is. */
function bounds(view: ViewWorld, where: Coordinates): readonly Place[] {
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  const [x, y] = [axis(view, where, where.x), axis(view, where, where.y)];
  for (let row = 0; x && y && row < view.rows; row++) {
    if (view.entity(row) === 0) continue;
    west = Math.min(west, x.values[row] * x.step);
    east = Math.max(east, x.values[row] * x.step);
    south = Math.min(south, y.values[row] * y.step);
    north = Math.max(north, y.values[row] * y.step);
  }
  if (!(west < east)) return PLANE;
  return [
    [west, south],
    [east, north],
  ];
}

/** The entity nearest to a pixel, if one is within so many. */
function nearest(left: number, top: number, reach = 9): number | undefined {
  const { view } = connection;
  if (view === undefined || coordinates === undefined) return undefined;
  const [x, y] = [axis(view, coordinates, coordinates.x), axis(view, coordinates, coordinates.y)];
  if (!x || !y) return undefined;
  const [placeX, placeY] = camera.place(left, top);
  const [besideX] = camera.place(left + reach, top);
  const [, besideY] = camera.place(left, top - reach);
  const [wide, high] = [Math.abs(besideX - placeX) / x.step, Math.abs(besideY - placeY) / y.step];
  const [atX, atY] = [placeX / x.step, placeY / y.step];
  let [best, distance] = [-1, 1];
  const { kinds } = flights;
  for (let row = 0; row < view.rows; row++) {
    const [byX, byY] = [(x.values[row] - atX) / wide, (y.values[row] - atY) / high];
    const away = byX * byX + byY * byY;
    if (away < distance && kinds[row] !== NOTHING) [best, distance] = [row, away];
  }
  return best < 0 ? undefined : view.entity(best);
}

// ---- panels ----

function showClock(clock: Clock | undefined): void {
  element("clock").hidden = element("controls").hidden = !clock;
  if (!clock) return;
  text("title", "Sky: every flight of one day");
  const pause = element("pause");
  pause.textContent = clock.paused ? "Continue" : "Pause";
  pause.setAttribute("aria-pressed", String(clock.paused));
  for (const input of element("speeds").querySelectorAll("input")) input.checked = Number(input.value) === clock.speed;
}

/** How long a remark stays. */
const REMARK_MS = 6000;
let remark: ReturnType<typeof setTimeout> | undefined;

/** Says what did not work, for a while, in the server's words if it has some. */
function say(error: unknown): void {
  const what = error instanceof Error ? error.message : String(error);
  text("remark", what.replace(/^Remote worker error: /, ""));
  element("remark").hidden = false;
  clearTimeout(remark);
  remark = setTimeout(() => (element("remark").hidden = true), REMARK_MS);
}

function call(method: string, ...args: unknown[]): void {
  connection.client.call("clock", method, ...(args as never[])).catch((error: unknown) => {
    say(error);
    showClock(isReady ? connection.client.select((state) => state.clock) : undefined);
  });
}

element("pause").onclick = () => {
  const paused = connection.client.select((state) => state.clock?.paused);
  call(paused ? "resume" : "pause");
};
for (const speed of [60, 240, 960, 3600]) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "speed", value: String(speed) });
  input.onchange = () => call("setSpeed", speed);
  label.append(input, `${speed}×`);
  label.title = `${speed / 60} simulated minutes a second`;
  element("speeds").append(label);
}

function showTime(tick: number): void {
  const clock = isReady ? connection.client.select((state) => state.clock) : undefined;
  if (!clock) return;
  const passed = clock.paused ? 0 : ((tick - clock.tick) * clock.speed) / clock.ticks_per_second;
  const minutes = Math.floor(((clock.seconds + passed) % 86_400) / 60);
  text("time", `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`);
}

let [updates, frames, lastTick, lastBytes, lastSecond] = [0, 0, 0, 0, performance.now()];

/** Once a second. */
function showFigures(now: number): void {
  const seconds = (now - lastSecond) / 1000;
  const tick = connection.view?.tick ?? 0;
  const rate = (count: number): string => grouped.format(Math.max(0, Math.round(count / seconds)));
  text("ticks", rate(tick - lastTick));
  text("updates", rate(updates));
  text("bytes", rate((received.bytes - lastBytes) / 1000));
  text("rate", rate(frames));
  [updates, frames, lastTick, lastBytes, lastSecond] = [0, 0, tick, received.bytes, now];
  showAirports();
  gantt.draw(canvas("gantt"), colours);
  const rows = gantt.times(colours).map(({ name, colour, p50, p99 }) => {
    const row = document.createElement("tr");
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colour;
    const title = document.createElement("td");
    title.append(swatch, name);
    const cells = [p50, p99].map((took) => Object.assign(document.createElement("td"), { textContent: milliseconds(took) }));
    row.append(title, ...cells);
    return row;
  });
  element("systems").replaceChildren(...rows);
  if (connection.status.status === "open" && isReady && !element("controls").hidden) {
    const asked = performance.now();
    void connection.client.call("clock", "ping").then(
      () => text("trip", (performance.now() - asked).toFixed(1)),
      () => text("trip", "–"),
    );
  }
}

function busiest(): { at: number; count: number }[] {
  const all = flights.busyness.map((count, at) => ({ at, count })).filter(({ count }) => count > 0);
  return all.sort((a, b) => b.count - a.count).slice(0, 8);
}

let top: readonly { at: number; count: number }[] = [];

function showAirports(): void {
  const list = airports();
  top = list.length > 0 ? busiest() : [];
  drawnMarks = -1;
  if (list.length === 0) return;
  const most = top[0]?.count ?? 1;
  const items = top.map(({ at, count }) => {
    const item = document.createElement("li");
    const part = (className: string, textContent: string): HTMLElement =>
      Object.assign(document.createElement("span"), { className, textContent });
    const bar = part("bar", "");
    bar.style.width = `${(100 * count) / most}%`;
    const { iata, city } = list[at] ?? { iata: "?", city: "" };
    item.append(part("iata", iata), part("city", city), part("number", grouped.format(count)), bar);
    return item;
  });
  element("airports").replaceChildren(...items);
}

/** What the tip tells of. */
let told: typeof pointed;

function showPointed(): void {
  const tip = element("tip");
  const { view } = connection;
  const row = pointed && view ? view.row(pointed.entity) : -1;
  if (row < 0) {
    tip.hidden = true;
    told = undefined;
  }
  if (row < 0 || !view || !pointed || told === pointed) return;
  told = pointed;
  tip.hidden = false;
  const list = airports();
  const field = (name: string): number | undefined => {
    const value = view.column("Flight", name)?.[row];
    return value === undefined ? undefined : Number(value);
  };
  const [origin, destination, delay] = ["origin", "destination", "delay"].map(field);
  const lines: (string | Node)[] = [];
  if (origin !== undefined && destination !== undefined && list.length > 0) {
    const way = document.createElement("b");
    way.textContent = `${list[origin]?.iata ?? "?"} → ${list[destination]?.iata ?? "?"}`;
    const cities = document.createElement("small");
    cities.textContent = `${list[origin]?.city ?? ""} to ${list[destination]?.city ?? ""}`;
    lines.push(way, document.createElement("br"), cities, document.createElement("br"));
    const minutes = Math.abs(delay ?? 0);
    lines.push((delay ?? 0) > 0 ? `${minutes} min late` : minutes > 0 ? `${minutes} min early` : "on time");
  } else {
    lines.push(`Entity ${pointed.entity % 2 ** 32}`);
  }
  tip.replaceChildren(...lines);
  const [left, top] = [pointed.x + 14, pointed.y + 14];
  tip.style.left = `${Math.min(left, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(top, innerHeight - tip.offsetHeight - 8)}px`;
}

// ---- drawing ----

const ratio = (): number => Math.min(devicePixelRatio || 1, 2);

function layout(): void {
  const [width, height] = [innerWidth, innerHeight];
  for (const sheet of [mapCanvas, pointCanvas, markCanvas]) {
    const [wide, high] = [Math.round(width * ratio()), Math.round(height * ratio())];
    if (sheet.width !== wide) sheet.width = wide;
    if (sheet.height !== high) sheet.height = high;
  }
  const isNarrow = width <= 720;
  const beside = (id: string, size: "offsetHeight" | "offsetWidth"): number => {
    const panel = element(id);
    return panel.hidden ? 0 : panel[size] + 16;
  };
  document.documentElement.style.setProperty("--figures-height", `${element("figures").offsetHeight}px`);
  const below = beside("timeline", "offsetHeight") + (isNarrow ? beside("figures", "offsetHeight") : 0);
  const free = { top: 0, right: isNarrow ? 0 : beside("figures", "offsetWidth"), bottom: below, left: 0 };
  // What is looked at lies below the head or beside it, where it is larger.
  const sides = [{ ...free, top: beside("head", "offsetHeight") }];
  if (!isNarrow) sides.push({ ...free, left: beside("head", "offsetWidth") });
  const size = (inset: typeof free): number => camera.scaleWithin(width, height, inset);
  camera.resize(width, height, sides.reduce((best, inset) => (size(inset) > size(best) ? inset : best)));
}

/** The camera at which marks were drawn last; -1 if they have changed. */
let drawnMarks = -1;

/** The busiest airports, and what is pointed at. */
function drawMarks(): void {
  const { view } = connection;
  // What is pointed at moves.
  if (drawnMarks === camera.version && !pointed) return;
  drawnMarks = pointed ? -1 : camera.version;
  const context = markCanvas.getContext("2d");
  if (context === null) return;
  context.setTransform(ratio(), 0, 0, ratio(), 0, 0);
  context.clearRect(0, 0, camera.width, camera.height);
  const list = airports();
  context.font = "600 11px system-ui, sans-serif";
  context.lineJoin = "round";
  for (const { at, count } of top) {
    const airport = list[at];
    if (!airport) continue;
    const [x, y] = camera.project(airport.longitude, airport.latitude);
    context.beginPath();
    context.arc(x, y, 3 + 7 * Math.sqrt(count / (top[0]?.count || 1)), 0, 2 * Math.PI);
    context.strokeStyle = colours.ring;
    context.globalAlpha = 0.75;
    context.lineWidth = 1;
    context.stroke();
    context.globalAlpha = 1;
    // An edge in the page's colour, so that it can be read on whatever flies there.
    context.strokeStyle = colours.page;
    context.lineWidth = 3;
    context.strokeText(airport.iata, x + 12, y + 4);
    context.fillStyle = colours.text;
    context.fillText(airport.iata, x + 12, y + 4);
  }
  const row = pointed && view ? view.row(pointed.entity) : -1;
  if (row < 0 || !view || !coordinates) return;
  const [x, y] = [axis(view, coordinates, coordinates.x), axis(view, coordinates, coordinates.y)];
  if (!x || !y) return;
  const [left, above] = camera.project(x.values[row] * x.step, y.values[row] * y.step);
  context.beginPath();
  context.arc(left, above, 8, 0, 2 * Math.PI);
  context.strokeStyle = colours.ring;
  context.lineWidth = 1.5;
  context.stroke();
}

/**
 * How long the script took, for who measures: milliseconds of each of the last frames, with the updates that came since the
 * one before; and how often points were drawn.
 */
const script = { times: new Float64Array(4096), frames: 0, updating: 0, drawn: 0 };

/** Draws points, if something about them may have changed. */
function drawPoints(now: number): void {
  const isMoved = drawnPoints.camera !== camera.version;
  if (calm.matches && !isMoved && now - drawnPoints.at < 1000) return;
  if (renderer?.draw(camera, ratio(), calm.matches ? 1 : ticks.part(now), colours)) {
    drawnPoints = { camera: camera.version, at: now };
    script.drawn++;
    frames++;
  }
}

function draw(now: number): void {
  const began = performance.now();
  requestAnimationFrame(draw);
  if (drawnCamera !== camera.version) {
    drawMap(mapCanvas, camera, ratio(), colours);
    drawnCamera = camera.version;
  }
  drawPoints(now);
  const { view } = connection;
  if (view?.tick !== undefined) {
    text("count", grouped.format(view.length));
    showTime(view.tick);
  }
  drawMarks();
  showPointed();
  if (now - lastSecond >= 1000) showFigures(now);
  script.times[script.frames++ % script.times.length] = performance.now() - began + script.updating;
  script.updating = 0;
}

// ---- the user ----

let drag: { x: number; y: number; moved: boolean } | undefined;
const pointers = new Map<number, { x: number; y: number }>();
const spread = (): number => {
  const [a, b] = [...pointers.values()];
  return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
};
stage.addEventListener("pointerdown", (event) => {
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  drag = { x: event.clientX, y: event.clientY, moved: false };
});
stage.addEventListener("pointermove", (event) => {
  const { clientX: x, clientY: y } = event;
  const before = spread();
  if (pointers.has(event.pointerId)) pointers.set(event.pointerId, { x, y });
  if (drag && pointers.size === 2) {
    if (before > 0) camera.zoomAt(spread() / before, x, y);
    drag.moved = true;
  } else if (drag) {
    if (drag.moved || Math.hypot(x - drag.x, y - drag.y) > 4) {
      camera.pan(x - drag.x, y - drag.y);
      drag = { x, y, moved: true };
    }
  } else if (!isFixed) {
    const entity = nearest(x, y);
    pointed = entity === undefined ? undefined : { entity, x, y };
  }
});
const release = (event: PointerEvent): void => {
  pointers.delete(event.pointerId);
  if (drag && !drag.moved) {
    const entity = nearest(event.clientX, event.clientY);
    isFixed = entity !== undefined;
    pointed = entity === undefined ? undefined : { entity, x: event.clientX, y: event.clientY };
  }
  drag = undefined;
};
stage.addEventListener("pointerup", release);
stage.addEventListener("pointercancel", release);
stage.addEventListener("pointerleave", () => {
  if (!isFixed) pointed = undefined;
});
stage.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    camera.zoomAt(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), event.clientX, event.clientY);
  },
  { passive: false },
);
addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement && event.target.type !== "radio") return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = 60;
  const moves: Record<string, () => void> = {
    "+": () => camera.zoomAt(1.25, camera.width / 2, camera.height / 2),
    "=": () => camera.zoomAt(1.25, camera.width / 2, camera.height / 2),
    "-": () => camera.zoomAt(0.8, camera.width / 2, camera.height / 2),
    "0": () => camera.reset(),
    Escape: () => {
      isFixed = false;
      pointed = undefined;
    },
    ...(document.activeElement === stage && {
      ArrowLeft: () => camera.pan(step, 0),
      ArrowRight: () => camera.pan(-step, 0),
      ArrowUp: () => camera.pan(0, step),
      ArrowDown: () => camera.pan(0, -step),
      " ": () => element("pause").click(),
      Enter: () => {
        const [x, y] = [camera.width / 2, camera.height / 2];
        const entity = nearest(x, y, Math.max(x, y));
        isFixed = entity !== undefined;
        pointed = entity === undefined ? undefined : { entity, x, y };
      },
    }),
  };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  move();
});
addEventListener("resize", layout);
// Panels that come, go and grow change what is free for the map.
const panels = new ResizeObserver(layout);
for (const id of ["head", "figures", "timeline"]) panels.observe(element(id));
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
  colours = readColours();
  camera.version++;
});

/** What tests and measurements ask of the page. */
Object.assign(globalThis, {
  peristyle: {
    get connection() {
      return connection;
    },
    script,
    /** The pixel of some entity that lies on the free part of the screen. */
    placeOfAny(): [number, number] | undefined {
      const { view } = connection;
      const [x, y] = view && coordinates ? [axis(view, coordinates, coordinates.x), axis(view, coordinates, coordinates.y)] : [];
      for (let row = 0; view && x && y && row < view.rows; row++) {
        if (view.entity(row) === 0) continue;
        const place = camera.project(x.values[row] * x.step, y.values[row] * y.step);
        if (document.elementFromPoint(...place)?.closest("#stage")) return place;
      }
      return undefined;
    },
  },
});

open();
layout();
requestAnimationFrame(draw);
