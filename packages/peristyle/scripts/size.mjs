/** Says how large each entry point is, minified and gzipped; fails if one is larger than it may be. */
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { bundle, cores, entries } from "./bundle.mjs";

/** How large a build of the core may be, gzipped, as WebAssembly. */
const CORE_BYTES_MAX = 250_000;

for (const { name, source, bytesMax } of entries) {
  if (!bytesMax) continue;
  const minified = await bundle(source);
  const bytes = gzipSync(minified, { level: 9 }).length;
  const verdict = bytes <= bytesMax ? "fits" : "is too large";
  console.log(`peristyle/${name}: ${minified.length} bytes minified, ${bytes} gzipped, of ${bytesMax}: ${verdict}`);
  if (bytes > bytesMax) process.exitCode = 1;
}
for (const { name, source } of cores) {
  const text = await readFile(new URL(`../${source}`, import.meta.url), "utf8");
  const wasm = Buffer.from(text.match(/"([A-Za-z0-9+/=]+)";/)[1], "base64");
  const bytes = gzipSync(wasm, { level: 9 }).length;
  const verdict = bytes <= CORE_BYTES_MAX ? "fits" : "is too large";
  console.log(`${name}: ${wasm.length} bytes of WebAssembly, ${bytes} gzipped, of ${CORE_BYTES_MAX}: ${verdict}`);
  if (bytes > CORE_BYTES_MAX) process.exitCode = 1;
}
