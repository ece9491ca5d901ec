/**
 * Peristyle in Angular: what a host's app says, and what a world shows, as signals.
 *
 * Everything is a function for an injection context, named as Angular names them: `injectWorkerModule` is what other
 * adapters call `useWorkerModule`. There is nothing to compile: no decorator, no zone.
 *
 * # Rules
 * - Selectors are computed: they may use signals, and what shows a value is updated when that value is another.
 * - Subscriptions end with what they were injected into.
 * - What is provided is owned by whoever made it.
 */
import {
  computed,
  DestroyRef,
  effect,
  inject,
  InjectionToken,
  signal,
  type Provider,
  type Signal,
} from "@angular/core";
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

/** Under what a client is provided. */
export const WORKER_CLIENT: InjectionToken<WorkerClient<never>> = new InjectionToken("peristyle client");

/** Under what a world is provided. */
export const WORLD: InjectionToken<WorldSource> = new InjectionToken("peristyle world");

/** Provides a client. */
export function provideWorkerClient<S extends object>(client: WorkerClient<S>): Provider {
  return { provide: WORKER_CLIENT, useValue: client };
}

/** Provides a world to query: a connection, for instance. */
export function provideWorld(world: WorldSource): Provider {
  return { provide: WORLD, useValue: world };
}

/**
 * The client. `S` is the shape of its host's state.
 * @throws {Error} where none is provided.
 */
export function injectWorkerClient<S extends object = Record<string, unknown>>(): WorkerClient<S> {
  const client = inject(WORKER_CLIENT, { optional: true });
  if (client === null) throw new Error("injectWorkerClient: no client is provided: use provideWorkerClient(client)");
  return client as unknown as WorkerClient<S>;
}

/** A module of the host: every method is asynchronous. */
export function injectWorkerModule<T extends object>(name: string): RemoteModule<T> {
  return injectWorkerClient().module<T>(name);
}

/** A signal of what `get` gives, which `subscribe` tells the changes of. */
function followed<T>(get: () => T, subscribe: (changed: () => void) => Unsubscribe): Signal<T> {
  const value = signal(get());
  inject(DestroyRef).onDestroy(subscribe(() => value.set(get())));
  return value.asReadonly();
}

/**
 * What `selector` makes of the host's state; `undefined` before there is any. Values that `equals` (`Object.is` unless
 * told) calls the same are the same object.
 */
export function injectWorkerSelector<S extends object = Record<string, unknown>, T = unknown>(
  selector: (state: S) => T,
  equals?: Equals<T>,
): Signal<T | undefined> {
  const client = injectWorkerClient<S>();
  const state = followed(
    () => client.getState(),
    (changed) => client.subscribe(changed),
  );
  const keep = keeper(equals);
  return computed(() => {
    const now = state();
    return now === undefined ? undefined : keep(selector(now));
  });
}

/** Where the client stands: loading, ready, offline, failed or closed. */
export function injectWorkerStatus(): Signal<WorkerStatus> {
  const client = injectWorkerClient();
  return followed(
    () => client.status,
    (changed) => client.onStatus(changed),
  );
}

/**
 * The entities that a query finds, each with the values of the components in `all`; `undefined` while there is no world.
 * Rows that did not change are the same objects. The query may be a signal.
 *
 * @throws {Error} where no world is provided. Reading throws a `TypeError` if the world does not show a component of `all`.
 */
export function injectQuery<const All extends readonly ComponentType[]>(
  query: EntityQuery<All> | (() => EntityQuery<All>),
): Signal<readonly QueryRow<All>[] | undefined> {
  const world = inject(WORLD, { optional: true });
  if (world === null) throw new Error("injectQuery: no world is provided: use provideWorld(world)");
  const keep = keeper<EntityQuery<All>>(isSameQuery);
  const asked = computed(() => keep(typeof query === "function" ? query() : query));
  const observed = computed(() => observeQuery<All>(world, asked()));
  const changes = signal(0);
  effect((onCleanup) => onCleanup(observed().subscribe(() => changes.update((count) => count + 1))));
  return computed(() => (changes(), observed().get()));
}
