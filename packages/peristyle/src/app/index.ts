/** Apps that clients follow: modules, and what serves them. */
import { AgentHosting } from "./agent.js";
import { ProtocolHosting, type PublishOptions } from "./host.js";
import { App, AppError, type Expose, type Hosting, type Provider } from "./modules.js";

export {
  AppError,
  defineModule,
  type App,
  type AppErrorCode,
  type Expose,
  type ModuleOptions,
  type Provider,
} from "./modules.js";
export { Action, Module, State } from "./decorators.js";
export type { PublishOptions } from "./host.js";

/** How an app is hosted. */
export interface WorkerAppOptions extends Partial<PublishOptions> {
  /** Its modules. */
  readonly providers: readonly Provider[];
  /** Methods that clients may call beside actions, by module. */
  readonly expose?: Expose;
}

/** An app that is hosted. */
export interface WorkerApp {
  readonly app: Pick<App, "get">;
  /** Resolves when clients were told of it. */
  readonly ready: Promise<void>;
  /** How much arrived that was no valid message, and was dropped. */
  readonly invalidCount: number;
  /** Ends it: nothing is published any more. */
  dispose(): void;
}

/**
 * Hosts an app over a transport. Without one it is hosted by the native runtime, of which this is an agent: that is where
 * is said how it is published.
 */
export function createWorkerApp(options: WorkerAppOptions): WorkerApp {
  const { providers, expose = {}, transport } = options;
  let hosting: Hosting | undefined;
  const app = new App(providers, expose, (changes) => hosting?.publish(changes));
  if (transport) {
    hosting = new ProtocolHosting(app, { ...options, transport });
  } else {
    const theirs = (["sync", "stateSections", "onInvalidMessage"] as const).find((name) => options[name] !== undefined);
    if (theirs) {
      throw new AppError("app-options", `createWorkerApp: without a transport, \`${theirs}\` is the host's to say`);
    }
    hosting = new AgentHosting(app);
  }
  const { ready } = hosting;
  return {
    app,
    ready,
    get invalidCount() {
      return hosting.invalidCount;
    },
    dispose: () => hosting.dispose(),
  };
}
