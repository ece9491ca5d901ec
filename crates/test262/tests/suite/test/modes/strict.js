/*---
description: Runs in strict mode.
flags: [onlyStrict]
---*/
assert.same((function () { return this; })(), undefined);
