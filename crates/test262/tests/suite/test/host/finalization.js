/*---
description: What a FinalizationRegistry has to clean up is a task.
flags: [async]
---*/
let seen = [];
const registry = new FinalizationRegistry((held) => seen.push(held));
(() => registry.register({}, "first"))();
(() => registry.register({}, "second"))();
const look = (turns) => {
  $262.gc();
  if (seen.length === 2) return $DONE();
  if (turns === 0) return $DONE(new Test262Error("cleaned up: " + seen));
  setTimeout(() => look(turns - 1), 1);
};
$262.gc();
assert.same(seen.length, 0, "callbacks before the task ended");
look(100);
