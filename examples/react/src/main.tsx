import { createRoot } from "react-dom/client";
import { createPostMessageWorkerTransport, createWorkerClient } from "peristyle/client";
import { WorkerClientProvider, WorldProvider } from "peristyle-react";
import { App } from "./App";
import type { AppState } from "./modules";
import { seen, start } from "./world";

const worker = new Worker(new URL("./app.worker.ts", import.meta.url), { type: "module" });
const client = createWorkerClient<AppState>({ transport: createPostMessageWorkerTransport(worker) });

createRoot(document.getElementById("root") as HTMLElement).render(
  <WorkerClientProvider client={client}>
    <WorldProvider world={seen}>
      <App />
    </WorldProvider>
  </WorkerClientProvider>,
);
start();
