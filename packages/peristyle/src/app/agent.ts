/**
 * Apps in an agent of Peristyle's native runtime: the host is Rust, and serves them beside modules of its own.
 *
 * The host sends one port, in the first message that the agent gets. On it, both sides speak in tagged values; states,
 * patches, arguments and results are JSON text, which the host passes on unread.
 *
 * | from the host | |
 * |---|---|
 * | `{Call: [number, module, method, arguments]}` | runs a method; answered by `Value` or `Error` |
 * | `"States"` | asks for all states; answered by `States` |
 * | `{WantStates: wanted}` | whether changes come with states |
 *
 * | to the host | |
 * |---|---|
 * | `{Modules: [[name, actions, methods, state], ...]}` | the app, first |
 * | `{Change: [[module, patches, state or null], ...]}` | one change |
 * | `{States: [[module, state], ...]}` | all states, after all changes sent so far |
 * | `{Value: [number, text or null]}`, `{Error: [number, name, message]}` | what became of a call |
 * | `{Lost: why}` | a change could not be told: the host must not go on with the app |
 */
import { describe, textOf, type App, type Hosting } from "./modules.js";
import type { Change } from "./tracker.js";

interface Endpoint {
  addEventListener(type: "message", listener: (event: MessageLike) => void): void;
  removeEventListener(type: "message", listener: (event: MessageLike) => void): void;
}

interface HostPort {
  onmessage: ((event: MessageLike) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

interface MessageLike {
  readonly data: unknown;
  readonly ports: readonly unknown[];
  stopImmediatePropagation(): void;
}

type FromHost = "States" | { Call: [number, string, string, string] } | { WantStates: boolean };

/** What the first message says, and what tells that there is an app. */
const KEY = "peristyle.app";
const mark = Symbol.for(KEY);

/** The host's port: it comes with the first message. */
function hostPort(): Promise<HostPort> {
  const endpoint = globalThis as unknown as Endpoint;
  return new Promise((resolve) => {
    const take = (event: MessageLike): void => {
      if (event.data !== KEY) return;
      endpoint.removeEventListener("message", take);
      event.stopImmediatePropagation();
      resolve(event.ports[0] as HostPort);
    };
    endpoint.addEventListener("message", take);
  });
}

/** Hosts an app of this agent, which has one. */
export class AgentHosting implements Hosting {
  readonly ready: Promise<void>;
  /** The host in Rust judges what arrives, and counts it. */
  readonly invalidCount = 0;
  #link: Link | undefined;
  #isDisposed = false;

  constructor(app: App) {
    const realm = globalThis as unknown as Record<symbol, unknown>;
    if (realm[mark] !== undefined) throw new Error("this agent hosts an app already");
    realm[mark] = true;
    this.ready = hostPort().then((port) => {
      if (this.#isDisposed) port.close();
      else this.#link = new Link(app, port);
    });
  }

  publish(changes: readonly Change[]): void {
    this.#link?.change(changes);
  }

  /** Leaves the host: the app's modules are gone from it. */
  dispose(): void {
    this.#isDisposed = true;
    this.#link?.close();
    this.#link = undefined;
  }
}

/** An app at its host. */
class Link {
  readonly #app: App;
  readonly #port: HostPort;
  readonly #names: readonly string[];
  #wantsStates = false;

  constructor(app: App, port: HostPort) {
    this.#app = app;
    this.#port = port;
    app.commit();
    const declarations = app.declarations();
    this.#names = declarations.map(({ name }) => name);
    port.onmessage = ({ data }) => this.#take(data as FromHost);
    port.postMessage({
      Modules: declarations.map(({ name, actions, methods }) => [name, actions, methods, app.text(name)]),
    });
  }

  change(changes: readonly Change[]): void {
    const state = (module: string): string | null => (this.#wantsStates ? this.#app.text(module) : null);
    try {
      this.#port.postMessage({ Change: changes.map(({ module, patches }) => [module, patches, state(module)]) });
    } catch (error) {
      // A change that is missing is never noticed: better no app than a wrong mirror.
      this.#port.postMessage({ Lost: `a change could not be told: ${describe(error)[1]}` });
    }
  }

  close(): void {
    this.#port.close();
  }

  #take(message: FromHost): void {
    if (message === "States") {
      this.#port.postMessage({ States: this.#names.map((name) => [name, this.#app.text(name)]) });
    } else if ("Call" in message) {
      this.#call(...message.Call);
    } else {
      this.#wantsStates = message.WantStates;
    }
  }

  #call(number: number, module: string, method: string, args: string): void {
    const failed = (error: unknown): void => this.#port.postMessage({ Error: [number, ...describe(error)] });
    const done = (value: unknown): void => {
      // What was written until now shows before the result.
      this.#app.commit();
      try {
        this.#port.postMessage({ Value: [number, textOf(value)] });
      } catch (error) {
        failed(error);
      }
    };
    let outcome: unknown;
    try {
      outcome = this.#app.call(module, method, JSON.parse(args) as unknown[]);
    } catch (error) {
      failed(error);
      return;
    }
    if (typeof (outcome as PromiseLike<unknown> | null | undefined)?.then !== "function") {
      done(outcome);
      return;
    }
    Promise.resolve(outcome).then(done, (error: unknown) => {
      this.#app.commit();
      failed(error);
    });
  }
}
