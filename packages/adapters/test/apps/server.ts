/** What the server-side rendering of all adapters has in common: a page before there is state, and one after. */
import { createWorkerApp } from "peristyle/app";
import { createMemoryWorkerTransportPair, createWorkerClient, type WorkerClient } from "peristyle/client";
import type { WorldSource } from "peristyle/observe";
import { Counter } from "./counter.worker.js";
import { Ships, countedClient, listeners, type State } from "./page.js";

type Render = (client: WorkerClient<State>, world: WorldSource) => Promise<string>;

/** Gives both pages, and how many listen afterwards. */
export function serve(render: Render): () => Promise<{ before: string; after: string; listeners: number }> {
  return async () => {
    const { client: transport, host } = createMemoryWorkerTransportPair();
    const client = createWorkerClient<State>({ transport });
    const ships = new Ships();
    const before = await render(countedClient(client), ships);
    const app = createWorkerApp({ providers: [Counter], transport: host });
    await client.ready;
    await client.module<Counter>("counter").increase(7);
    ships.next();
    const after = await render(countedClient(client), ships);
    client.dispose();
    app.dispose();
    return { before, after, listeners: listeners() };
  };
}
