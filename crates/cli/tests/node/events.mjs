import EventEmitter, { once, on, errorMonitor, EventEmitter as Named } from "node:events";

console.log(EventEmitter === Named, EventEmitter.defaultMaxListeners, EventEmitter.name);
const emitter = new EventEmitter();
emitter.on("newListener", (name, listener) => console.log("new", name, typeof listener));
const f = (...args) => console.log("f", ...args);
emitter.on("a", f).once("a", () => console.log("once")).prependListener("a", () => console.log("first"));
console.log(emitter.emit("a", 1, 2), emitter.emit("a"), emitter.emit("b"));
console.log(emitter.listenerCount("a"), emitter.eventNames(), emitter.listeners("a").length);
emitter.removeListener("a", f);
emitter.on("removeListener", (name) => console.log("removed", name));
emitter.removeAllListeners("a");
console.log(emitter.listenerCount("a"));
for (const error of [new TypeError("an error"), "text", undefined]) {
  try {
    emitter.emit("error", error);
  } catch (caught) {
    console.log(caught.name, caught.code, caught.message, caught.context);
  }
}
emitter.on(errorMonitor, (error) => console.log("monitor", String(error)));
emitter.once("error", (error) => console.log("handled", String(error)));
emitter.emit("error", "x");
setTimeout(() => emitter.emit("later", 1, 2), 1);
console.log(await once(emitter, "later"));
setTimeout(() => emitter.emit("error", new Error("instead")), 1);
await once(emitter, "later").catch((error) => console.log(error.message));
setTimeout(() => {
  emitter.emit("many", 1);
  emitter.emit("many", 2);
}, 1);
for await (const [value] of on(emitter, "many")) {
  console.log(value);
  if (value === 2) break;
}
class Own extends EventEmitter {
  constructor() {
    super();
    this.x = 1;
  }
}
console.log(new Own().on("x", f) instanceof EventEmitter, new Own().emit("x"));
function Old() {
  EventEmitter.call(this);
}
Object.setPrototypeOf(Old.prototype, EventEmitter.prototype);
console.log(new Old().on("x", () => console.log("old")).emit("x"));
try {
  emitter.on("x", 5);
} catch (error) {
  console.log(error.code, error.message);
}
