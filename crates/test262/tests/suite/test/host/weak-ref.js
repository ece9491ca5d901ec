/*---
description: A WeakRef keeps its target for the task, and not for ever.
flags: [async]
---*/
const ref = new WeakRef({});
$262.gc();
assert.same(typeof ref.deref(), "object", "within the task");
const look = (turns) => {
  $262.gc();
  if (ref.deref() === undefined) return $DONE();
  if (turns === 0) return $DONE(new Test262Error("still there"));
  setTimeout(() => look(turns - 1), 1);
};
setTimeout(() => look(100), 1);
