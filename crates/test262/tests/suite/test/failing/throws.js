/*---
description: Throws.
flags: [onlyStrict]
---*/
assert.same(1, 2, "a number");
