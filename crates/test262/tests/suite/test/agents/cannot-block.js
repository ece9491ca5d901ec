/*---
description: An agent that may not block, and one that may.
flags: [CanBlockIsFalse]
---*/
assert.throws(TypeError, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0));
$262.agent.start(`
  $262.agent.report(Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0));
`);
let report;
while ((report = $262.agent.getReport()) === null) $262.agent.sleep(1);
assert.same(report, "timed-out");
