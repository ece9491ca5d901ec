/*---
description: A script imports itself as a module.
flags: [async]
---*/
var top = "a script has it";
import("./self.js").then((namespace) => {
  assert.same(Object.keys(namespace).length, 0);
  $DONE();
}, $DONE);
