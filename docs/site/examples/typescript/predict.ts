// ANCHOR: system
// predict.ts: a ship that its player steers without waiting for the host.
import { Prediction, TooFarAheadError, component, connect, type Connection, type PredictedRows } from "peristyle/client";

const Body = component("Body", { x: "f32", speed: "f32" });

/** What a player does in one tick. */
interface Input {
  readonly push: number;
}

/** One tick of a body: host and client run the same. */
function move(rows: PredictedRows, { push }: Input): void {
  const { x, speed } = rows.get(Body);
  for (let row = 0; row < rows.rows; row++) {
    speed[row] += push;
    x[row] += speed[row];
  }
}
// ANCHOR_END: system

// ANCHOR: client
/** Steers one entity ahead of the host. */
class Player {
  readonly corrections: string[] = [];
  readonly #connection: Connection;
  readonly #entity: number;
  readonly #prediction = new Prediction<Input>([Body]).predict(move);

  constructor(connection: Connection, entity: number) {
    this.#connection = connection;
    this.#entity = entity;
    // An answer comes after the frame that has what it answers.
    connection.on("answer", ({ input }) => this.#reconcile(input));
    // While nothing waits for an answer, frames alone say where the entity is.
    connection.on("frame", () => this.#prediction.waiting === 0 && this.#reconcile(0));
    // What was sent before a break will not be answered.
    connection.on("status", ({ status }) => {
      if (status !== "open" && connection.view) this.#prediction.reset(connection.view);
    });
  }

  /** Once a tick: sends what the player does, and runs it at once. False if the host has not answered for too long. */
  tick(input: Input): boolean {
    const { view } = this.#connection;
    if (!view || !this.#prediction.follow(view, this.#entity)) return false;
    try {
      const number = this.#connection.input(Uint8Array.of(input.push));
      this.#prediction.input(number, input);
      return true;
    } catch (error) {
      if (error instanceof TooFarAheadError) return false;
      throw error;
    }
  }

  /** Inputs that the host has not answered. */
  get waiting(): number {
    return this.#prediction.waiting;
  }

  /** Where to draw it. */
  get x(): number {
    return this.#prediction.rows.get(Body).x[this.#prediction.row(this.#entity)];
  }

  /** Rewinds to what the host says, and replays what it has not answered. */
  #reconcile(answered: number): void {
    const { view } = this.#connection;
    if (!view) return;
    for (const { field, before, after } of this.#prediction.reconcile(view, answered)) {
      this.corrections.push(`${field} was shown as ${before} and is ${after}`);
    }
  }
}
// ANCHOR_END: client

// ANCHOR: host
import { Scheduler, World } from "peristyle";
import { publishWorld } from "peristyle/server";

const world = new World();
const HostBody = world.defineComponent({ name: "Body", fields: { x: "f32", speed: "f32" } });
const ship = world.createEntity({ [HostBody.id]: { x: 0, speed: 0 } });

/** What came in since the last tick. */
const inputs: Input[] = [];
const scheduler = new Scheduler(world);
scheduler.register({
  name: "move",
  writesComponents: [HostBody],
  run() {
    for (const { push } of inputs.splice(0)) {
      const body = world.get(ship, HostBody)!;
      const speed = body.speed + push;
      // The host knows of a wall at 8, the client does not.
      world.set(ship, HostBody, body.x + speed > 8 ? { x: 8, speed: 0 } : { x: body.x + speed, speed });
    }
  },
});
const publication = publishWorld(world, {
  port: 0,
  onInput(_client, { bytes }) {
    if (bytes.length !== 1) throw new RangeError("a push is one byte"); // Ends that client's connection.
    inputs.push({ push: bytes[0] });
  },
});
// ANCHOR_END: host

// ANCHOR: play
import WebSocket from "ws"; // Node has one of its own from version 22 on; so has every page.

const connection = connect(`ws://127.0.0.1:${await publication.ready}/`, { WebSocket });
await new Promise((resolve) => connection.on("frame", resolve));

const player = new Player(connection, ship);
for (const push of [1, 1, 1, 1]) player.tick({ push });
console.log("shown at once:", player.x, "with", player.waiting, "inputs on their way");

while (player.waiting > 0) {
  await scheduler.runFrame(1 / 30);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
console.log("after the host's answers:", player.x);
console.log(player.corrections[0]);

connection.close();
await publication.close();
await scheduler.close();
// ANCHOR_END: play
