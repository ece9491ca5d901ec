/** What a host that has a core of its own brings along: the native runtime, before any other module of the package runs. */
import type { Abi } from "./abi.js";

/** Under which the native runtime has a {@link NativeCores}. */
export const NATIVE = Symbol.for("peristyle.core");

/** What makes cores in a host that brings them along. */
export interface NativeCores {
  /** Makes a world: its functions, and the memory that it lies in, of at most `maxBytes` bytes. */
  create(maxBytes: number): { readonly abi: Abi; readonly memory: WebAssembly.Memory };
  /** The bytes of the WebAssembly module at a `file:` URL. It is code, so it needs no leave to read files. */
  kernel(url: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** The host's; nothing in Node and in pages. */
export const native = (globalThis as { [NATIVE]?: NativeCores })[NATIVE];
