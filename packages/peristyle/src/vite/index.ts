/**
 * The Vite plugin: what pages with Peristyle need of their server and of their build.
 *
 * ```ts
 * import peristyle from "peristyle/vite";
 * export default defineConfig({ plugins: [peristyle()] });
 * ```
 *
 * | what | without it |
 * | --- | --- |
 * | headers that isolate pages, in dev and preview | no shared memory: columns are moved to workers and back |
 * | jobs named by `new URL("./physics.job.ts", import.meta.url)` are built as modules | Vite copies their source as it is |
 * | workers are modules, code is for engines with top-level `await` | the core cannot be loaded in them |
 * | the package is served as it is, once | it is bundled anew, and each copy has a core of its own |
 *
 * `new Worker(new URL("./app.worker.ts", import.meta.url), { type: "module" })` is Vite's own and works without it, and so
 * does `peristyle/client`.
 *
 * # Rules
 * - What the user's configuration says is kept.
 * - Hosts of the built page send the headers themselves: {@link ISOLATION_HEADERS}.
 */
import type { Connect, Plugin, UserConfig } from "vite";

/** What a page's server sends so that the page can share memory. */
export const ISOLATION_HEADERS: Readonly<Record<string, string>> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** How the plugin behaves. */
export interface PeristyleViteOptions {
  /** Whether pages are isolated from other origins, so that they can share memory. True. */
  readonly isolation?: boolean;
  /** Which paths in `new URL(path, import.meta.url)` name jobs. Those that end in `.job.ts`, `.job.js` and the like. */
  readonly jobs?: RegExp;
}

const JOBS = /\.job\.[cm]?[jt]s$/;
const URLS = /\bnew URL\(\s*(["'`])([^"'`$]+)\1\s*,\s*import\.meta\.url\s*,?\s*\)/g;

/** The plugin. */
export default function peristyle({ isolation = true, jobs = JOBS }: PeristyleViteOptions = {}): Plugin {
  let isBuild = false;
  const isolate: Connect.NextHandleFunction = (_, response, next) => {
    for (const [name, value] of Object.entries(ISOLATION_HEADERS)) response.setHeader(name, value);
    next();
  };
  return {
    name: "peristyle",
    // Before Vite takes the URLs for those of assets.
    enforce: "pre",
    config({ build, worker }) {
      const config: UserConfig = { optimizeDeps: { exclude: ["peristyle"] }, resolve: { dedupe: ["peristyle"] } };
      if (build?.target === undefined) config.build = { target: "es2022" };
      if (worker?.format === undefined) config.worker = { format: "es" };
      return config;
    },
    configResolved({ command }) {
      isBuild = command === "build";
    },
    // As the first of all handlers, as errors and files that are not changed need the headers too.
    configureServer({ middlewares }) {
      if (isolation) middlewares.use(isolate);
    },
    configurePreviewServer({ middlewares }) {
      if (isolation) middlewares.use(isolate);
    },
    async transform(code, importer) {
      if (!isBuild || !code.includes("import.meta.url")) return null;
      let result = code;
      for (const [text, , path] of code.matchAll(URLS)) {
        if (!jobs.test(path)) continue;
        const job = await this.resolve(path, importer);
        if (!job) this.error(`there is no job ${path}, which ${importer} names`);
        // Workers import what it exports.
        const name = path.replace(/^.*\//, "").replace(/\.[cm]?[jt]s$/, "");
        const file = this.emitFile({ type: "chunk", id: job.id, name, preserveSignature: "strict" });
        // A path of the site or a whole address, by the bundler and the site's base.
        result = result.replace(text, `new URL(import.meta.ROLLUP_FILE_URL_${file}, import.meta.url)`);
      }
      return result === code ? null : { code: result, map: null };
    },
  };
}
