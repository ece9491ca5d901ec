/**
 * Checks the site's snippets: every included file is there, TypeScript compiles, and JavaScript prints what the page says.
 *
 * `node docs/site/check.mjs`, after `npm ci` and `npm run build` in `packages/peristyle`. Rust is included from examples, which
 * cargo compiles; pages of adapters are their READMEs, which their own tests compile. `--write` writes what examples print.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const site = fileURLToPath(new URL(".", import.meta.url));
const examples = join(site, "examples/javascript");
const library = fileURLToPath(new URL("../../packages/peristyle/", import.meta.url));
const ts = createRequire(join(library, "package.json"))("typescript");

const pages = readdirSync(join(site, "src"), { recursive: true })
  .filter((name) => name.endsWith(".md"))
  .map((name) => join(site, "src", name));
const problems = [];

// Within the package, so that its own name is found, as in an app that has installed it.
const folder = mkdtempSync(join(library, "site-"));
try {
  checkIncludes();
  checkTypes();
  checkPrograms();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const problem of problems) console.error(problem);
console.log(`${pages.length} pages, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

function checkIncludes() {
  for (const page of pages) {
    for (const [, path] of readFileSync(page, "utf8").matchAll(/\{\{#include ([^:}]+)/g)) {
      if (!existsSync(join(dirname(page), path))) problems.push(`${relative(site, page)}: there is no ${path}`);
    }
  }
}

/** Each block of TypeScript is a module of its own. */
function checkTypes() {
  const names = new Map();
  for (const page of pages) {
    for (const [index, [, code]] of [...readFileSync(page, "utf8").matchAll(/^```ts\n([^]*?)^```$/gm)].entries()) {
      const file = join(folder, `block${names.size}.ts`);
      names.set(file, `${relative(site, page)}, block ${index + 1}`);
      writeFileSync(file, `${code}\nexport {};\n`);
    }
  }
  const { config } = ts.readConfigFile(join(library, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, library);
  const typeRoots = [join(library, "node_modules/@types")];
  const program = ts.createProgram([...names.keys()], { ...options, typeRoots, noUnusedLocals: false });
  const blocks = [...names.keys()].map((file) => program.getSourceFile(file));
  for (const { file, start, messageText } of blocks.flatMap((block) => ts.getPreEmitDiagnostics(program, block))) {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1;
    const where = file === undefined ? "the compiler" : `${names.get(file.fileName)}, line ${line}`;
    problems.push(`${where}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  }
}

/** Each example with a text beside it prints that text. */
function checkPrograms() {
  cpSync(examples, folder, { recursive: true });
  const programs = readdirSync(examples).filter((name) => name.endsWith(".mjs") && !name.includes(".job."));
  for (const name of programs) {
    const text = join(examples, name.replace(/mjs$/, "txt"));
    const printed = execFileSync(process.execPath, [join(folder, name)], { encoding: "utf8", timeout: 120_000 });
    if (process.argv.includes("--write")) writeFileSync(text, printed);
    if (!existsSync(text) || readFileSync(text, "utf8") !== printed) problems.push(`${name} prints:\n${printed}`);
  }
}
