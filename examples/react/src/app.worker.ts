/** Hosts the app for the page that made this worker. */
import { createWorkerApp } from "peristyle/app";
import { createPostMessageWorkerTransport } from "peristyle/client";
import { Counter, Table } from "./modules";

createWorkerApp({ providers: [Counter, Table], transport: createPostMessageWorkerTransport(self), sync: "patch" });
