/**
 * Makes modules of the core's two builds: shrunk, in base64, so that every bundler, Node and pages load them as they load
 * any script. Called by `cargo xtask wasm` with the folder that holds `core.shared.wasm` and `core.plain.wasm`.
 */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What both builds use; never all features, which engines do not know. */
const FEATURES = ["bulk-memory", "mutable-globals", "nontrapping-float-to-int", "reference-types", "sign-ext", "multivalue", "simd"];

const folder = process.argv[2];
if (folder === undefined) throw new Error("usage: node scripts/core.mjs FOLDER");
const optimizer = fileURLToPath(new URL("../node_modules/binaryen/bin/wasm-opt", import.meta.url));
const generated = new URL("../src/core/generated/", import.meta.url);
await mkdir(generated, { recursive: true });
for (const build of ["shared", "plain"]) {
  const [input, output] = ["wasm", "opt.wasm"].map((suffix) => join(folder, `core.${build}.${suffix}`));
  const features = build === "shared" ? [...FEATURES, "threads"] : FEATURES;
  const flags = features.map((feature) => `--enable-${feature}`);
  execFileSync(process.execPath, [optimizer, "-Os", "--strip-debug", "--strip-producers", ...flags, input, "-o", output]);
  const bytes = await readFile(output);
  const text = `/** The ${build} build of the core. */\nexport const base64: string =\n  "${bytes.toString("base64")}";\n`;
  await writeFile(new URL(`core.${build}.ts`, generated), text);
}
