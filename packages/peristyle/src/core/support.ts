/** What the host can do, found out by doing it: no flag is believed. */

/** A module whose only function uses a vector. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** Whether there is WebAssembly, and whether it may be compiled here; a text if not. */
export function whyNoWasm(): string | undefined {
  if (typeof WebAssembly !== "object") return "this host has no WebAssembly";
  try {
    // The smallest module. A content security policy without 'wasm-unsafe-eval' refuses it.
    new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
    return undefined;
  } catch (cause) {
    return `WebAssembly may not be compiled here: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}

/** Whether WebAssembly has vectors. */
export function hasSimd(): boolean {
  return WebAssembly.validate(Uint8Array.from(SIMD));
}

/** Why memory cannot be shared with workers; nothing if it can. */
export function whyNotShared(): string | undefined {
  try {
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    // Where a page is not isolated, there is such a memory, but it goes nowhere.
    const copy = structuredClone(buffer);
    if (typeof SharedArrayBuffer !== "function" || !(copy instanceof SharedArrayBuffer)) return "memory cannot be shared";
    const word = new Int32Array(copy);
    Atomics.store(word, 0, 1);
    if (new Int32Array(buffer)[0] !== 1) return "memory that is sent is copied";
    return undefined;
  } catch (cause) {
    return `memory cannot be shared: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
