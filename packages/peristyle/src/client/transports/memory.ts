/** Two ends in one process. */
import { Listeners, type Unsubscribe, type WorkerTransport } from "./transport.js";

/** The two ends of a way within a process: by name, or as a list of two, host first. */
export interface MemoryWorkerTransportPair extends Iterable<WorkerTransport> {
  readonly client: WorkerTransport;
  readonly host: WorkerTransport;
}

/**
 * Two ends that hear each other at once. Each listener gets a copy of its own, so that nobody writes in another's
 * message; one that throws harms nobody.
 */
export function createMemoryWorkerTransportPair(): MemoryWorkerTransportPair {
  const toHost = new Listeners<[unknown]>();
  const toClient = new Listeners<[unknown]>();
  const end = (incoming: Listeners<[unknown]>, outgoing: Listeners<[unknown]>): WorkerTransport => ({
    post(message) {
      // What cannot be cloned is the sender's mistake, whoever listens.
      const copy: unknown = structuredClone(message);
      outgoing.emit(copy);
    },
    subscribe: (listener): Unsubscribe => incoming.add((message) => listener(structuredClone(message))),
  });
  const client = end(toClient, toHost);
  const host = end(toHost, toClient);
  return { client, host, [Symbol.iterator]: () => [host, client].values() };
}
