process.on("exit", (code) => console.log("exit", code));
setTimeout(() => console.log("never"), 1000);
Promise.reject(new Error("rejected"));
