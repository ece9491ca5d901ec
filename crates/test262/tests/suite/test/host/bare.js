/*---
description: The global object has nothing but the language and the host's two names.
---*/
for (const name of ["console", "postMessage", "Worker", "structuredClone", "self", "onmessage", "performance"]) {
  assert.same(typeof globalThis[name], "undefined", name);
}
for (const name of ["$262", "print"]) {
  const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(globalThis, name);
  assert(writable && !enumerable && configurable, name);
}
assert.same($262.global, globalThis);
assert.same(Object.getPrototypeOf($262), Object.prototype);
for (const name of ["createRealm", "detachArrayBuffer", "evalScript", "gc", "AbstractModuleSource"]) {
  assert.same(typeof $262[name], "function", name);
}
for (const name of ["start", "broadcast", "getReport", "sleep", "monotonicNow"]) {
  assert.same(typeof $262.agent[name], "function", name);
}
