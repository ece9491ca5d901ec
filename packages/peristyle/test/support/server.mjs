// A small static server for browser tests, with or without the headers that isolate a page.
//
// Files come from memory (`files`), then from a folder (`root`). Port and address are the machine's own: loopback only.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** What a page needs to share memory. */
export const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Serves files until it is closed.
 *
 * @param {object} options
 * @param {string} [options.root] Folder to serve.
 * @param {Record<string, string | Uint8Array>} [options.files] Contents by path (`/page.html`); they go before the folder's. May be changed at any time.
 * @param {boolean} [options.isolated] Whether pages may share memory. May be changed at any time.
 * @param {Record<string, string>} [options.headers] More headers for every answer, a content security policy for example.
 * @returns {Promise<{ url: string, options: typeof options, server: import("node:http").Server, close(): Promise<void> }>}
 */
export async function serve(options) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    const headers = { ...(options.isolated ? ISOLATION : {}), ...options.headers, "cache-control": "no-store" };
    const body = await find(options, path);
    if (body === undefined) {
      response.writeHead(404, headers).end(`no ${path}`);
      return;
    }
    const type = TYPES[extname(path) || ".html"] ?? "application/octet-stream";
    response.writeHead(200, { ...headers, "content-type": type }).end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://localhost:${server.address().port}`,
    options,
    server,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function find({ root, files }, path) {
  if (files && path in files) return files[path];
  if (root === undefined) return undefined;
  const file = normalize(join(root, path));
  if (!file.startsWith(normalize(root) + sep)) return undefined;
  return readFile(file).catch(() => undefined);
}
