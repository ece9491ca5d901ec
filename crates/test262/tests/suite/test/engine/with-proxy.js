/*---
description: >
  A name in a with statement asks the object less often than the standard says.
flags: [noStrict]
---*/
const log = [];
const scope = new Proxy({ p: 1 }, {
  has: (target, key) => (log.push("has " + String(key)), key in target),
  get: (target, key) => (log.push("get " + String(key)), target[key]),
});
with (scope) p;
assert.same(log.join(), "has p,get Symbol(Symbol.unscopables),get p");
