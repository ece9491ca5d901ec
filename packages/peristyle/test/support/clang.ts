/** Kernels of the tests, compiled from C by clang. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../../../", import.meta.url));
export const folder = mkdtempSync(join(tmpdir(), "peristyle-kernel-"));
/** A kernel without static data, whose stack pointer the host sets. */
export const PLAIN = ["-Wl,--export=__stack_pointer"];
/** One with static data, which lies in a block of its instance. */
export const RELATIVE = ["-fPIC", "-Wl,-shared", "-Wl,--experimental-pic"];

/** Compiles C, of a file or as it is, and gives the module's file. */
export function compile(source: string, flags: readonly string[], shared = true): string {
  const llvm = "/usr/lib/llvm-19/bin";
  const out = join(folder, `${Math.random()}.wasm`);
  let file = source;
  if (source.includes("\n")) writeFileSync((file = `${out}.c`), source);
  const link = `-Wl,--no-entry,--import-memory,--max-memory=4294967296${shared ? ",--shared-memory" : ""}`;
  const features = ["-mbulk-memory", ...(shared ? ["-matomics"] : [])];
  execFileSync(
    existsSync(`${llvm}/clang`) ? `${llvm}/clang` : "clang",
    [
      "--target=wasm32",
      "-std=c11",
      "-O3",
      "-msimd128",
      "-nostdlib",
      ...features,
      link,
      ...flags,
      "-I",
      join(root, "crates/kernel/include"),
      file,
      "-o",
      out,
    ],
    { env: { ...process.env, PATH: `${llvm}:${process.env.PATH}` }, stdio: "pipe" },
  );
  return out;
}
