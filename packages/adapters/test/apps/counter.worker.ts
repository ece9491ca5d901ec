/** The app that every adapter's page shows. It starts when it is told to: so that pages can be seen before. */
import { createWorkerApp, defineModule } from "peristyle/app";
import { createPostMessageWorkerTransport } from "peristyle/client";

export class Counter {
  count = 0;
  other = 0;
  increase(step = 1): number {
    return (this.count += step);
  }
  touch(): void {
    this.other++;
  }
  fail(): void {
    throw new RangeError("no further");
  }
}
defineModule(Counter, { name: "counter", state: ["count", "other"], actions: ["increase", "touch", "fail"] });

// On a server it is imported for its class alone.
globalThis.addEventListener?.("message", ({ data }) => {
  if (data !== "start") return;
  createWorkerApp({ providers: [Counter], transport: createPostMessageWorkerTransport(globalThis), sync: "patch" });
});
