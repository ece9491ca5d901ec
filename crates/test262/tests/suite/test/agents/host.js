/*---
description: What agents have.
---*/
$262.agent.start(`
  $262.agent.report(["start", "broadcast", "getReport"].map((name) => typeof $262.agent[name]).join());
  $262.agent.report(typeof $262.createRealm + typeof print + typeof console);
  const before = $262.agent.monotonicNow();
  $262.agent.sleep(20);
  $262.agent.report($262.agent.monotonicNow() - before >= 20);
  $262.agent.report({ toString: () => "an object" });
`);
const next = () => {
  for (;;) {
    const report = $262.agent.getReport();
    if (report !== null) return report;
    $262.agent.sleep(1);
  }
};
assert.same(next(), "undefined,undefined,undefined");
assert.same(next(), "functionfunctionundefined");
assert.same(next(), "true");
assert.same(next(), "an object");
