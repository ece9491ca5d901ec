/**
 * Loads the core: finds out which build the host can run, fetches that one, and makes an instance for each world.
 *
 * Importing this module takes the build's bytes along (behind one top-level `await`), so that everything afterwards is
 * synchronous. Compiling waits for the first world: a page that is rendered on a server costs nothing.
 *
 * The native runtime brings a core along: see `native.ts`.
 */

import { CoreError, SupportError } from "../errors.js";
import { installHandBack } from "../snapshot/hand-back.js";
import { ABI_HASH, type Abi } from "./abi.js";
import { type Core, type CoreInfo, type CoreOptions, INITIAL_PAGES } from "./core.js";
import { CoreInstance } from "./instance.js";
import { native } from "./native.js";
import { hasSimd, whyNotShared, whyNoWasm } from "./support.js";

export type { Core, CoreBuild, CoreInfo, CoreOptions } from "./core.js";

type WasmBuild = "shared" | "plain";

const PAGE = 65_536;
/** Pages that 32 bits reach. */
const MAX_PAGES = 65_536;

const sources = new Map<WasmBuild, string>();
const modules = new Map<WasmBuild, WebAssembly.Module>();
const chosen = choose();
// A worker's messages come while this waits, before the module that imports it has run.
installHandBack();
if (chosen.build !== "native" && chosen.missing === undefined) await loadCore(chosen.build);

/** The best build that the host can run, and why. */
function choose(): { build: CoreInfo["build"]; reason: string; missing?: SupportError } {
  if (native) return { build: "native", reason: "the host brings a core along" };
  const noWasm = whyNoWasm();
  if (noWasm !== undefined) return { build: "plain", reason: noWasm, missing: new SupportError("no-wasm", noWasm) };
  if (!hasSimd()) {
    const reason = "WebAssembly has no vectors here: a newer browser or Node is needed";
    return { build: "plain", reason, missing: new SupportError("no-simd", reason) };
  }
  const notShared = whyNotShared();
  if (notShared === undefined) return { build: "shared", reason: "memory can be shared with workers" };
  const isPage = typeof document === "object";
  const advice = isPage
    ? " (a page has to be isolated: send the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)"
    : "";
  return { build: "plain", reason: notShared + advice };
}

/** Which build worlds are on, and why. */
export function coreInfo(): CoreInfo {
  return { build: chosen.build, reason: chosen.reason, hash: ABI_HASH };
}

/** Fetches a build that is not the chosen one, so that worlds can be made on it. */
export async function loadCore(build: WasmBuild): Promise<void> {
  if (sources.has(build)) return;
  try {
    const { base64 } =
      build === "shared" ? await import("./generated/core.shared.js") : await import("./generated/core.plain.js");
    sources.set(build, base64);
  } catch (cause) {
    throw new CoreError("core-load", `the ${build} build of the core cannot be loaded: ${text(cause)}`, { cause });
  }
}

/** Makes the core of a new world. */
export function createCore(options: CoreOptions = {}): Core {
  const { build: wanted = "auto", maxBytes = MAX_PAGES * PAGE } = options;
  if (!(maxBytes >= INITIAL_PAGES * PAGE && maxBytes <= MAX_PAGES * PAGE)) {
    const range = `${INITIAL_PAGES * PAGE} to ${MAX_PAGES * PAGE}`;
    throw new CoreError("core-refused", `a memory of at most ${maxBytes} bytes is asked for, it may have ${range}`);
  }
  if (native && wanted === "auto") {
    const { abi, memory } = native.create(maxBytes);
    return new CoreInstance(abi, memory, "native", chosen.reason);
  }
  if (chosen.missing) throw chosen.missing;
  const build = wanted === "auto" ? (chosen.build as WasmBuild) : wanted;
  if (build === "shared" && chosen.build !== "shared") throw new SupportError("no-shared-memory", chosen.reason);
  const reason = wanted === "auto" ? chosen.reason : "it was asked for";
  return instantiate(build, reason, compiled(build), maxBytes);
}

/** Makes a world on a module. */
function instantiate(build: WasmBuild, reason: string, module: WebAssembly.Module, maxBytes: number): Core {
  const memory = makeMemory(build === "shared", Math.floor(maxBytes / PAGE));
  const { exports } = new WebAssembly.Instance(module, { env: { memory: memory.memory } });
  const raw = exports as unknown as Abi & { start(maxBytes: number): number };
  if (raw.start((memory.pages - INITIAL_PAGES) * PAGE) < 0) {
    throw new CoreError("memory-exhausted", `a memory of ${memory.pages * PAGE} bytes has no room for a world`);
  }
  return new CoreInstance(raw, memory.memory, build, reason);
}

/** A memory of at most that many pages; of less where the engine has no addresses for it. */
function makeMemory(shared: boolean, pages: number): { memory: WebAssembly.Memory; pages: number } {
  for (;;) {
    try {
      return { memory: new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: pages, shared }), pages };
    } catch (cause) {
      if (pages <= INITIAL_PAGES) {
        throw new CoreError("memory-exhausted", `the engine has no memory for a world: ${text(cause)}`, { cause });
      }
      pages = Math.max(INITIAL_PAGES, pages >> 1);
    }
  }
}

function compiled(build: WasmBuild): WebAssembly.Module {
  const known = modules.get(build);
  if (known) return known;
  const source = sources.get(build);
  if (source === undefined) {
    throw new CoreError("core-load", `the ${build} build of the core is not loaded: \`await loadCore("${build}")\` first`);
  }
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(bytesOf(source));
  } catch (cause) {
    throw new CoreError("core-load", `the ${build} build of the core cannot be compiled: ${text(cause)}`, { cause });
  }
  modules.set(build, module);
  sources.set(build, "");
  return module;
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const { Buffer } = globalThis as { Buffer?: { from(text: string, encoding: "base64"): Uint8Array<ArrayBuffer> } };
  if (Buffer) return Buffer.from(base64, "base64");
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
