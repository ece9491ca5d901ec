/*---
description: What agents still do when a test is over keeps nothing.
---*/
$262.agent.start("for (;;);");
$262.agent.start("$262.agent.receiveBroadcast(() => {});");
$262.agent.start("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);");
$262.agent.start("$262.agent.sleep(1e9);");
$262.agent.start("Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0);");
