/** Hosts an app in an iframe, for the page that it is in. */
import { createWorkerApp } from "../../src/app/index.js";
import { createPostMessageWorkerTransport } from "../../src/client/index.js";
import { providers } from "./modules.js";

const parentOrigin = new URLSearchParams(location.search).get("parent") ?? "";
const transport = createPostMessageWorkerTransport(parent, {
  source: window,
  targetOrigin: parentOrigin,
  allowedOrigins: [parentOrigin],
  expectedSource: parent,
});
const app = createWorkerApp({ providers, transport, sync: "patch" });
Object.assign(globalThis, { app });
