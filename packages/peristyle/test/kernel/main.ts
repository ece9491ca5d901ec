/** The sparks for hosts that run a file by itself: stepped by the kernel that is named, and by TypeScript. */
import { pathToFileURL } from "node:url";
import { sparks } from "./sparks.js";

console.log(`kernel ${await sparks({ job: { kernel: pathToFileURL(process.argv[2]) } })}`);
console.log(`job ${await sparks({ job: { module: new URL("./sparks.job.ts", import.meta.url) } })}`);
