/*---
description: >
  AsyncIterator.prototype[Symbol.asyncDispose] calls return with an argument, where the standard has none.
---*/
let count;
const proto = Object.getPrototypeOf(Object.getPrototypeOf(Object.getPrototypeOf((async function* () {})())));
proto[Symbol.asyncDispose].call({ return() { count = arguments.length; return {}; } });
assert.same(count, 1);
