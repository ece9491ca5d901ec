/** How the package's entry points become files: shared by the build and by the measure of their size. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify as shrink } from "terser";
import { textBundle } from "./text-bundle.mjs";

/** The entry points: name, source, and how large they may be minified and gzipped, in bytes; none for those of Node. */
export const entries = [
  { name: "index", source: "src/index.ts", bytesMax: 78_000 },
  { name: "client", source: "src/client/index.ts", bytesMax: 15_000 },
  { name: "observe", source: "src/client/observe.ts", bytesMax: 1_500 },
  { name: "app", source: "src/app/index.ts", bytesMax: 6_500 },
  { name: "worker", source: "src/workers/worker.ts", bytesMax: 8_000 },
  { name: "math", source: "src/math/index.ts", bytesMax: 7_500 },
  { name: "server", source: "src/server/index.ts" },
  { name: "vite", source: "src/vite/index.ts" },
  { name: "data-transport", source: "src/client/transports/data-transport.ts", bytesMax: 1_500 },
];

/** The core's builds: files of their own, of which the loader fetches the one that it needs. */
export const cores = ["core.shared", "core.plain"].map((name) => ({ name, source: `src/core/generated/${name}.ts` }));

/** Leaves them out of bundles. */
export const withoutCores = {
  name: "without-cores",
  setup({ onResolve }) {
    onResolve({ filter: /\/generated\/core\.(shared|plain)\.js$/ }, ({ path }) => ({
      path: `./${path.slice(path.lastIndexOf("/") + 1)}`,
      external: true,
    }));
  },
};

const root = fileURLToPath(new URL("..", import.meta.url));

const options = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  external: ["node:*"],
  legalComments: "none",
  plugins: [textBundle, withoutCores],
};

/** Bundles an entry point to one minified ES module, for pages without a bundler. Gives its bytes. */
export async function bundle(source) {
  const { outputFiles } = await build({ ...options, entryPoints: [source], minify: true, write: false });
  // A further twentieth.
  const { code } = await shrink(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3 } });
  return new TextEncoder().encode(code);
}

/** Writes all entry points to a folder; what they share is there once, as a module may be imported by several of them. */
export async function bundleAll(outdir) {
  const entryPoints = Object.fromEntries(entries.map(({ name, source }) => [name, source]));
  await build({ ...options, entryPoints, outdir, splitting: true, chunkNames: "shared-[hash]" });
}
