/** What `peristyle` is under `peristyle run`: the same as elsewhere, on the runtime's own core; and who imports it is driven. */
import "./host.js";

export * from "../index.js";
import { start } from "./drive.js";

start();
