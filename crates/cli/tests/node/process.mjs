import process, { argv, cwd, nextTick } from "node:process";

console.log(process === globalThis.process, argv.length, argv[1].endsWith("process.mjs"), process.argv === argv);
console.log(cwd() === process.cwd(), process.platform, process.arch, typeof process.pid, process.pid > 0, typeof nextTick);
const [seconds, nanoseconds] = process.hrtime();
console.log(Number.isInteger(seconds), Number.isInteger(nanoseconds), typeof process.hrtime.bigint(), process.hrtime([seconds, nanoseconds]).length);
console.log(process.hrtime.bigint() <= process.hrtime.bigint(), process.uptime() > 0, Object.keys(process.memoryUsage()));
console.log(process.memoryUsage().rss > 0, process.memoryUsage().heapUsed > 0);
process.stdout.write("written ");
process.stdout.write("twice\n", () => console.log("called back"));
process.stderr.write("to stderr\n");
console.log(String(process), Object.prototype.toString.call(process), typeof process.versions.node, /^v\d+\.\d+\.\d+$/.test(process.version));
process.on("warning", (warning) => console.log(warning.name, warning.message, warning.code));
process.emitWarning("careful", { type: "Special", code: "C1" });
for (const code of [1.5, "x", {}]) {
  try {
    process.exitCode = code;
  } catch (error) {
    console.log(error.name, error.code);
  }
}
process.on("exit", (code) => {
  console.log("exit", code, process.exitCode);
  setTimeout(() => console.log("never"), 0);
  process.exitCode = 6;
});
process.exitCode = 5;
