/** Says how large each entry point is, minified and gzipped; fails if one is larger than it may be. */
import { gzipSync } from "node:zlib";
import { bundle, entries } from "./bundle.mjs";

for (const { name, source, bytesMax } of entries) {
  const minified = await bundle(source, true);
  const bytes = gzipSync(minified, { level: 9 }).length;
  const verdict = bytes <= bytesMax ? "fits" : "is too large";
  console.log(`peristyle/${name}: ${minified.length} bytes minified, ${bytes} gzipped, of ${bytesMax}: ${verdict}`);
  if (bytes > bytesMax) process.exitCode = 1;
}
