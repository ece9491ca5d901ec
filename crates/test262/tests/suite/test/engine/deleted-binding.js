/*---
description: >
  A strict assignment to a binding that its right side deletes makes the property again, where the standard has a ReferenceError.
flags: [noStrict]
---*/
const scope = { x: 1 };
with (scope) {
  (function () {
    "use strict";
    x = (delete scope.x, 2);
  })();
}
assert.same(scope.x, 2);
