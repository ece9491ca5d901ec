/**
 * Packs the package (which builds it), installs it into an empty project, and runs the README's example there: as it is in
 * Node, and bundled by esbuild. Types are checked as a user's compiler checks them.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const typescript = join(root, "node_modules/typescript/bin/tsc");
const project = await mkdtemp(join(tmpdir(), "peristyle-pack-"));

/** Runs a program; gives what it printed. */
function run(command, args, cwd) {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  } catch (error) {
    throw new Error(`${command} ${args.join(" ")}:\n${error.stdout}`, { cause: error });
  }
}

/** Installs the package, with what it needs from the cache if all is there: a registry that is slow is no fault of ours. */
function install(file) {
  const arguments_ = ["install", "--no-audit", "--no-fund", "--silent", file];
  try {
    run("npm", [...arguments_, "--offline"], project);
  } catch {
    run("npm", [...arguments_, "--fetch-retries=5"], project);
  }
}

try {
  const [{ filename, files }] = JSON.parse(run("npm", ["pack", "--json", "--silent", "--pack-destination", project], root));
  const names = files.map(({ path }) => path);
  assert.deepEqual(names.filter((name) => !name.startsWith("dist/")).sort(), ["README.md", "package.json"]);
  await writeFile(join(project, "package.json"), `{ "name": "empty", "private": true, "type": "module" }\n`);
  install(`./${filename}`);

  // Every entry point is there, with its types.
  const { exports } = JSON.parse(await readFile(join(project, "node_modules/peristyle/package.json"), "utf8"));
  const targets = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)));
  for (const target of targets) {
    assert.ok(names.includes(target.slice(2)), `${target} is packed`);
  }

  // The example: blocks of code that begin with the name of their file.
  const readme = await readFile(join(project, "node_modules/peristyle/README.md"), "utf8");
  const blocks = Array.from(readme.matchAll(/^```js\n\/\/ ([\w.]+)([^]*?)^```$/gm), ([, name, text]) => [name, `//${text}`]);
  assert.deepEqual(blocks.map(([name]) => name), ["main.mjs", "physics.job.mjs"]);
  for (const [name, text] of blocks) await writeFile(join(project, name), text);
  const [, expected] = /console\.log\(.*\); \/\/ (.*)/.exec(readme);
  assert.equal(run(process.execPath, ["main.mjs"], project).trim(), expected);
  console.log(`the example prints ${expected}`);

  // The same as one bundle, with the job and the core beside it.
  const entryPoints = ["main.mjs", "physics.job.mjs"];
  const options = { absWorkingDir: project, bundle: true, splitting: true, format: "esm", platform: "node", target: "node20" };
  await build({ ...options, entryPoints, outdir: "bundled", outExtension: { ".js": ".mjs" } });
  await rm(join(project, "node_modules"), { recursive: true });
  assert.equal(run(process.execPath, ["bundled/main.mjs"], project).trim(), expected);
  console.log("and so it does when esbuild has bundled it");

  install(`./${filename}`);
  // Of tools that run in Node: their users have its types, and Vite's.
  const ofNode = ["./vite", "./server"];
  const use = (name, at) => `import * as entry${at} from "peristyle${name.slice(1)}";\nexport const use${at} = entry${at};`;
  const uses = Object.keys(exports).filter((name) => name !== "./worker" && !ofNode.includes(name)).map(use);
  const typed = `import { World, type ValueOf } from "peristyle";
const P = new World().defineComponent({ name: "P", fields: { x: "f32" } });
export const value: ValueOf<typeof P> = { x: 1 };
// @ts-expect-error there is no such field.
export const wrong: ValueOf<typeof P> = { y: 1 };\n`;
  await writeFile(join(project, "types.ts"), `${uses.join("\n")}\n${typed}`);
  const compilerOptions = {
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    module: "nodenext",
    target: "es2022",
    lib: ["es2022", "dom"],
    types: [],
  };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["types.ts"] }));
  run(process.execPath, [typescript, "-p", project], project);
  // Links, so that what those packages need is found where they are.
  await mkdir(join(project, "node_modules/@types"));
  for (const name of ["vite", "@types/node"]) await symlink(join(root, "node_modules", name), join(project, "node_modules", name));
  const served = `import { World } from "peristyle";
import { publishWorld } from "peristyle/server";
export const publication = publishWorld(new World(), { port: 0, onInput: (client, { bytes }) => void [client, bytes.length] });
// @ts-expect-error a port is a number.
publishWorld(new World(), { port: "0" });\n`;
  await writeFile(join(project, "node.ts"), `${ofNode.map(use).join("\n")}\n${served}`);
  const nodeOptions = { ...compilerOptions, types: ["node"] };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: nodeOptions, files: ["node.ts"] }));
  run(process.execPath, [typescript, "-p", project], project);
  console.log(`types of ${uses.length + ofNode.length} entry points are right`);
} finally {
  await rm(project, { recursive: true, force: true });
}
