/*---
description: A new realm has intrinsics and a host object of its own.
---*/
const other = $262.createRealm();
assert(other !== $262 && other.global !== globalThis);
assert.same(other.evalScript("this"), other.global);
assert.same(other.global.$262, other);
assert(other.global.Array !== Array && !([] instanceof other.global.Array));
assert(Array.isArray(new other.global.Array()));
assert.throws(other.global.TypeError, () => other.global.Array.prototype.map.call([1], 1));
assert.same(new Int32Array(new other.global.SharedArrayBuffer(8)).length, 2);
assert.same(typeof other.createRealm().global.Map, "function");
