/** The client of Peristyle: for pages and for Node. */
export * from "./mirror/client.js";
export { PatchError, applyPatches } from "./mirror/patch.js";
export type * from "./mirror/message.js";
export type { Unsubscribe, WorkerTransport } from "./transports/transport.js";
