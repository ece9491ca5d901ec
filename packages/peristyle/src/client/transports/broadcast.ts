/**
 * A channel on which everybody hears everybody: `BroadcastChannel`, or one in memory.
 *
 * Messages travel in an envelope that names the channel, the sender and perhaps a receiver. A host has one transport to
 * all its clients: what answers one of them goes to that one alone, because the host's end remembers who asked, under
 * an id of its own.
 *
 * # Rules
 * - Envelopes that are not for this end are dropped without a word; what is for it and malformed is invalid.
 * - Routes are forgotten when used, and when too many wait, oldest first.
 * - The token keeps apart, it does not keep secrets: everybody on the channel can read it.
 */
import { isMessage, isRecord, type Message } from "../mirror/message.js";
import type { MessageEventLike } from "./post-message.js";
import { Listeners, reportInvalid, safely, type TransportObservers, type WorkerTransport } from "./transport.js";

/** A channel as the web has it. */
export interface BroadcastChannelLike {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: (event: MessageEventLike) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEventLike) => void): void;
}

/** How an end takes part in a channel. */
export interface BroadcastWorkerTransportOptions extends TransportObservers {
  /** The logical channel; several may share one medium. `cosystem:worker`. */
  readonly channel?: string;
  /** This end's name. The default is unique within one context only: peers in several tabs must set their own. */
  readonly peerId?: string;
  /** To whom calls and requests go, if not to all. */
  readonly targetPeerId?: string;
  /** Sent along, and asked of others. */
  readonly authToken?: string;
}

/** Questions whose sender a host remembers. */
const ROUTES_MAX = 8192;

let peers = 0;

const isOptionalString = (value: unknown): boolean => value === undefined || typeof value === "string";

/** Joins a channel. */
export function createBroadcastWorkerTransport(
  medium: BroadcastChannelLike,
  options: BroadcastWorkerTransportOptions = {},
): WorkerTransport {
  const { channel = "cosystem:worker", targetPeerId, authToken, onError, onInvalidMessage } = options;
  const own = options.peerId ?? `peer:${++peers}`;
  /** Who asked, and under which id; by the id that the question has here. */
  const routes = new Map<number, { id: number; source: string }>();
  let lastId = 0;

  /** Gives a question an id of this end's, and remembers whose it is. */
  const localise = (message: Message, source: string): Message => {
    if (message.type !== "call" && message.type !== "sync") return message;
    routes.set(++lastId, { id: message.id, source });
    for (const oldest of routes.keys()) {
      if (routes.size <= ROUTES_MAX) break;
      routes.delete(oldest);
    }
    return { ...message, id: lastId };
  };

  /** Gives an answer the id of whoever asked, and finds out who that was. */
  const route = (message: Message): { message: Message; target: string | undefined } => {
    if (message.type === "call" || message.type === "sync") return { message, target: targetPeerId };
    const id = message.type === "result" ? message.id : message.type === "state" ? message.syncId : undefined;
    const asked = id === undefined ? undefined : routes.get(id);
    if (id === undefined || asked === undefined) return { message, target: undefined };
    routes.delete(id);
    if (message.type === "result") return { message: { ...message, id: asked.id }, target: asked.source };
    const { syncId: _, ...rest } = message as Message & { syncId?: number };
    return { message: rest as Message, target: asked.source };
  };

  return {
    post(posted) {
      try {
        const { message, target } = isMessage(posted) ? route(posted) : { message: posted, target: undefined };
        medium.postMessage({
          type: "cosystem:worker",
          channel,
          source: own,
          ...(target === undefined ? {} : { target }),
          ...(authToken === undefined ? {} : { auth: authToken }),
          message,
        });
      } catch (error) {
        safely(onError, error, posted);
      }
    },
    subscribe(listener, invalid) {
      const hear = ({ data }: MessageEventLike): void => {
        if (!isRecord(data) || data.type !== "cosystem:worker" || data.channel !== channel) return;
        const { source, target, auth, message } = data;
        if (source === own || (target !== undefined && target !== own)) return;
        if (typeof source !== "string" || !isOptionalString(auth) || !isMessage(message)) {
          return reportInvalid(data, onInvalidMessage, invalid);
        }
        if (authToken === undefined || auth === authToken) listener(localise(message, source));
      };
      medium.addEventListener("message", hear);
      return () => medium.removeEventListener("message", hear);
    },
  };
}

/** A channel within a process: everybody who listens hears a copy of everything. */
export function createMemoryBroadcastChannel(): BroadcastChannelLike {
  const listeners = new Listeners<[unknown]>();
  const added = new Map<unknown, () => void>();
  return {
    postMessage: (message) => listeners.emit(structuredClone(message)),
    addEventListener(_, listener) {
      if (!added.has(listener))
        added.set(
          listener,
          listeners.add((data) => listener({ data: structuredClone(data) })),
        );
    },
    removeEventListener(_, listener) {
      added.get(listener)?.();
      added.delete(listener);
    },
  };
}
