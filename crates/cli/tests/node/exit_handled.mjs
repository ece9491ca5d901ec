process.on("uncaughtException", (error, origin) => console.log("handled", error.message, origin));
process.on("exit", (code) => console.log("exit", code));
setTimeout(() => {
  throw new Error("one");
}, 1);
setTimeout(() => {
  Promise.reject(new Error("two"));
}, 10);
setTimeout(() => console.log("goes on"), 30);
throw new Error("main");
