/**
 * Makes the live page: one file without a request to anywhere, which the gateway embeds.
 *
 * `--check` makes it anew and says whether what is embedded is what the sources make.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { prune } from "./prune.mjs";

const root = new URL("../", import.meta.url);
const target = new URL("../../crates/gateway/page/live.html", root);
const path = (relative) => fileURLToPath(new URL(relative, root));

const topology = async (name, objects) =>
  prune(JSON.parse(await readFile(path(`node_modules/vega-datasets/data/${name}`), "utf8")), objects);

/** The maps as modules of what the page draws of them. */
const maps = {
  name: "maps",
  setup(build) {
    build.onResolve({ filter: /^map:/ }, ({ path }) => ({ path, namespace: "map" }));
    build.onLoad({ filter: /.*/, namespace: "map" }, async ({ path }) => ({
      contents: JSON.stringify(
        path === "map:us" ? await topology("us-10m.json", ["states"]) : await topology("world-110m.json", ["land"]),
      ),
      loader: "json",
    }));
  },
};

const shared = { bundle: true, minify: true, write: false, target: "es2022", logLevel: "warning" };
const [script, style, html] = await Promise.all([
  build({
    ...shared,
    entryPoints: [path("src/main.ts")],
    format: "esm",
    plugins: [maps],
    alias: { "peristyle/client": path("../peristyle/src/client/index.ts") },
  }),
  build({ ...shared, entryPoints: [path("src/style.css")] }),
  readFile(path("src/page.html"), "utf8"),
]);
const text = ({ outputFiles }) => outputFiles[0].text.trim();
const page = html
  .replace("<!-- style -->", () => `<style>${text(style)}</style>`)
  // A closing tag within the script would end it.
  .replace("<!-- script -->", () => `<script type="module">${text(script).replaceAll("</script", "<\\/script")}</script>`);

if (process.argv.includes("--check")) {
  if ((await readFile(target, "utf8").catch(() => "")) !== page) {
    console.error("crates/gateway/page/live.html is not what its sources make: run `npm run build` in packages/live");
    process.exit(1);
  }
} else {
  await writeFile(target, page);
  console.log(`live.html: ${page.length} bytes`);
}
