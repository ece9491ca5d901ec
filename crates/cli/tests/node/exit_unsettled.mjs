process.on("exit", (code) => console.log("exit", code));
console.log("waits");
await new Promise(() => {});
