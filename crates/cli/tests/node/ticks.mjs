setTimeout(() => {
  console.log("timer");
  Promise.resolve().then(() => console.log("promise"));
  process.nextTick((value) => console.log("tick", value), 1);
  process.nextTick(() => {
    console.log("tick 2");
    process.nextTick(() => console.log("tick in tick"));
    Promise.resolve().then(() => console.log("promise in tick"));
  });
  queueMicrotask(() => process.nextTick(() => console.log("tick in microtask")));
}, 1);
Promise.resolve().then(() => console.log("main promise"));
process.nextTick(() => console.log("main tick"));
setImmediate(() => console.log("immediate"));
console.log("main");
try {
  process.nextTick("x");
} catch (error) {
  console.log(error.code);
}
