/**
 * What Node offers beside the web, found without a word that a bundler for pages would stumble over.
 *
 * Only the few functions that are used here are described, so that the package needs no types of Node.
 */

export interface NodePort {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  on(event: "message", listener: (message: unknown) => void): void;
  ref(): void;
  unref(): void;
  close(): void;
}

export interface NodeWorker extends Omit<NodePort, "on" | "close"> {
  on(event: "message", listener: (message: unknown) => void): void;
  on(event: "error", listener: (error: unknown) => void): void;
  on(event: "exit", listener: (code: number) => void): void;
  terminate(): Promise<number>;
}

export interface NodeThreads {
  readonly Worker: new (source: string | URL, options: object) => NodeWorker;
  readonly MessageChannel: new () => { readonly port1: NodePort; readonly port2: NodePort };
  readonly receiveMessageOnPort: (port: NodePort) => { readonly message: unknown } | undefined;
  readonly workerData: unknown;
}

export interface NodeSerializer {
  serialize(value: unknown): Uint8Array;
  deserialize(bytes: Uint8Array): unknown;
}

/** Whether this is Node. */
export const isNode: boolean =
  typeof process === "object" && typeof process.versions?.node === "string" && !("window" in globalThis);

declare const process: { readonly versions?: { readonly node?: string } } | undefined;

/** `node:worker_threads`, or nothing if this is no Node. */
export const nodeThreads = (): Promise<NodeThreads | undefined> => builtin<NodeThreads>("node:worker_threads");

/** `node:v8`. */
export const nodeSerializer = (): Promise<NodeSerializer | undefined> => builtin<NodeSerializer>("node:v8");

/** The number of cores. */
export async function cores(): Promise<number> {
  const os = await builtin<{ availableParallelism(): number }>("node:os");
  return os?.availableParallelism() ?? (globalThis as { navigator?: Navigator }).navigator?.hardwareConcurrency ?? 2;
}

/** Gives the URL of a path that is relative to the process's folder; nothing if this is no Node. */
export async function nodePaths(): Promise<((path: string) => string) | undefined> {
  const url = await builtin<{ pathToFileURL(path: string): URL }>("node:url");
  return url && ((path) => url.pathToFileURL(path).href);
}

/** Largest number of workers. */
const SIZE_MAX = 64;

/** A number of workers within bounds. */
export function sizeOf(size: number): number {
  return Number.isFinite(size) ? Math.min(SIZE_MAX, Math.max(1, Math.floor(size))) : 1;
}

async function builtin<T>(name: string): Promise<T | undefined> {
  return isNode ? ((await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as T) : undefined;
}
