/**
 * WebAssembly jobs: kernels on the world's own memory.
 *
 * A kernel is compiled once; each lane has an instance of its own, linked to the memory, to a block for its stack, and
 * to one for static data if it is position-independent and has any. It is called with the offset of a descriptor.
 *
 * # Rules
 * - Whether the code is valid is the engine's to say. {@link checkKernel} looks for what the engine accepts and what
 *   would then go wrong without a word: static data at addresses that are the world's, a stack at one, another memory.
 * - After a call that did not return, the stack pointer is set back before the next one.
 */
import { JobError } from "../errors.js";
import type { Outcome } from "./jobs.js";

/** Bytes of a kernel's stack: what the header for kernels promises, in every host. */
export const STACK_BYTES = 262_144;
/** What the lowest words of a stack hold: a kernel that overran its stack has written over it. */
const GUARD = 0x5ac4_57ac;
const GUARD_WORDS = 16;

/** What a kernel needs to be instantiated. */
export interface KernelNeeds {
  /** Bytes of static data. */
  readonly dataBytes: number;
  /** Entries of its function table. */
  readonly elements: number;
}

/** What an instance is made of. */
export interface KernelParts {
  readonly module: WebAssembly.Module;
  readonly needs: KernelNeeds;
  readonly memory: WebAssembly.Memory;
  /** Offset of its stack, of {@link STACK_BYTES}. */
  readonly stack: number;
  /** Offset of its static data; 0 if there is none. */
  readonly data: number;
}

/** A kernel in one lane. */
export class KernelInstance {
  readonly #name: string;
  readonly #handle: (descriptor: number) => void;
  readonly #stackPointer: WebAssembly.Global;
  readonly #memory: WebAssembly.Memory;
  readonly #stack: number;
  #isUnsettled = false;
  #guard: Uint32Array;

  /** @throws {JobError} `job-load` if the engine refuses it. */
  constructor(name: string, { module, needs, memory, stack, data }: KernelParts) {
    const top = stack + STACK_BYTES;
    const global = (value: number, mutable: boolean): WebAssembly.Global =>
      new WebAssembly.Global({ value: "i32", mutable }, value);
    const imported = global(top, true);
    const env = {
      memory,
      __stack_pointer: imported,
      __memory_base: global(data, false),
      __table_base: global(0, false),
      __indirect_function_table: new WebAssembly.Table({ element: "anyfunc", initial: needs.elements }),
    };
    let exports: Record<string, unknown>;
    try {
      exports = new WebAssembly.Instance(module, { env }).exports;
      const exported = exports.__stack_pointer as WebAssembly.Global | undefined;
      if (exported) exported.value = top;
      this.#stackPointer = exported ?? imported;
      // What a dynamic linker does.
      (exports.__wasm_apply_data_relocs as (() => void) | undefined)?.();
      (exports.__wasm_call_ctors as (() => void) | undefined)?.();
    } catch (cause) {
      throw new JobError("job-load", `kernel \`${name}\` does not link: ${(cause as Error).message}`, { cause });
    }
    this.#name = name;
    this.#handle = exports.handle as (descriptor: number) => void;
    this.#memory = memory;
    this.#stack = stack;
    this.#guard = new Uint32Array(memory.buffer, stack, GUARD_WORDS).fill(GUARD);
  }

  /** Runs a call. */
  call(descriptor: number): Outcome {
    if (this.#isUnsettled) this.#stackPointer.value = this.#stack + STACK_BYTES;
    this.#isUnsettled = true;
    this.#handle(descriptor);
    // A plain memory that grew has another buffer.
    if (this.#guard.length === 0) this.#guard = new Uint32Array(this.#memory.buffer, this.#stack, GUARD_WORDS);
    if (this.#guard.some((word) => word !== GUARD)) {
      this.#guard.fill(GUARD);
      const message = `kernel \`${this.#name}\` overran its stack of ${STACK_BYTES} bytes`;
      return { code: "job-threw", message, thrown: { name: "RuntimeError", message, stack: "" } };
    }
    this.#isUnsettled = false;
    return undefined;
  }
}

/** What is asked of the memory that a kernel is to work on. */
export interface KernelMemory {
  readonly isShared: boolean;
  /** Why it is shared, or is not. */
  readonly reason: string;
}

/** Looks whether a module may be a kernel on a memory. Gives what it needs. */
export function checkKernel(name: string, bytes: Uint8Array, { isShared, reason }: KernelMemory): KernelNeeds {
  const refuse = (why: string): never => {
    throw new JobError("job-load", `kernel \`${name}\` ${why}`);
  };
  let seen: Seen;
  try {
    seen = read(bytes);
  } catch (error) {
    return refuse(`is not WebAssembly: ${(error as Error).message}`);
  }
  for (const { module, name, kind } of seen.imports) {
    if (module === "env" && OFFERED[name] === kind) continue;
    const why =
      kind === 0
        ? "kernels are offered no functions"
        : "there is no such thing; a kernel may import env.memory, and what a linker adds to it";
    refuse(`cannot import ${module}.${name}: ${why}`);
  }
  const { memory } = seen;
  if (seen.ownMemory) refuse("has a memory of its own: link with --import-memory");
  if (!memory) return refuse("imports no memory: link with --import-memory and --shared-memory");
  if (memory.shared !== isShared) {
    const message = isShared
      ? "imports a memory that is not shared: link with --shared-memory"
      : `imports a shared memory, and this world's is not shared: ${reason}`;
    throw new JobError("job-shared", `kernel \`${name}\` ${message}`);
  }
  if (memory.wide) refuse("imports a memory with 64-bit addresses");
  if (seen.handle !== "(i32)") {
    refuse(
      seen.handle === undefined
        ? "exports no function `handle`"
        : `exports \`handle\` as ${seen.handle}, not as a function of one i32 without a result`,
    );
  }
  const isRelative = seen.memoryBase !== undefined;
  if (seen.hiddenStack !== undefined && !isRelative) {
    refuse(`has a stack pointer (global ${seen.hiddenStack}) that cannot be set: link with --export=__stack_pointer`);
  }
  for (const [index, at] of seen.segments.entries()) {
    const segment = seen.segmentNames.get(index) ?? String(index);
    const isThreadLocal = segment.startsWith(".tdata") || segment.startsWith(".tbss");
    if (!isThreadLocal && (at === "relative" || (at === "passive" && isRelative))) continue;
    const where = typeof at === "number" ? ` (${at})` : "";
    const how = "do without static data, or link as position-independent (-fPIC, -shared)";
    refuse(`has a data segment ${segment} at a fixed address${where}: ${how}`);
  }
  if (seen.start !== undefined && !isRelative) {
    refuse(`has a function ${seen.start} that runs at its start and writes static data to a fixed address`);
  }
  if (isRelative && !seen.dylink) refuse("imports __memory_base, but has no section dylink.0 that says for how much");
  return { dataBytes: seen.dylink?.bytes ?? 0, elements: seen.dylink?.elements ?? 0 };
}

/** Kinds of what a kernel may import from `env`: 1 table, 2 memory, 3 global. */
const OFFERED: Readonly<Record<string, number>> = {
  memory: 2,
  __stack_pointer: 3,
  __memory_base: 3,
  __table_base: 3,
  __indirect_function_table: 1,
};

interface Seen {
  imports: { module: string; name: string; kind: number }[];
  memory: { shared: boolean; wide: boolean } | undefined;
  ownMemory: boolean;
  /** The exported handler's type, in words. */
  handle: string | undefined;
  /** Index of the global that may be a stack pointer and is not exported. */
  hiddenStack: number | undefined;
  memoryBase: number | undefined;
  start: number | undefined;
  /** Where each data segment lies. */
  segments: (number | "relative" | "passive" | "unknown")[];
  segmentNames: Map<number, string>;
  dylink: { bytes: number; elements: number } | undefined;
}

/** Reads numbers and names of a module. */
class Reader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  get isDone(): boolean {
    return this.at >= this.#end;
  }

  byte(): number {
    if (this.isDone) throw new RangeError(`it ends too early, at byte ${this.at}`);
    return this.#bytes[this.at++];
  }

  /** An unsigned LEB128 number, of which 32 bits count. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      if (shift < 35) value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError(`a number is too long, at byte ${this.at}`);
  }

  /** A signed LEB128 number, as the address that its 32 bits are. */
  i32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (shift + 7 < 32 && byte & 0x40) value |= -1 << (shift + 7);
      return value >>> 0;
    }
    throw new RangeError(`a number is too long, at byte ${this.at}`);
  }

  name(): string {
    const bytes = this.u32();
    if (this.at + bytes > this.#end) throw new RangeError(`a name ends too late, at byte ${this.at}`);
    const text = new TextDecoder().decode(this.#bytes.slice(this.at, this.at + bytes));
    this.at += bytes;
    return text;
  }

  /** The next `bytes` bytes, as a reader. */
  part(bytes: number): Reader {
    if (this.at + bytes > this.#end) throw new RangeError(`a part ends too late, at byte ${this.at}`);
    const part = new Reader(this.#bytes, this.at, this.at + bytes);
    this.at += bytes;
    return part;
  }

  limits(): { flags: number } {
    const flags = this.u32();
    this.u32();
    if (flags & 1) this.u32();
    return { flags };
  }
}

const I32 = 0x7f;
const MAGIC = 0x6d73_6100;

function read(bytes: Uint8Array): Seen {
  const seen: Seen = {
    imports: [],
    memory: undefined,
    ownMemory: false,
    handle: undefined,
    hiddenStack: undefined,
    memoryBase: undefined,
    start: undefined,
    segments: [],
    segmentNames: new Map(),
    dylink: undefined,
  };
  if (bytes.length < 8 || new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) !== MAGIC) {
    throw new RangeError("it does not begin as a module does");
  }
  const types: string[] = [];
  const functions: number[] = [];
  const globals: { isStack: boolean }[] = [];
  const exported = new Set<number>();
  let importsStack = false;
  const all = new Reader(bytes, 8);
  while (!all.isDone) {
    const id = all.byte();
    const section = all.part(all.u32());
    const each = (read: (index: number) => void): void => {
      const count = section.u32();
      for (let i = 0; i < count; i++) read(i);
    };
    const globalType = (): boolean => {
      const isNumber = section.byte() === I32;
      return section.byte() === 1 && isNumber;
    };
    if (id === 1) {
      each(() => {
        const form = section.byte();
        if (form !== 0x60) throw new RangeError(`a type of an unknown form ${form}`);
        const list = (): string => Array.from({ length: section.u32() }, () => NAMES[section.byte()] ?? "?").join(", ");
        const [parameters, results] = [list(), list()];
        types.push(results === "" ? `(${parameters})` : `(${parameters}) -> ${results}`);
      });
    } else if (id === 2) {
      each(() => {
        const [module, name, kind] = [section.name(), section.name(), section.byte()];
        seen.imports.push({ module, name, kind });
        if (kind === 0) functions.push(section.u32());
        else if (kind === 1) (section.part(1), section.limits());
        else if (kind === 2) {
          const { flags } = section.limits();
          seen.memory = { shared: (flags & 2) !== 0, wide: (flags & 4) !== 0 };
        } else if (kind === 3) {
          globalType();
          if (name === "__memory_base") seen.memoryBase = globals.length;
          if (name === "__stack_pointer") importsStack = true;
          globals.push({ isStack: false });
        } else throw new RangeError(`an import of the unknown kind ${kind}`);
      });
    } else if (id === 3) each(() => functions.push(section.u32()));
    else if (id === 5) seen.ownMemory = section.u32() > 0;
    else if (id === 6) {
      each(() => {
        globals.push({ isStack: globalType() });
        // Initial values are constant expressions: one number most often.
        skipExpression(section);
      });
    } else if (id === 7) {
      each(() => {
        const [name, kind, index] = [section.name(), section.byte(), section.u32()];
        if (name === "handle")
          seen.handle = kind === 0 ? (types[functions[index]] ?? "an unknown function") : "no function";
        if (kind === 3) exported.add(index);
        if (kind === 3 && name === "__stack_pointer") importsStack = true;
      });
    } else if (id === 8) seen.start = section.u32();
    else if (id === 11) {
      each(() => {
        const flags = section.u32();
        if (flags === 1) seen.segments.push("passive");
        else {
          if (flags === 2) section.u32();
          seen.segments.push(addressOf(section, seen.memoryBase));
        }
        section.part(section.u32());
      });
    } else if (id === 0) readCustom(section, seen);
  }
  if (!importsStack) {
    const hidden = globals.findIndex(({ isStack }, index) => isStack && !exported.has(index));
    if (hidden >= 0) seen.hiddenStack = hidden;
  }
  return seen;
}

const NAMES: Readonly<Record<number, string>> = { 0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64", 0x7b: "v128" };
const [END, GLOBAL_GET, I32_CONST, I64_CONST, F32_CONST, F64_CONST, VECTOR] = [
  0x0b, 0x23, 0x41, 0x42, 0x43, 0x44, 0xfd,
];

/** Where a segment lies: a number, or relative to what the linker places. */
function addressOf(section: Reader, memoryBase: number | undefined): Seen["segments"][number] {
  const operator = section.byte();
  let at: Seen["segments"][number] = "unknown";
  if (operator === I32_CONST) at = section.i32();
  else if (operator === GLOBAL_GET && section.u32() === memoryBase) at = "relative";
  skipExpression(section);
  return at;
}

/** Skips to the end of a constant expression. */
function skipExpression(section: Reader): void {
  for (;;) {
    const operator = section.byte();
    if (operator === END) return;
    if (operator === GLOBAL_GET || operator === I32_CONST || operator === I64_CONST) section.u32();
    else if (operator === F32_CONST) section.part(4);
    else if (operator === F64_CONST) section.part(8);
    else if (operator === VECTOR) (section.u32(), section.part(16));
  }
}

function readCustom(section: Reader, seen: Seen): void {
  const name = section.name();
  // Names are for messages: what is wrong with them does not matter.
  if (name === "name") {
    try {
      while (!section.isDone) {
        const id = section.byte();
        const part = section.part(section.u32());
        if (id !== 9) continue;
        for (let count = part.u32(); count > 0; count--) seen.segmentNames.set(part.u32(), part.name());
      }
    } catch {
      return;
    }
  } else if (name === "dylink.0") {
    while (!section.isDone) {
      const id = section.byte();
      const part = section.part(section.u32());
      if (id !== 1) continue;
      const [bytes, , elements] = [part.u32(), part.u32(), part.u32()];
      seen.dylink = { bytes, elements };
    }
  }
}
