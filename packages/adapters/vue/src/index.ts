/**
 * Peristyle in Vue: what a host's app says, and what a world shows, as composables.
 *
 * # Rules
 * - Selectors are computed: they may use reactive values, and a component is drawn again when the value that it asked for
 *   is another.
 * - Nothing is subscribed to before a component is mounted or after it is unmounted, so nothing on a server; outside of
 *   components, the effect scope ends it.
 * - What is provided is owned by whoever made it.
 */
import {
  computed,
  getCurrentInstance,
  inject,
  onMounted,
  onScopeDispose,
  provide,
  shallowRef,
  toValue,
  watch,
  type App,
  type ComputedRef,
  type InjectionKey,
  type MaybeRefOrGetter,
  type Plugin,
  type ShallowRef,
} from "vue";
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

const CLIENT: InjectionKey<WorkerClient<never>> = Symbol("peristyle client");
const WORLD: InjectionKey<WorldSource> = Symbol("peristyle world");

/** Gives the components below this one a client. */
export function provideWorkerClient<S extends object>(client: WorkerClient<S>): void {
  provide(CLIENT, client as unknown as WorkerClient<never>);
}

/** Gives the components below this one a world to query: a connection, for instance. */
export function provideWorld(world: WorldSource): void {
  provide(WORLD, world);
}

/** A plugin that gives an app a client. */
export function workerClientPlugin<S extends object>(client: WorkerClient<S>): Plugin {
  return { install: (app: App) => void app.provide(CLIENT, client as unknown as WorkerClient<never>) };
}

/** A plugin that gives an app a world to query. */
export function worldPlugin(world: WorldSource): Plugin {
  return { install: (app: App) => void app.provide(WORLD, world) };
}

/**
 * The client. `S` is the shape of its host's state.
 * @throws {Error} where none is provided.
 */
export function useWorkerClient<S extends object = Record<string, unknown>>(): WorkerClient<S> {
  const client = inject(CLIENT, undefined);
  if (client === undefined) throw new Error("useWorkerClient: no client is provided: use workerClientPlugin(client)");
  return client as unknown as WorkerClient<S>;
}

/** A module of the host: every method is asynchronous. */
export function useWorkerModule<T extends object>(name: string): RemoteModule<T> {
  return useWorkerClient().module<T>(name);
}

/** Subscribes as long as the component is mounted, or the scope lasts. */
function subscribed(subscribe: () => Unsubscribe): void {
  let stop: Unsubscribe | undefined;
  const start = (): void => {
    stop = subscribe();
  };
  if (getCurrentInstance()) onMounted(start);
  else start();
  onScopeDispose(() => stop?.(), true);
}

/** A ref of what `get` gives, which `subscribe` tells the changes of. */
function followed<T>(get: () => T, subscribe: (changed: () => void) => Unsubscribe): ShallowRef<T> {
  const value = shallowRef(get());
  const look = (): void => {
    value.value = get();
  };
  subscribed(() => {
    const stop = subscribe(look);
    // It may be another since the component was set up.
    look();
    return stop;
  });
  return value;
}

/**
 * What `selector` makes of the host's state; `undefined` before there is any. Values that `equals` (`Object.is` unless
 * told) calls the same are the same object.
 */
export function useWorkerSelector<S extends object = Record<string, unknown>, T = unknown>(
  selector: (state: S) => T,
  equals?: Equals<T>,
): ComputedRef<T | undefined> {
  const client = useWorkerClient<S>();
  const state = followed(
    () => client.getState(),
    (changed) => client.subscribe(changed),
  );
  const keep = keeper(equals);
  return computed(() => (state.value === undefined ? undefined : keep(selector(state.value))));
}

/** Where the client stands: loading, ready, offline, failed or closed. */
export function useWorkerStatus(): Readonly<ShallowRef<WorkerStatus>> {
  const client = useWorkerClient();
  return followed(
    () => client.status,
    (changed) => client.onStatus(changed),
  );
}

/**
 * The entities that a query finds, each with the values of the components in `all`; `undefined` while there is no world.
 * Rows that did not change are the same objects. The query may be a ref or a getter.
 *
 * @throws {Error} where no world is provided. Reading throws a `TypeError` if the world does not show a component of `all`.
 */
export function useQuery<const All extends readonly ComponentType[]>(
  query: MaybeRefOrGetter<EntityQuery<All>>,
): ComputedRef<readonly QueryRow<All>[] | undefined> {
  const world = inject(WORLD, undefined);
  if (world === undefined) throw new Error("useQuery: no world is provided: use worldPlugin(world)");
  const keep = keeper<EntityQuery<All>>(isSameQuery);
  const asked = computed(() => keep(toValue(query)));
  const observed = computed(() => observeQuery<All>(world, asked.value));
  const changes = shallowRef(0);
  subscribed(() =>
    watch(observed, (now, _, onCleanup) => onCleanup(now.subscribe(() => changes.value++)), { immediate: true }),
  );
  return computed(() => (void changes.value, observed.value.get()));
}
