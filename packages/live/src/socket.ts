/** A WebSocket that counts what comes. */

/** Bytes that came so far, over all sockets of the page. */
export const received = { bytes: 0 };

export class CountingWebSocket extends WebSocket {
  constructor(url: string) {
    super(url);
    this.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => {
      received.bytes += typeof data === "string" ? data.length : data.byteLength;
    });
  }
}
