/** Messages by `postMessage`: to a worker, a port, an iframe. */
import { isMessage } from "../mirror/message.js";
import { safely, type TransportObservers, type WorkerTransport } from "./transport.js";

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
  postMessage(message: unknown, targetOrigin?: string): void;
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
    subscribe(listener) {
      const hear = (event: MessageEventLike): void => {
        if (isForeign(event)) return;
        if (isMessage(event.data)) listener(event.data);
        else safely(onInvalidMessage, event.data);
      };
      source.addEventListener("message", hear);
      source.start?.();
      return () => source.removeEventListener("message", hear);
    },
  };
}
