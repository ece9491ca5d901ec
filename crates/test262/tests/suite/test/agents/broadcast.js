/*---
description: A broadcast reaches all agents, with shared memory and a number.
---*/
for (const id of ["a", "b", "c"]) {
  $262.agent.start(`
    $262.agent.receiveBroadcast((buffer, value) => {
      const words = new Int32Array(buffer);
      Atomics.add(words, 0, 1);
      $262.agent.report("${id}" + typeof value + value);
      $262.agent.leaving();
    });
  `);
}
const words = new Int32Array(new SharedArrayBuffer(8));
$262.agent.broadcast(words.buffer, 7n);
const reports = [];
while (reports.length < 3) {
  const report = $262.agent.getReport();
  if (report === null) $262.agent.sleep(1);
  else reports.push(report);
}
assert.same(reports.sort().join(), "abigint7,bbigint7,cbigint7");
assert.same(Atomics.load(words, 0), 3);
assert.same($262.agent.getReport(), null);
