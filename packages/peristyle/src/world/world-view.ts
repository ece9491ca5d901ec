/**
 * A world of this page, seen as those see one who follow it from elsewhere: for interfaces that show it.
 *
 * The core makes the frames that it would send, and a view-world takes them in. So an interface is written once, wherever
 * the world is stepped, and what it costs follows what changed.
 *
 * # Rules
 * - What is shown is the world after a tick; changes outside of ticks show after the next, or when asked.
 */
import { ReplicaStream, TOPIC_RENDER, type ReplicaEvents } from "../client/connection/replica-stream.js";
import type { ViewWorld, ViewWorldOptions } from "../client/replica/view-world.js";
import type { Unsubscribe } from "../client/transports/transport.js";
import type { AnyComponent } from "./component.js";
import { describePublished, wholeTicks, type PublishedComponent } from "./published.js";
import type { World } from "./world.js";

/** How a world of this page is seen. */
export interface WorldViewOptions extends ViewWorldOptions {
  /** It is looked at after every so many ticks. 1. */
  readonly every?: number;
  /** What is shown; every component that lies in columns, as optional, unless told. */
  readonly components?: readonly (AnyComponent | PublishedComponent)[];
}

/** A world of this page as it is seen: what `useQuery` and other observers take. */
export class WorldView {
  readonly #world: World;
  readonly #stream: ReplicaStream;
  readonly #mirror: number;
  readonly #connection: number;
  readonly #stop: () => void;
  #tick = 0;
  #since = 0;
  #isClosed = false;

  /** @internal Use {@link viewWorld}. */
  constructor(world: World, { every = 1, components, ...options }: WorldViewOptions) {
    const period = wholeTicks("viewWorld", "every", every);
    const lines = [...describePublished(world, components), `prefix ${TOPIC_RENDER}`];
    this.#world = world;
    this.#stream = new ReplicaStream(() => {}, options);
    const { core } = world;
    this.#mirror = core.check(core.abi.mirror(core.writeText(lines.join("\n"))));
    this.#connection = core.check(core.abi.mirror_open(this.#mirror, -1, -1));
    this.look();
    this.#stop = world.onTick(() => {
      if (++this.#since < period) return;
      this.#since = 0;
      this.look();
    });
  }

  /** What is seen. The same object until the world is viewed no more. */
  get view(): ViewWorld | undefined {
    return this.#stream.view;
  }

  /** Tells a listener of every frame that was taken in, until told to stop. */
  on<K extends "view" | "frame">(event: K, listener: (told: ReplicaEvents[K]) => void): Unsubscribe {
    return this.#stream.on(event, listener);
  }

  /** Looks at the world now. For worlds that are changed outside of ticks. */
  look(): void {
    if (this.#isClosed) return;
    const { core } = this.#world;
    core.check(core.abi.mirror_publish(this.#mirror, ++this.#tick));
    for (;;) {
      const bytes = core.check(core.abi.mirror_take(this.#mirror, this.#connection));
      if (bytes === 0) return;
      const at = core.scratch();
      // A copy: what is told of it may use the core.
      const error = this.#stream.receive(core.u8().slice(at, at + bytes));
      if (error) throw error;
    }
  }

  /** Looks no more. What was last seen stays readable. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stop();
    const { core } = this.#world;
    core.abi.mirror_close(this.#mirror, this.#connection);
  }
}

/**
 * Sees a world of this page as those see one who follow it from elsewhere.
 *
 * ```ts
 * const seen = viewWorld(world);
 * observeQuery(seen, { all: [Position] });
 * ```
 *
 * @throws `ServeError` for components that cannot be shown, and for a period that is none.
 */
export function viewWorld(world: World, options: WorldViewOptions = {}): WorldView {
  return new WorldView(world, options);
}
