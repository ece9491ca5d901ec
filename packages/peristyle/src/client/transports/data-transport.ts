/** A bridge to objects that emit and listen by name, as those of `data-transport` do. */
import { isMessage, type InvalidMessageError } from "../mirror/message.js";
import {
  Listeners,
  reportInvalid,
  safely,
  type TransportObservers,
  type Unsubscribe,
  type WorkerTransport,
} from "./transport.js";

/** What emits and listens by name. */
export interface DataTransportLike {
  emit(options: { name: string; respond: false }, message: unknown): unknown;
  listen(name: string, listener: (message: unknown) => unknown): Unsubscribe;
}

const NAMES = ["call", "result", "state", "sync", "ready"] as const;

/** Sends each type of message under its own name; listens from the first subscription to the last. */
export function createDataTransportWorkerTransport(
  bridge: DataTransportLike,
  { onError, onInvalidMessage }: TransportObservers = {},
): WorkerTransport {
  const listeners = new Listeners<[unknown]>();
  const invalids = new Listeners<[InvalidMessageError]>();
  let leave: Unsubscribe[] = [];
  const hear = (name: string, message: unknown): void => {
    if (isMessage(message) && message.type === name) listeners.emit(message);
    else reportInvalid(message, onInvalidMessage, (error) => invalids.emit(error));
  };
  return {
    post(message) {
      try {
        const name = (message as { type: string }).type;
        const sent = bridge.emit({ name, respond: false }, message);
        if (sent instanceof Promise) sent.catch((error: unknown) => safely(onError, error, message));
      } catch (error) {
        safely(onError, error, message);
      }
    },
    subscribe(listener, invalid) {
      if (listeners.size === 0) leave = NAMES.map((name) => bridge.listen(name, (message) => hear(name, message)));
      const unsubscribe = listeners.add(listener);
      const forget = invalid && invalids.add(invalid);
      return () => {
        const before = listeners.size;
        unsubscribe();
        forget?.();
        if (before > 0 && listeners.size === 0) for (const stop of leave) stop();
      };
    },
  };
}
