import lib from "./shared/lib.cjs";
import { createRequire } from "node:module";

console.log(lib.name, lib.directory, lib.data, lib.joined, lib.other(), lib.isSame);
const require = createRequire(import.meta.url);
console.log(require("./shared/lib.cjs") === lib, require("node:path").join("x", "y"), require("./shared/data.json") === lib.data);
for (const name of ["./shared/nothing.cjs", "node:nothing"]) {
  try {
    require(name);
  } catch (error) {
    console.log(error.code);
  }
}
const dynamic = await import("./shared/lib.cjs");
console.log(dynamic.default === lib);
