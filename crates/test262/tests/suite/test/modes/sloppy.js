/*---
description: Runs in sloppy mode.
flags: [noStrict]
---*/
assert.same((function () { return this; })(), globalThis);
with ({ a: 1 }) assert.same(a, 1);
