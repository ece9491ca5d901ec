import { createWorkerClient, type WorkerTransport } from "peristyle/client";

/** A transport over a channel of text. */
export function textTransport(channel: {
  send(text: string): void;
  onText(listener: (text: string) => void): () => void;
}): WorkerTransport {
  return {
    post: (message) => channel.send(JSON.stringify(message)),
    subscribe: (listener) => channel.onText((text) => listener(JSON.parse(text))),
  };
}

export const follow = (channel: Parameters<typeof textTransport>[0]) =>
  createWorkerClient({ transport: textTransport(channel) });

export {};
