/** Bundles the test apps as their frameworks' tools do. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { transformAsync } from "@babel/core";
import { build } from "esbuild";
import { compile } from "svelte/compiler";

const apps = fileURLToPath(new URL("apps/", import.meta.url));

const svelte = (generate) => ({
  name: "svelte",
  setup(build) {
    build.onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
      const { js } = compile(await readFile(path, "utf8"), { filename: path, generate });
      return { contents: js.code, loader: "ts" };
    });
  },
});

const solid = (generate) => ({
  name: "solid",
  setup(build) {
    build.onLoad({ filter: /\/solid\/.*\.tsx$/ }, async ({ path }) => {
      const presets = [["babel-preset-solid", { generate: generate === "server" ? "ssr" : "dom" }]];
      const options = { filename: path, presets, parserOpts: { plugins: ["jsx", "typescript"] }, configFile: false };
      const { code } = await transformAsync(await readFile(path, "utf8"), options);
      return { contents: code, loader: "ts" };
    });
  },
});

/** Bundles modules below `apps` for pages (`client`) or for Node (`server`); gives their text by name. */
export async function bundle(entryPoints, generate = "client") {
  const isServer = generate === "server";
  const { outputFiles } = await build({
    absWorkingDir: apps,
    entryPoints,
    outdir: "/out",
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: isServer ? "node" : "browser",
    // Each framework has a build for browsers and one for servers.
    conditions: isServer ? ["node"] : ["browser", "svelte"],
    banner: isServer ? { js: 'import { createRequire } from "node:module"; const require = createRequire("/");' } : {},
    define: { "process.env.NODE_ENV": '"production"' },
    loader: { ".svelte": "ts" },
    plugins: [svelte(generate), solid(generate)],
    logLevel: "silent",
    write: false,
  });
  return Object.fromEntries(outputFiles.map(({ path, text }) => [path.replace(/^\/out\//, "").replaceAll("/", "."), text]));
}
