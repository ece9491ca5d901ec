/**
 * Peristyle in Solid: what a host's app says, and what a world shows, as signals.
 *
 * # Rules
 * - Selectors are memos: they may use signals, and what shows a value is updated when that value is another.
 * - Subscriptions end with their owner; there are none on a server.
 * - Providers own nothing: whoever made a client disposes it.
 */
import {
  createComponent,
  createContext,
  createEffect,
  createMemo,
  createSignal,
  onCleanup,
  useContext,
  type Accessor,
  type Context,
  type JSX,
} from "solid-js";
import { isServer } from "solid-js/web";
import type { ComponentType, RemoteModule, Unsubscribe, WorkerClient, WorkerStatus } from "peristyle/client";
import {
  isSameQuery,
  keeper,
  observeQuery,
  type EntityQuery,
  type Equals,
  type QueryRow,
  type WorldSource,
} from "peristyle/observe";

/** The client of the components below. */
export const WorkerClientContext: Context<WorkerClient<never> | undefined> = createContext<WorkerClient<never>>();

/** The world of the components below. */
export const WorldContext: Context<WorldSource | undefined> = createContext<WorldSource>();

/** Gives the components below a client. */
export function WorkerClientProvider<S extends object>(props: {
  readonly client: WorkerClient<S>;
  readonly children?: JSX.Element;
}): JSX.Element {
  return createComponent(WorkerClientContext.Provider, {
    value: props.client as unknown as WorkerClient<never>,
    get children() {
      return props.children;
    },
  });
}

/** Gives the components below a world to query: a connection, for instance. */
export function WorldProvider(props: { readonly world: WorldSource; readonly children?: JSX.Element }): JSX.Element {
  return createComponent(WorldContext.Provider, {
    value: props.world,
    get children() {
      return props.children;
    },
  });
}

/**
 * The client. `S` is the shape of its host's state.
 * @throws {Error} outside of a {@link WorkerClientProvider}.
 */
export function useWorkerClient<S extends object = Record<string, unknown>>(): WorkerClient<S> {
  const client = useContext(WorkerClientContext);
  if (client === undefined) throw new Error("useWorkerClient: there is no WorkerClientProvider above this component");
  return client as unknown as WorkerClient<S>;
}

/** A module of the host: every method is asynchronous. */
export function useWorkerModule<T extends object>(name: string): RemoteModule<T> {
  return useWorkerClient().module<T>(name);
}

/** A signal of what `get` gives, which `subscribe` tells the changes of. */
function followed<T>(get: () => T, subscribe: (changed: () => void) => Unsubscribe): Accessor<T> {
  const [value, setValue] = createSignal(get());
  if (!isServer) onCleanup(subscribe(() => setValue(get)));
  return value;
}

/**
 * What `selector` makes of the host's state; `undefined` before there is any. Values that `equals` (`Object.is` unless
 * told) calls the same are the same object.
 */
export function useWorkerSelector<S extends object = Record<string, unknown>, T = unknown>(
  selector: (state: S) => T,
  equals?: Equals<T>,
): Accessor<T | undefined> {
  const client = useWorkerClient<S>();
  const state = followed(
    () => client.getState(),
    (changed) => client.subscribe(changed),
  );
  const keep = keeper(equals);
  return createMemo(() => {
    const now = state();
    return now === undefined ? undefined : keep(selector(now));
  });
}

/** Where the client stands: loading, ready, offline, failed or closed. */
export function useWorkerStatus(): Accessor<WorkerStatus> {
  const client = useWorkerClient();
  return followed(
    () => client.status,
    (changed) => client.onStatus(changed),
  );
}

/**
 * The entities that a query finds, each with the values of the components in `all`; `undefined` while there is no world.
 * Rows that did not change are the same objects: `<For>` keeps what it drew of them. The query may be an accessor.
 *
 * @throws {Error} outside of a {@link WorldProvider}. Reading throws a `TypeError` if the world does not show a component of
 * `all`.
 */
export function useQuery<const All extends readonly ComponentType[]>(
  query: EntityQuery<All> | Accessor<EntityQuery<All>>,
): Accessor<readonly QueryRow<All>[] | undefined> {
  const world = useContext(WorldContext);
  if (world === undefined) throw new Error("useQuery: there is no WorldProvider above this component");
  const keep = keeper<EntityQuery<All>>(isSameQuery);
  const asked = createMemo(() => keep(typeof query === "function" ? query() : query));
  const observed = createMemo(() => observeQuery<All>(world, asked()));
  const [changes, setChanges] = createSignal(0);
  createEffect(() => onCleanup(observed().subscribe(() => setChanges((count) => count + 1))));
  return createMemo(() => (changes(), observed().get()));
}
