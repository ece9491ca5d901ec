/**
 * Peristyle in Svelte 5: what a host's app says, and what a world shows.
 *
 * Values have a `current`, which runes and templates follow, and are stores as well: `$value` shows the same.
 *
 * # Rules
 * - Selectors may use runes. What shows a value is updated when that value is another.
 * - Nothing is subscribed to but while something shows it; nothing on a server.
 * - What is set is owned by whoever made it.
 */
import { getContext, setContext } from "svelte";
import { createSubscriber } from "svelte/reactivity";
import type { ComponentType, RemoteModule, Unsubscribe, WorkerClient, WorkerStatus } from "peristyle/client";
import {
  keeper,
  observeQuery,
  type EntityQuery,
  type Equals,
  type QueryRow,
  type WorldSource,
} from "peristyle/observe";

const CLIENT = Symbol("peristyle client");
const WORLD = Symbol("peristyle world");

/** A value that changes: `current` in runes and templates, or a store. */
export interface Shown<T> {
  /** The value. */
  readonly current: T;
  /** Tells `run` the value now, and whenever it is another. */
  subscribe(run: (value: T) => void): Unsubscribe;
}

/** What `get` gives, which is told to be another only when it is. */
function shown<T>(get: () => T, subscribe: (changed: () => void) => Unsubscribe): Shown<T> {
  let last: T | undefined;
  const read = (): T => (last = get());
  const follow = (changed: () => void): Unsubscribe =>
    subscribe(() => {
      const before = last;
      try {
        if (Object.is(read(), before)) return;
      } catch {
        // Whoever reads it is thrown it.
      }
      changed();
    });
  const track = createSubscriber(follow);
  return {
    get current() {
      track();
      return read();
    },
    subscribe(run) {
      run(read());
      return follow(() => run(read()));
    },
  };
}

/** Gives this component and those below a client. */
export function setWorkerClient<S extends object>(client: WorkerClient<S>): void {
  setContext(CLIENT, client);
}

/** Gives this component and those below a world to query: a connection, for instance. */
export function setWorld(world: WorldSource): void {
  setContext(WORLD, world);
}

/**
 * The client. `S` is the shape of its host's state.
 * @throws {Error} where none is set.
 */
export function useWorkerClient<S extends object = Record<string, unknown>>(): WorkerClient<S> {
  const client = getContext<WorkerClient<S> | undefined>(CLIENT);
  if (client === undefined) throw new Error("useWorkerClient: call setWorkerClient(client) in a component above");
  return client;
}

/** A module of the host: every method is asynchronous. */
export function useWorkerModule<T extends object>(name: string): RemoteModule<T> {
  return useWorkerClient().module<T>(name);
}

/**
 * What `selector` makes of the host's state; `undefined` before there is any. Values that `equals` (`Object.is` unless
 * told) calls the same are the same object.
 */
export function useWorkerSelector<S extends object = Record<string, unknown>, T = unknown>(
  selector: (state: S) => T,
  equals?: Equals<T>,
): Shown<T | undefined> {
  const client = useWorkerClient<S>();
  const keep = keeper(equals);
  const get = (): T | undefined => {
    const state = client.getState();
    return state === undefined ? undefined : keep(selector(state));
  };
  return shown(get, (changed) => client.subscribe(changed));
}

/** Where the client stands: loading, ready, offline, failed or closed. */
export function useWorkerStatus(): Shown<WorkerStatus> {
  const client = useWorkerClient();
  return shown(
    () => client.status,
    (changed) => client.onStatus(changed),
  );
}

/**
 * The entities that a query finds, each with the values of the components in `all`; `undefined` while there is no world.
 * Rows that did not change are the same objects.
 *
 * @throws {Error} where no world is set. Reading throws a `TypeError` if the world does not show a component of `all`.
 */
export function useQuery<const All extends readonly ComponentType[]>(
  query: EntityQuery<All>,
): Shown<readonly QueryRow<All>[] | undefined> {
  const world = getContext<WorldSource | undefined>(WORLD);
  if (world === undefined) throw new Error("useQuery: call setWorld(world) in a component above");
  const { get, subscribe } = observeQuery<All>(world, query);
  return shown(get, subscribe);
}
