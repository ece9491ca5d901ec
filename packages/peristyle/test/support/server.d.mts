/** Types of the server for browser tests. */
import type { Server } from "node:http";

export interface ServeOptions {
  root?: string;
  files?: Record<string, string | Uint8Array>;
  isolated?: boolean;
  headers?: Record<string, string>;
}

export const ISOLATION: Record<string, string>;
export function serve(
  options: ServeOptions,
): Promise<{ url: string; options: ServeOptions; server: Server; close(): Promise<void> }>;
