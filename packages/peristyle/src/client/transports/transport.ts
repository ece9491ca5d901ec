/**
 * What carries messages between a host and its clients.
 *
 * A transport is message-oriented and may lose, repeat or reorder messages: the protocol notices. It does not look into
 * what it hands over: whoever subscribes judges whether a message is valid.
 */

import { InvalidMessageError, type InvalidMessageObserver } from "../mirror/message.js";

/** Undoes a subscription. */
export type Unsubscribe = () => void;

/** One end of a way on which messages travel. */
export interface WorkerTransport {
  /** Sends a message. May throw if it cannot be sent. */
  post(message: unknown): void;
  /**
   * Hands every arriving message to a listener, until told to stop. A transport that sorts out what is no message tells
   * `invalid` of it.
   */
  subscribe(listener: (message: unknown) => void, invalid?: (error: InvalidMessageError) => void): Unsubscribe;
  /**
   * Tells a listener when the way breaks and when there is a new one. Only transports that reconnect have this:
   * messages of before the break will not be answered.
   */
  onConnection?(listener: (connected: boolean) => void): Unsubscribe;
  /** Tells a listener that the far end broke down, for transports that can know: a worker whose script does not load. */
  onFailure?(listener: (error: Error) => void): Unsubscribe;
}

/** What several transports are told. */
export interface TransportObservers {
  /** Is told of messages that could not be sent. */
  readonly onError?: (error: unknown, message: unknown) => void;
  /** Is told of what arrived and is no message. */
  readonly onInvalidMessage?: InvalidMessageObserver;
}

/** Tells of what arrived and is no message: the transport's observer, and who is subscribed. */
export function reportInvalid(
  message: unknown,
  observer: InvalidMessageObserver | undefined,
  subscriber: ((error: InvalidMessageError) => void) | undefined,
): void {
  const error = new InvalidMessageError(message);
  safely(observer, message, error);
  safely(subscriber, error);
}

/** Listeners of one kind; one that throws harms nobody. */
export class Listeners<T extends unknown[]> {
  #listeners: ((...args: T) => void)[] = [];

  get size(): number {
    return this.#listeners.length;
  }

  add(listener: (...args: T) => void): Unsubscribe {
    // A listener may be added twice, and each is removed on its own.
    const own = (...args: T): void => listener(...args);
    this.#listeners = [...this.#listeners, own];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== own);
    };
  }

  emit(...args: T): void {
    for (const listener of this.#listeners) safely(listener, ...args);
  }

  clear(): void {
    this.#listeners = [];
  }
}

/** Calls an observer; what it throws, also later, is swallowed. */
export function safely<T extends unknown[]>(observer: ((...args: T) => unknown) | undefined, ...args: T): void {
  try {
    const outcome: unknown = observer?.(...args);
    if (outcome instanceof Promise) outcome.catch(() => {});
  } catch {
    // Observers never disturb the protocol, nor each other.
  }
}
