/** How the package's entry points become files: shared by the build and by the measure of their size. */
import { build } from "esbuild";

/** The entry points: name, source, and how large they may be minified and gzipped, in bytes. */
export const entries = [
  { name: "client", source: "src/client/index.ts", bytesMax: 15_000 },
  { name: "app", source: "src/app/index.ts", bytesMax: 6_000 },
  { name: "data-transport", source: "src/client/transports/data-transport.ts", bytesMax: 1_500 },
];

/** Bundles an entry point to one ES module. Gives its bytes. */
export async function bundle(source, minify) {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../${source}`, import.meta.url).pathname],
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    minify,
    legalComments: "none",
    write: false,
  });
  return outputFiles[0].contents;
}
