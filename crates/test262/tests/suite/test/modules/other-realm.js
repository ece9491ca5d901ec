/*---
description: Each realm has modules of its own.
flags: [async]
---*/
const other = $262.createRealm();
Promise.all([import("./a_FIXTURE.js"), other.evalScript("import('./a_FIXTURE.js')")]).then(([ours, theirs]) => {
  assert(ours !== theirs);
  ours.add();
  assert.same(theirs.count, 0);
  $DONE();
}).catch($DONE);
