/** The client of Peristyle: for pages and for Node. */
export * from "./mirror/client.js";
export { PatchError, applyPatches } from "./mirror/patch.js";
export { InvalidMessageError } from "./mirror/message.js";
export type * from "./mirror/message.js";
export type { Unsubscribe, WorkerTransport } from "./transports/transport.js";
export { PeristyleError } from "../errors.js";
export { FrameError, type FrameErrorCode } from "./replica/error.js";
export { component, type Columns, type ComponentType, type Fields, type Values } from "./replica/component.js";
export {
  decodeSchema,
  type ColumnTypes,
  type ComponentSchema,
  type FieldSchema,
  type Scalar,
  type Schema,
} from "./replica/schema.js";
export { ViewWorld, type Applied, type Gone, type Removed, type ViewWorldOptions } from "./replica/view-world.js";
export type { Rows } from "./replica/rows.js";
export type { ColumnArray } from "./replica/column.js";
export type { Answer, Interest } from "./replica/request.js";
export { createMemoryWorkerTransportPair, type MemoryWorkerTransportPair } from "./transports/memory.js";
export {
  createPostMessageWorkerTransport,
  type MessageEventLike,
  type MessageSource,
  type MessageTarget,
  type PostMessageWorkerTransportOptions,
} from "./transports/post-message.js";
export {
  createBroadcastWorkerTransport,
  createMemoryBroadcastChannel,
  type BroadcastChannelLike,
  type BroadcastWorkerTransportOptions,
} from "./transports/broadcast.js";
export {
  connect,
  createWebSocketWorkerTransport,
  type ConnectOptions,
  type Connection,
  type ConnectionEvents,
  type Topic,
  type WebSocketWorkerTransport,
} from "./connection/connect.js";
export { ReplicaStream, type ReplicaEvents } from "./connection/replica-stream.js";
export type { ConnectionStatus, SocketOptions, WebSocketConstructor, WebSocketLike } from "./connection/socket.js";
export { Interpolation, TickClock, type FieldName } from "./replica/interpolate.js";
export {
  Prediction,
  TooFarAheadError,
  type Correction,
  type PredictSystem,
  type PredictedComponent,
  type PredictedRows,
} from "./replica/predict.js";
