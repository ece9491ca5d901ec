/** Writes each entry point to `dist`: readable for bundlers, minified for pages without one. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bundle, bundleAll, cores, entries } from "./bundle.mjs";

const dist = new URL("../dist/", import.meta.url);
await rm(dist, { recursive: true, force: true });
await mkdir(dist);
await bundleAll(fileURLToPath(dist));
for (const { name, source, bytesMax } of entries) {
  if (bytesMax) await writeFile(new URL(`${name}.min.js`, dist), await bundle(source));
}
for (const { name, source } of cores) await writeFile(new URL(`${name}.js`, dist), await bundle(source));
