// The reference app of the mirror protocol, hosted in an agent.
import { createWorkerApp } from "peristyle";
import { Counter, expose, providers } from "./modules.ts";

const { app } = createWorkerApp({ providers, expose });

// The app itself changes its state, too.
export function add(): void {
  app.get(Counter).increase(1);
}
