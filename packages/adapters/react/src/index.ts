/**
 * Peristyle in React: what a host's app says, and what a world shows, as hooks.
 *
 * # Rules
 * - Hooks read by `useSyncExternalStore`: no tearing, and nothing is subscribed to before a component is mounted or after
 *   it is unmounted. On a server they read once.
 * - A component is drawn again when the value that it asked for is another, whatever else changed.
 * - Providers own nothing: whoever made a client disposes it.
 */
import {
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
  type Context,
  type ReactElement,
  type ReactNode,
} from "react";
import type { ComponentType, RemoteModule, WorkerClient, WorkerStatus } from "peristyle/client";
import {
  isSameQuery,
  observeQuery,
  type EntityQuery,
  type Equals,
  type QueryRow,
  type WorldSource,
} from "peristyle/observe";

/** The client of the components below. */
export const WorkerClientContext: Context<WorkerClient<never> | null> = createContext<WorkerClient<never> | null>(null);

/** The world of the components below. */
export const WorldContext: Context<WorldSource | null> = createContext<WorldSource | null>(null);

/** What {@link WorkerClientProvider} is given. */
export interface WorkerClientProviderProps<S extends object> {
  readonly client: WorkerClient<S>;
  readonly children?: ReactNode;
}

/** Gives the components below a client. */
export function WorkerClientProvider<S extends object>(props: WorkerClientProviderProps<S>): ReactElement {
  const client = props.client as unknown as WorkerClient<never>;
  return createElement(WorkerClientContext.Provider, { value: client }, props.children);
}

/** What {@link WorldProvider} is given. */
export interface WorldProviderProps {
  /** A connection, for instance. */
  readonly world: WorldSource;
  readonly children?: ReactNode;
}

/** Gives the components below a world to query. */
export function WorldProvider({ world, children }: WorldProviderProps): ReactElement {
  return createElement(WorldContext.Provider, { value: world }, children);
}

/**
 * The client. `S` is the shape of its host's state.
 * @throws {Error} outside of a {@link WorkerClientProvider}.
 */
export function useWorkerClient<S extends object = Record<string, unknown>>(): WorkerClient<S> {
  const client = useContext(WorkerClientContext);
  if (client === null) throw new Error("useWorkerClient: there is no WorkerClientProvider above this component");
  return client as unknown as WorkerClient<S>;
}

/** A module of the host: every method is asynchronous. The same object in every render. */
export function useWorkerModule<T extends object>(name: string): RemoteModule<T> {
  return useWorkerClient().module<T>(name);
}

/** A value of the state, and of which state it is. */
interface Seen<S, T> {
  readonly state: S;
  readonly value: T;
}

/**
 * What `selector` makes of the host's state; `undefined` before there is any. Values that `equals` (`Object.is` unless
 * told) calls the same are the same object.
 */
export function useWorkerSelector<S extends object = Record<string, unknown>, T = unknown>(
  selector: (state: S) => T,
  equals: Equals<T> = Object.is,
): T | undefined {
  const client = useWorkerClient<S>();
  const shown = useRef<Seen<S, T> | undefined>(undefined);
  const look = useMemo(() => {
    let seen: Seen<S, T> | undefined;
    return (): Seen<S, T> | undefined => {
      const state = client.getState();
      if (state === undefined || state === seen?.state) return seen;
      const value = selector(state);
      const before = seen ?? shown.current;
      seen = { state, value: before !== undefined && equals(value, before.value) ? before.value : value };
      return seen;
    };
  }, [client, selector, equals]);
  const subscribe = useCallback((changed: () => void) => client.subscribe(changed), [client]);
  const get = (): T | undefined => look()?.value;
  const value = useSyncExternalStore(subscribe, get, get);
  // What is on the screen is what the next selector's value is compared with.
  useEffect(() => {
    shown.current = look();
  });
  return value;
}

/** Where the client stands: loading, ready, offline, failed or closed. */
export function useWorkerStatus(): WorkerStatus {
  const client = useWorkerClient();
  const subscribe = useCallback((changed: () => void) => client.onStatus(changed), [client]);
  const get = (): WorkerStatus => client.status;
  return useSyncExternalStore(subscribe, get, get);
}

/**
 * The entities that a query finds, each with the values of the components in `all`; `undefined` while there is no world.
 * Rows that did not change are the same objects.
 *
 * @throws {Error} outside of a {@link WorldProvider}; `TypeError` if the world does not show a component of `all`.
 */
export function useQuery<const All extends readonly ComponentType[]>(
  query: EntityQuery<All>,
): readonly QueryRow<All>[] | undefined {
  const world = useContext(WorldContext);
  if (world === null) throw new Error("useQuery: there is no WorldProvider above this component");
  const held = useRef(query);
  // A query that is written in place is another object in every render.
  const asked = isSameQuery(held.current, query) ? held.current : query;
  useEffect(() => {
    held.current = asked;
  });
  const { get, subscribe } = useMemo(() => observeQuery<All>(world, asked), [world, asked]);
  return useSyncExternalStore(subscribe, get, get);
}
