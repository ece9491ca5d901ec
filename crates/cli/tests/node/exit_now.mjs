process.on("exit", (code) => console.log("exit", code));
setTimeout(() => console.log("never"), 1000);
try {
  process.exit(300);
} catch {
  console.log("caught");
} finally {
  console.log("finally");
}
