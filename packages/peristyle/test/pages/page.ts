/** What tests use of the package in a page. */
import * as app from "../../src/app/index.js";
import * as client from "../../src/client/index.js";
import { Counter, providers, type AppState } from "./modules.js";

export const peristyle = { ...app, ...client, Counter, providers };
export type { AppState, Counter };
Object.assign(globalThis, { peristyle });
