/** The Vite plugin, in builds without an app: what it adds, and what it leaves to the user. The example is built with it, too. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { build, createServer, resolveConfig, type InlineConfig, type Rollup } from "vite";
import peristyle, { ISOLATION_HEADERS, type PeristyleViteOptions } from "../src/vite/index.js";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** A project of some files. */
async function project(files: Record<string, string>, options?: PeristyleViteOptions): Promise<InlineConfig> {
  const root = await mkdtemp(join(tmpdir(), "peristyle-vite-"));
  folders.push(root);
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text);
  return { root, configFile: false, logLevel: "silent", plugins: [peristyle(options)], build: { write: false } };
}

const job = `import { double } from "./double";\nexport function handle(input: { x: number }): number { return double(input.x); }`;
const files = {
  "index.html": `<script type="module" src="./main.ts"></script>`,
  "double.ts": "export const double = (x: number): number => 2 * x;",
  "move.job.ts": job,
  "main.ts": `
    import { double } from "./double";
    const job = new URL("./move.job.ts", import.meta.url);
    console.log(double(1), job, new URL( './move.job.ts' , import.meta.url, ).href);
  `,
};

test.each(["/", "./", "/base/"])("a job is built as a module of its own, where the site's base is %s", async (base) => {
  const config = await project(files);
  const { output } = (await build({ ...config, base })) as Rollup.RollupOutput;
  const chunks = output.filter((file) => file.type === "chunk");
  const built = chunks.filter(({ exports }) => exports.includes("handle"));
  expect(built.length).toBe(1);
  expect(built[0]?.code).not.toContain(": number");
  const main = chunks.find(({ facadeModuleId, isEntry }) => isEntry && facadeModuleId?.endsWith("index.html"));
  const name = built[0]?.fileName.replace(/^.*\//, "") ?? "";
  expect(main?.code.split(name).length).toBe(3);
  expect(main?.code).not.toContain(".job.ts");
});

test("a job that is not there is an error that names it and where it is named", async () => {
  const config = await project({ ...files, "main.ts": `export default new URL("./none.job.ts", import.meta.url);` });
  await expect(build(config)).rejects.toThrow(/there is no job \.\/none\.job\.ts, which .*main\.ts names/);
});

test("which paths are jobs can be said", async () => {
  const config = await project(
    { ...files, "kernel.ts": job, "main.ts": `console.log(new URL("./kernel.ts", import.meta.url));` },
    { jobs: /^\.\/kernel/ },
  );
  const { output } = (await build(config)) as Rollup.RollupOutput;
  expect(output.some((file) => file.type === "chunk" && file.exports.includes("handle"))).toBe(true);
});

test("what the user's configuration says is kept", async () => {
  const config = await project(files);
  const plain = await resolveConfig(config, "build");
  expect(plain.build.target).toBe("es2022");
  expect(plain.worker.format).toBe("es");
  expect(plain.optimizeDeps.exclude).toContain("peristyle");
  expect(plain.resolve.dedupe).toContain("peristyle");
  const own = await resolveConfig(
    { ...config, build: { target: "esnext" }, worker: { format: "iife" }, optimizeDeps: { exclude: ["mine"] } },
    "build",
  );
  expect(own.build.target).toBe("esnext");
  expect(own.worker.format).toBe("iife");
  expect(own.optimizeDeps.exclude).toEqual(expect.arrayContaining(["mine", "peristyle"]));
});

test.each([true, false])("every answer of the server isolates: %s", async (isolation) => {
  const config = await project(files, { isolation });
  const server = await createServer({ ...config, server: { port: 0, host: "127.0.0.1", watch: null } });
  try {
    await server.listen();
    const [url] = server.resolvedUrls?.local ?? [];
    for (const path of ["", "main.ts", "move.job.ts", "nothing.wasm"]) {
      const { headers } = await fetch(`${url}${path}`, { headers: { accept: "*/*" } });
      for (const [name, value] of Object.entries(ISOLATION_HEADERS)) {
        expect(headers.get(name), `${name} of /${path}`).toBe(isolation ? value : null);
      }
    }
  } finally {
    await server.close();
  }
});
