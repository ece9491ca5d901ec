/**
 * The host of the mirror protocol: it publishes an app over a transport, and runs what clients call.
 *
 * # Rules
 * - A version is never used again: where a change could not be sent, a snapshot follows.
 * - Changes are posted before the results of the calls that made them.
 * - No stack of an error leaves the host.
 */
import {
  InvalidMessageError,
  isMessage,
  type CallMessage,
  type InvalidMessageObserver,
  type Patch,
} from "../client/mirror/message.js";
import { safely, type Unsubscribe, type WorkerTransport } from "../client/transports/transport.js";
import { describe, textOf, type App, type Hosting } from "./modules.js";
import type { Change } from "./tracker.js";

/** How an app is published. */
export interface PublishOptions {
  readonly transport: WorkerTransport;
  /** Whether changes come as patches, or as whole states with patches beside them. "snapshot" unless told. */
  readonly sync?: "snapshot" | "patch";
  /** Publishes only these modules, with a version counter of their own. */
  readonly stateSections?: readonly string[];
  /** Is told of what arrived and is no valid message. */
  readonly onInvalidMessage?: InvalidMessageObserver;
}

export class ProtocolHosting implements Hosting {
  readonly ready: Promise<void>;
  invalidCount = 0;
  readonly #app: App;
  readonly #options: PublishOptions;
  readonly #names: readonly string[];
  readonly #leave: Unsubscribe;
  #version = 0;
  #isStarted = false;
  #isDisposed = false;
  /** A change was not sent: clients need a snapshot. */
  #hasLost = false;

  constructor(app: App, options: PublishOptions) {
    this.#app = app;
    this.#options = options;
    const { transport, stateSections } = options;
    this.#names = app.declarations().flatMap(({ name }) => (stateSections?.includes(name) === false ? [] : [name]));
    this.#leave = transport.subscribe(
      (message) => this.#receive(message),
      (error) => this.#invalid(error),
    );
    // Later, so that a client that is made next hears it.
    this.ready = Promise.resolve().then(() => this.#start());
    this.ready.catch(() => {});
  }

  publish(changes: readonly Change[]): void {
    const inside = changes.filter(({ module }) => this.#names.includes(module));
    const { sync = "snapshot", stateSections } = this.#options;
    if (inside.length > 0 || stateSections === undefined) this.#version++;
    if (inside.length === 0 || !this.#isStarted || this.#isDisposed) return;
    const patches = inside.flatMap(({ patches }) => JSON.parse(patches) as Patch[]);
    const state = sync === "snapshot" ? { state: this.#state() } : {};
    if (!this.#hasLost && this.#postState({ sync: "patch", patches, ...state })) return;
    this.#hasLost = !this.#snapshot();
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#leave();
  }

  #start(): void {
    if (this.#isDisposed) throw new Error("Worker host disposed before initial state.");
    this.#app.commit();
    this.#isStarted = true;
    this.#options.transport.post({ type: "ready" });
    this.#hasLost = !this.#snapshot();
  }

  #state(): Record<string, unknown> {
    return Object.fromEntries(this.#names.map((name) => [name, JSON.parse(this.#app.text(name)) as unknown]));
  }

  #snapshot(syncId?: number): boolean {
    return this.#postState({ sync: "snapshot", state: this.#state(), ...(syncId === undefined ? {} : { syncId }) });
  }

  /** Posts a state message; `false` if it was not sent. */
  #postState(message: object): boolean {
    const { transport, stateSections } = this.#options;
    const sections = stateSections === undefined ? {} : { sections: stateSections };
    try {
      transport.post({ type: "state", version: this.#version, ...message, ...sections });
      return true;
    } catch {
      return false;
    }
  }

  #receive(message: unknown): void {
    if (this.#isDisposed) return;
    if (!isMessage(message)) this.#invalid(new InvalidMessageError(message));
    else if (message.type === "call") this.#when(() => void this.#call(message));
    else if (message.type === "sync") this.#when(() => (this.#hasLost = !this.#snapshot(message.id) && this.#hasLost));
  }

  #invalid(error: InvalidMessageError): void {
    this.invalidCount++;
    safely(this.#options.onInvalidMessage, error.received, error);
  }

  /** Does something once the app was published, and not after its end. */
  #when(run: () => void): void {
    if (this.#isStarted) return run();
    const later = (): void => void (this.#isDisposed || run());
    this.ready.then(later, () => {});
  }

  async #call({ id, module, method, args }: CallMessage): Promise<void> {
    const failed = (name: string, message: string): object => ({ error: { name, message } });
    let outcome: object;
    try {
      const refusal = this.#app.refusal(module, method);
      if (refusal !== undefined) {
        outcome = failed("CosystemError", refusal);
      } else {
        const text = textOf(await this.#app.call(module, method, args));
        outcome = text === null ? {} : { value: JSON.parse(text) as unknown };
      }
    } catch (error) {
      outcome = failed(...describe(error));
    }
    this.#app.commit();
    if (this.#isDisposed) return;
    const post = (outcome: object): void =>
      this.#options.transport.post({ type: "result", id, stateVersion: this.#version, ...outcome });
    try {
      post(outcome);
    } catch (error) {
      safely(post, failed(...describe(error)));
    }
  }
}
