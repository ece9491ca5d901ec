/*---
description: >
  A function in a block that is called arguments replaces the arguments object, and one in two blocks is hoisted from the outer one.
flags: [noStrict]
---*/
const kind = (function () {
  { function arguments() {} }
  return typeof arguments;
})();
assert.same(kind, "function");
