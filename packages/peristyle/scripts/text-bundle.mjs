/**
 * Imports of `./file.js?bundle`: the text of that module bundled to one script, for workers that are started from text.
 *
 * One plugin for esbuild (the package's build, fixtures of tests) and one for Vite (tests).
 */
import { build } from "esbuild";
import { access } from "node:fs/promises";
import { dirname, resolve } from "node:path";

const SUFFIX = "?bundle";

/** The file of an import, which says `.js` and means TypeScript. */
async function fileOf(path, importer) {
  const file = resolve(dirname(importer), path.slice(0, -SUFFIX.length));
  const source = file.replace(/\.js$/, ".ts");
  return access(source).then(
    () => source,
    () => file,
  );
}

async function text(file) {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    format: "iife",
    target: "es2022",
    platform: "neutral",
    minify: true,
    legalComments: "none",
    write: false,
  });
  return outputFiles[0].text;
}

/** For esbuild. */
export const textBundle = {
  name: "text-bundle",
  setup(plugin) {
    plugin.onResolve({ filter: /\?bundle$/ }, async ({ path, importer }) => ({
      path: await fileOf(path, importer),
      namespace: SUFFIX,
    }));
    plugin.onLoad({ filter: /.*/, namespace: SUFFIX }, async ({ path }) => ({
      contents: await text(path),
      loader: "text",
    }));
  },
};

/** For Vite. */
export const viteTextBundle = {
  name: "text-bundle",
  enforce: "pre",
  async resolveId(path, importer) {
    if (path.endsWith(SUFFIX) && importer) return `${await fileOf(path, importer)}${SUFFIX}`;
  },
  async load(id) {
    if (id.endsWith(SUFFIX)) return `export default ${JSON.stringify(await text(id.slice(0, -SUFFIX.length)))};`;
  },
};
