/*---
description: Agents block, and are woken.
flags: [CanBlockIsTrue]
---*/
$262.agent.start(`
  $262.agent.receiveBroadcast((buffer) => {
    const words = new Int32Array(buffer);
    Atomics.store(words, 1, 1);
    Atomics.notify(words, 1);
    $262.agent.report(Atomics.wait(words, 0, 0));
    $262.agent.report(Atomics.wait(words, 0, 0, 1));
  });
`);
const words = new Int32Array(new SharedArrayBuffer(8));
$262.agent.broadcast(words.buffer);
Atomics.wait(words, 1, 0);
while (Atomics.notify(words, 0) === 0) $262.agent.sleep(1);
const next = () => {
  for (;;) {
    const report = $262.agent.getReport();
    if (report !== null) return report;
    $262.agent.sleep(1);
  }
};
assert.same(next(), "ok");
assert.same(next(), "timed-out");
