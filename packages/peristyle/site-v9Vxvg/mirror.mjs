// main.mjs
import { createMemoryWorkerTransportPair, createWorkerApp, createWorkerClient, defineModule } from "peristyle";

class Counter {
  count = 0;
  increase(step = 1) {
    return (this.count += step);
  }
}

// In a page these are the two ends of a worker: createPostMessageWorkerTransport on either side.
const [ours, theirs] = Object.values(createMemoryWorkerTransportPair());
const counter = defineModule(Counter, { name: "counter", state: ["count"], actions: ["increase"] });
const { app, ready, dispose } = createWorkerApp({ providers: [counter], transport: ours, sync: "patch" });
const client = createWorkerClient({ transport: theirs });
await client.ready;

client.watch((state) => state.counter.count, (count) => console.log("count is", count));
console.log("answered", await client.call("counter", "increase", 2));
client.dispose();
dispose();
