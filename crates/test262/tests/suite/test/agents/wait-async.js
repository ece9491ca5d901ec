/*---
description: Agents have event loops.
flags: [async]
---*/
$262.agent.start(`
  $262.agent.receiveBroadcast(async (buffer) => {
    const words = new Int32Array(buffer);
    const waiting = Atomics.waitAsync(words, 0, 0);
    $262.agent.report("waits " + waiting.async);
    $262.agent.report(await waiting.value);
    $262.agent.report(await Atomics.waitAsync(words, 0, 0, 5).value);
    $262.agent.leaving();
  });
`);
const words = new Int32Array(new SharedArrayBuffer(4));
$262.agent.broadcast(words.buffer);
const reports = [];
const look = () => {
  const report = $262.agent.getReport();
  if (report === "waits true") Atomics.notify(words, 0);
  if (report !== null) reports.push(report);
  if (reports.length < 3) return setTimeout(look, 1);
  $DONE(reports.join() === "waits true,ok,timed-out" ? undefined : new Test262Error(reports.join()));
};
look();
