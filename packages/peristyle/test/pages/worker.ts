/** Hosts an app in a worker: over the worker itself, or over a port that it is sent. */
import { createWorkerApp, type WorkerApp } from "../../src/app/index.js";
import { createPostMessageWorkerTransport, type MessageSource, type MessageTarget } from "../../src/client/index.js";
import { providers } from "./modules.js";

function host(endpoint: Partial<MessageSource & MessageTarget>): WorkerApp {
  const invalid: string[] = [];
  const transport = createPostMessageWorkerTransport(endpoint);
  const app = createWorkerApp({
    providers,
    transport,
    sync: "patch",
    expose: { counter: ["peek"] },
    onInvalidMessage: (_, error) => invalid.push(error.code),
  });
  // Asked over a port of its own, as the app's end takes no other messages.
  const asked = new BroadcastChannel("invalid");
  asked.onmessage = ({ data }) => {
    if (data === "ask") asked.postMessage({ count: app.invalidCount, invalid });
  };
  return app;
}

const how = new URLSearchParams(location.search).get("over");
if (how === "port") addEventListener("message", ({ ports: [port] }) => void (port && host(port)));
else host(globalThis);
