/** The code in each adapter's page compiles, and each adapter is packed with its page, its module and its types. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { compile } from "svelte/compiler";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
let folder;
// Below the package, so that frameworks are found.
before(async () => (folder = await mkdtemp(join(root, "test/readme-"))));
after(() => rm(folder, { recursive: true, force: true }));

/** The blocks of code of a page, with their languages. */
async function blocks(name) {
  const page = await readFile(join(root, name, "README.md"), "utf8");
  return Array.from(page.matchAll(/^```(tsx?|svelte)\n([^]*?)^```$/gm), ([, language, code]) => ({ language, code }));
}

function errorsOf(files) {
  const path = join(root, "test/apps/tsconfig.json");
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(path, ts.sys.readFile).config, ts.sys, join(root, "test/apps"));
  const program = ts.createProgram(files, { ...options, noUnusedLocals: false });
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${file?.fileName}:${line}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
}

for (const name of ["react", "vue", "svelte", "solid", "angular"]) {
  test(name, async () => {
    await writeFile(join(folder, "app.worker.ts"), "export class Counter { count = 0; increase(): number { return ++this.count; } }");
    const files = [];
    const found = await blocks(name);
    assert.ok(found.length >= 2, `${found.length} blocks`);
    for (const [at, { language, code }] of found.entries()) {
      if (language === "svelte") {
        assert.deepEqual(compile(code, { generate: "client", filename: `${name}${at}.svelte` }).warnings, []);
        continue;
      }
      const file = join(folder, `${name}${at}.${language}`);
      const pragma = name === "solid" ? "/** @jsxImportSource solid-js */\n" : "";
      // A module of its own, whatever it exports.
      await writeFile(file, `${pragma}${code}\nexport {};\n`);
      files.push(file);
    }
    assert.deepEqual(errorsOf(files), []);
  });
}

test("packages", () => {
  const text = execFileSync("npm", ["pack", "--workspaces", "--dry-run", "--json", "--silent"], { cwd: root, encoding: "utf8" });
  const packed = Object.fromEntries(JSON.parse(text).map(({ name, files }) => [name, files.map(({ path }) => path).sort()]));
  const files = ["README.md", "dist/index.d.ts", "dist/index.js", "package.json"];
  const names = ["angular", "react", "solid", "svelte", "vue"].map((name) => `peristyle-${name}`);
  assert.deepEqual(packed, Object.fromEntries(names.map((name) => [name, files])));
});
