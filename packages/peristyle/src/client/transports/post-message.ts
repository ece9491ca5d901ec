/** Messages by `postMessage`: to a worker, a port, an iframe. */
import { PeristyleError } from "../../errors.js";
import { isMessage } from "../mirror/message.js";
import { reportInvalid, safely, type TransportObservers, type WorkerTransport } from "./transport.js";

/** What a message event says, as far as it matters here. */
export interface MessageEventLike {
  readonly data: unknown;
  readonly origin?: string;
  readonly source?: unknown;
}

/** Where message events come from. */
export interface MessageSource {
  addEventListener(type: "message", listener: (event: MessageEventLike) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEventLike) => void): void;
  /** Ports need it before they deliver. */
  start?(): void;
}

/** Where messages go to. */
export interface MessageTarget {
  // Of windows it is an origin, of workers and ports something else, which is not used: any, so that all of them fit.
  postMessage(message: unknown, targetOrigin?: any): void;
}

/** How an end of a `postMessage` way behaves. */
export interface PostMessageWorkerTransportOptions extends TransportObservers {
  /** Where events come from; the endpoint unless told. For an iframe: `window`. */
  readonly source?: MessageSource;
  /** Where messages go to; the endpoint unless told. */
  readonly target?: MessageTarget;
  /** The origin that a window must have to be sent messages. Workers and ports take none. */
  readonly targetOrigin?: string;
  /** Events of other origins are dropped; `"*"` allows all. */
  readonly allowedOrigins?: readonly string[];
  /** Events of other sources are dropped. */
  readonly expectedSource?: unknown;
}

/** Whether events come from a worker, whose errors are told where it was made. */
const isWorker = (source: unknown): source is EventTarget =>
  typeof Worker === "function" && source instanceof Worker;

/**
 * Messages by `postMessage`. Events of a foreign source or origin are dropped without a word; what passes and is no
 * message goes to `onInvalidMessage`.
 */
export function createPostMessageWorkerTransport(
  endpoint: Partial<MessageSource & MessageTarget>,
  options: PostMessageWorkerTransportOptions = {},
): WorkerTransport {
  const { targetOrigin, allowedOrigins, expectedSource, onError, onInvalidMessage } = options;
  const source = options.source ?? (endpoint as MessageSource);
  const target = options.target ?? (endpoint as MessageTarget);
  const isForeign = ({ origin, source: from }: MessageEventLike): boolean =>
    (expectedSource !== undefined && from !== expectedSource) ||
    (allowedOrigins !== undefined &&
      !(typeof origin === "string" && (allowedOrigins.includes("*") || allowedOrigins.includes(origin))));
  return {
    post(message) {
      try {
        if (targetOrigin === undefined) target.postMessage(message);
        else target.postMessage(message, targetOrigin);
      } catch (error) {
        safely(onError, error, message);
      }
    },
    subscribe(listener, invalid) {
      const hear = (event: MessageEventLike): void => {
        if (isForeign(event)) return;
        if (isMessage(event.data)) listener(event.data);
        else reportInvalid(event.data, onInvalidMessage, invalid);
      };
      source.addEventListener("message", hear);
      source.start?.();
      return () => source.removeEventListener("message", hear);
    },
    onFailure(listener) {
      if (!isWorker(source)) return () => {};
      const fail = (event: Event): void => {
        const why = (event as ErrorEvent).message ?? "its script did not load";
        listener(new PeristyleError("worker-failed", `the worker broke off: ${why}`));
      };
      source.addEventListener("error", fail);
      return () => source.removeEventListener("error", fail);
    },
  };
}
