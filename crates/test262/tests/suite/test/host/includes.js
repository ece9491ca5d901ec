/*---
description: Included files are evaluated first.
includes: [twice.js]
---*/
assert.same(twice(3).join(), "3,3");
