/*---
description: >
  Module sources of this engine do not inherit from %AbstractModuleSource%, which its release versions have beside them.
---*/
assert.same(typeof $262.AbstractModuleSource, "function");
assert.same(Object.getPrototypeOf(WebAssembly.Module.prototype), Object.prototype);
assert.same(Object.getPrototypeOf(WebAssembly.Module), Function.prototype);
