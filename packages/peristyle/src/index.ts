/**
 * Peristyle: worlds, schedulers and workers; apps and those who follow them.
 *
 * What pages need that only follow is in `peristyle/client` alone, which is small and has no WebAssembly.
 */
export * from "./world/index.js";
export * from "./schedule/index.js";
export * from "./errors.js";
export * from "./snapshot/index.js";
export { createPortablePool, type PortablePool, type PortablePoolOptions } from "./workers/index.js";
export type { JobInput, Lanes, LanesOptions, Snap, SnapComponent, Way } from "./workers/index.js";
export * from "./struct/index.js";
export * from "./mailbox/index.js";
export * from "./timeline/index.js";
export { coreInfo, loadCore, type CoreBuild, type CoreInfo, type CoreOptions } from "./core/index.js";
export * from "./app/index.js";
export {
  connect,
  createBroadcastWorkerTransport,
  createMemoryBroadcastChannel,
  createMemoryWorkerTransportPair,
  createPostMessageWorkerTransport,
  createWebSocketWorkerTransport,
  createWorkerClient,
  ViewWorld,
  type WorkerClient,
  type WorkerTransport,
} from "./client/index.js";
export {
  createDataTransportWorkerTransport,
  type DataTransportLike,
} from "./client/transports/data-transport.js";
export { compileStruct, S, type Infer, type StructField, type StructLayout } from "./struct/index.js";
export { createMailbox, MailboxError, openMailbox, type Mailbox, type MailboxOptions } from "./mailbox/index.js";
