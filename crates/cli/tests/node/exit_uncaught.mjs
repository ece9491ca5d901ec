process.on("exit", (code) => console.log("exit", code));
setTimeout(() => console.log("never"), 1000);
setTimeout(() => {
  throw new Error("uncaught");
}, 1);
