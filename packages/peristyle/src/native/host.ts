/**
 * What the native runtime (`peristyle run`) installs in the global object of an app's agents: functions of numbers, made by
 * `crates/runtime`.
 */
import type { Abi } from "../core/abi.js";
import type { NativeCores } from "../core/native.js";

/** A core: the functions of the ABI's table, over a world in the process's own code. */
export interface NativeCore extends Abi {
  /** The memory that its columns lie in: shared, made by the engine. */
  readonly memory: WebAssembly.Memory;
  /** Records that a lane ran a range of a system, from `start` to `end` milliseconds ago. */
  span(lane: number, system: number, start: number, end: number, range: number): number;
}

/** How the app is to be driven. */
export interface Control {
  /** Frames a second. */
  hz(): number;
  /** Frames after which the app ends; 0 for never. */
  ticks(): number;
  /** Whether a frame waits until it is due. */
  waits(): number;
  /** Whether files are watched. */
  watches(): number;
  /** Whether spans are recorded. */
  records(): number;
  /** How many files that jobs may be made of were written since this was last asked; 0 if they are not watched. */
  changed(): number;
}

interface NativeGlobals {
  readonly __peristyleCore?: (maxBytes: number) => NativeCore;
  readonly __peristyleControl?: () => Control;
}

/** The native runtime's functions; none of them elsewhere. */
export const native = globalThis as NativeGlobals;

/** Where `core/native.ts` looks for cores that its host brings along. */
const CORES = Symbol.for("peristyle.core");

const cores = new WeakMap<WebAssembly.Memory, NativeCore>();

/** The core whose columns lie in a memory. */
export const coreOf = (memory: WebAssembly.Memory): NativeCore | undefined => cores.get(memory);

const { __peristyleCore: make } = native;
if (make) {
  const create: NativeCores["create"] = (maxBytes) => {
    const abi = make(maxBytes);
    const { memory } = abi;
    cores.set(memory, abi);
    return { abi, memory };
  };
  const kernel: NativeCores["kernel"] = async (url) => {
    const module = (await import(`peristyle:///kernel?${url}`)) as { readonly default: string };
    return Uint8Array.from(module.default, (byte) => byte.charCodeAt(0));
  };
  Object.defineProperty(globalThis, CORES, { value: { create, kernel } satisfies NativeCores });
}
