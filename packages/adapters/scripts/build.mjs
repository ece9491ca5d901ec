/**
 * Writes the modules and types of adapters to their `dist`: `node scripts/build.mjs react vue`; those of the folder it runs
 * in, if none is named. Each file is translated by itself, so that nothing else need be built before.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const named = process.argv.slice(2);

const compilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  isolatedModules: true,
};
const forms = [
  { ending: "js", translate: ts.transpileModule, options: {} },
  { ending: "d.ts", translate: ts.transpileDeclaration, options: { declaration: true, isolatedDeclarations: true } },
];

for (const adapter of named.length > 0 ? named : [basename(process.cwd())]) {
  const source = join(root, adapter, "src");
  const dist = join(root, adapter, "dist");
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  for (const fileName of await readdir(source)) {
    const text = await readFile(join(source, fileName), "utf8");
    const stem = fileName.replace(/\.ts$/, "");
    for (const { ending, translate, options } of forms) {
      const asked = { compilerOptions: { ...compilerOptions, ...options }, fileName, reportDiagnostics: true };
      const { outputText, diagnostics = [] } = translate(text, asked);
      const [wrong] = diagnostics;
      if (wrong) throw new Error(`${adapter}/src/${fileName}: ${ts.flattenDiagnosticMessageText(wrong.messageText, "\n")}`);
      await writeFile(join(dist, `${stem}.${ending}`), outputText);
    }
  }
}
