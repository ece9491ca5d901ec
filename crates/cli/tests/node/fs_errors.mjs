import fs, { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";

const here = fileURLToPath(import.meta.url);
const shared = join(dirname(here), "shared");
console.log(readFileSync(new URL(import.meta.url), "utf8").length === statSync(here).size, existsSync(here), existsSync("/nowhere"));
console.log(readdirSync(shared).sort(), readdirSync(shared, { withFileTypes: true }).every((entry) => entry.isFile()));
console.log(readFileSync(join(shared, "data.json"), "utf8"), readFileSync(join(shared, "data.json")), (await readFile(join(shared, "data.json"))).toString("base64"));
console.log(statSync(shared).isDirectory(), statSync(here).isFile(), statSync(here).mtime instanceof Date, statSync("/nowhere", { throwIfNoEntry: false }));
for (const attempt of [() => readFileSync("/nowhere/x"), () => readFileSync(shared), () => readdirSync(here), () => statSync("/nowhere"), () => readFileSync("a\0b"), () => fs.accessSync("/nowhere")]) {
  try {
    attempt();
    console.log("worked");
  } catch (error) {
    console.log(error.name, error.code, error.errno, error.syscall, error.path, error.message);
  }
}
await readFile("/nowhere").catch((error) => console.log(error.code, error.message));
fs.readFile(join(shared, "data.json"), "utf8", (error, text) => console.log(error, JSON.parse(text)));
console.log(fs.realpathSync(shared) === shared, fs.constants.R_OK);
