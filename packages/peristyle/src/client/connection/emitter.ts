/** Events by name. */
import { Listeners, type Unsubscribe } from "../transports/transport.js";

/** Something that tells of events: each a name and what its listeners are told. */
export class Emitter<Events extends Record<string, unknown>> {
  readonly #listeners = new Map<keyof Events, Listeners<[never]>>();

  /** Tells a listener of an event, until told to stop. What it throws disturbs nobody. */
  on<K extends keyof Events>(event: K, listener: (told: Events[K]) => void): Unsubscribe {
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Listeners()));
    return listeners.add(listener);
  }

  /** @internal */
  emit<K extends keyof Events>(event: K, told: Events[K]): void {
    this.#listeners.get(event)?.emit(told as never);
  }
}
