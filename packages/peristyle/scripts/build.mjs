/** Writes each entry point to `dist`: readable for bundlers, minified for pages without one. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { bundle, entries } from "./bundle.mjs";

const dist = new URL("../dist/", import.meta.url);
await rm(dist, { recursive: true, force: true });
await mkdir(dist);
for (const { name, source } of entries) {
  await writeFile(new URL(`${name}.js`, dist), await bundle(source, false));
  await writeFile(new URL(`${name}.min.js`, dist), await bundle(source, true));
}
