/**
 * Checks the site's snippets: everything that is included is there, TypeScript compiles, and programs print what the page says.
 *
 * `node docs/site/check.mjs [--write] [NAME ...]`, after `npm ci` and `npm run build` in `packages/peristyle`, and after `cargo
 * build --workspace --examples`. Pages of adapters are their READMEs, which their own tests compile. `--write` writes what
 * programs print; names choose programs.
 *
 * Programs are `examples/javascript/*.mjs`, `examples/typescript/*.ts`, and the crates' examples that have a text in
 * `examples/rust`. A `.sh` beside a program is run before it, in the repository.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const site = fileURLToPath(new URL(".", import.meta.url));
const repository = fileURLToPath(new URL("../..", import.meta.url));
const examples = join(site, "examples");
const built = join(process.env.CARGO_TARGET_DIR ?? join(repository, "target"), "debug/examples");
/** Programs that follow another: it is started before, and its first line is an argument. */
const SERVED_BY = { "counter_client.ts": "counter_app" };
const library = fileURLToPath(new URL("../../packages/peristyle/", import.meta.url));
const ts = createRequire(join(library, "package.json"))("typescript");

const pages = readdirSync(join(site, "src"), { recursive: true })
  .filter((name) => name.endsWith(".md"))
  .map((name) => join(site, "src", name));
const sources = ["javascript", "typescript"].flatMap((folder) =>
  readdirSync(join(examples, folder))
    .filter((name) => /\.(mjs|ts)$/.test(name) && !/\.(job|worker)\./.test(name))
    .map((name) => join(examples, folder, name)),
);
const names = process.argv.slice(2).filter((argument) => argument !== "--write");
const problems = [];

// Within the package, so that its own name is found, as in an app that has installed it.
const folder = mkdtempSync(join(library, "site-"));
try {
  checkIncludes();
  checkTypes();
  await checkPrograms();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const problem of problems) console.error(problem);
console.log(`${pages.length} pages, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

function checkIncludes() {
  for (const page of pages) {
    for (const [, path, anchor] of readFileSync(page, "utf8").matchAll(/\{\{#include ([^:}]+)(?::([^}]+))?\}\}/g)) {
      const file = join(dirname(page), path);
      if (!existsSync(file)) problems.push(`${relative(site, page)}: there is no ${path}`);
      else if (anchor && !readFileSync(file, "utf8").includes(`ANCHOR: ${anchor}\n`)) {
        problems.push(`${relative(site, page)}: ${path} has no anchor ${anchor}`);
      }
    }
  }
}

/** Each block of TypeScript is a module of its own, and so is each program. */
function checkTypes() {
  const shown = new Map();
  const add = (name, code) => {
    const file = join(folder, `block${shown.size}.ts`);
    shown.set(file, name);
    writeFileSync(file, `${code}\nexport {};\n`);
  };
  for (const page of pages) {
    for (const [index, [, code]] of [...readFileSync(page, "utf8").matchAll(/^```ts\n([^]*?)^```$/gm)].entries()) {
      // What is included is a program.
      if (!code.startsWith("{{")) add(`${relative(site, page)}, block ${index + 1}`, code);
    }
  }
  for (const source of sources.filter((name) => name.endsWith(".ts"))) add(basename(source), readFileSync(source, "utf8"));
  const { config } = ts.readConfigFile(join(library, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, library);
  const typeRoots = [join(library, "node_modules/@types")];
  const program = ts.createProgram([...shown.keys()], { ...options, typeRoots, noUnusedLocals: false });
  const blocks = [...shown.keys()].map((file) => program.getSourceFile(file));
  for (const { file, start, messageText } of blocks.flatMap((block) => ts.getPreEmitDiagnostics(program, block))) {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1;
    const where = file === undefined ? "the compiler" : `${shown.get(file.fileName)}, line ${line}`;
    problems.push(`${where}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  }
}

/** Each program prints the text beside it. */
async function checkPrograms() {
  cpSync(join(examples, "javascript"), folder, { recursive: true });
  const isWanted = (path) => names.length === 0 || names.includes(basename(path).replace(/\.\w+$/, ""));
  for (const source of sources.filter(isWanted)) {
    const text = source.replace(/\.\w+$/, ".txt");
    await checkProgram(source, text, () => runScript(source));
  }
  for (const text of readdirSync(join(examples, "rust")).map((name) => join(examples, "rust", name)).filter(isWanted)) {
    await checkProgram(text, text, () => output(join(built, basename(text, ".txt")), []));
  }
}

async function checkProgram(name, text, run) {
  let printed;
  try {
    printed = await run();
  } catch (error) {
    problems.push(`${basename(name)}: ${error.message}`);
    return;
  }
  if (process.argv.includes("--write")) writeFileSync(text, printed);
  if (!existsSync(text) || readFileSync(text, "utf8") !== printed) problems.push(`${basename(name)} prints:\n${printed}`);
}

async function runScript(source) {
  const before = source.replace(/\.\w+$/, ".sh");
  if (existsSync(before)) {
    const env = { ...process.env, OUT: folder, PATH: `/usr/lib/llvm-19/bin:${process.env.PATH}` };
    execFileSync("sh", ["-e", before], { cwd: repository, env, timeout: 120_000 });
  }
  let file = join(folder, basename(source));
  if (source.endsWith(".ts")) {
    const { options: compilerOptions } = ts.convertCompilerOptionsFromJson({ target: "ES2022", module: "ESNext" }, site);
    const { outputText } = ts.transpileModule(readFileSync(source, "utf8"), { compilerOptions });
    writeFileSync((file = file.replace(/ts$/, "mjs")), outputText);
  }
  const host = SERVED_BY[basename(source)];
  if (!host) return output(process.execPath, [file]);
  const served = spawn(join(built, host), ["127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(served, "spawn");
    const [line] = await once(served.stdout.setEncoding("utf8"), "data");
    return output(process.execPath, [file, line.trim()]);
  } finally {
    served.kill();
  }
}

/** What a program prints. */
function output(program, args) {
  return execFileSync(program, args, { cwd: folder, encoding: "utf8", timeout: 120_000, stdio: ["ignore", "pipe", "pipe"] });
}
