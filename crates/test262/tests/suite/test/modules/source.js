/*---
description: A module's source.
flags: [module]
features: [source-phase-imports-module-source]
---*/
import source empty from "<module source>";
assert(empty instanceof WebAssembly.Module);
assert.same(WebAssembly.Module.exports(empty).length, 0);
assert.same(await import.source("<module source>"), empty);
