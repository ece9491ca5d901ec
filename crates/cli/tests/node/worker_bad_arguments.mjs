import { Worker } from "node:worker_threads";

const attempt = (f) => {
  try {
    f();
    console.log("worked");
  } catch (error) {
    console.log(error.name, error.code, error.code === 25 || error.message);
  }
};
attempt(() => new Worker("relative.mjs"));
attempt(() => new Worker("file:///x.mjs"));
attempt(() => new Worker(7));
attempt(() => new Worker(new URL("http://example.com/x.mjs")));
attempt(() => new Worker("1", { eval: true, workerData: () => {} }));
attempt(() => new Worker("1", { eval: true, argv: "x" }));
attempt(() => new Worker(new URL("file:///x"), { eval: true }));
attempt(() => new Worker("1", { eval: true, env: 5 }));
const missing = new Worker("./no-such-file.mjs");
missing.on("error", (error) => console.log("error", error instanceof Error));
missing.on("exit", (code) => console.log("exit", code));
