/*---
description: Its agent throws.
flags: [onlyStrict]
---*/
$262.agent.start("throw new TypeError('in the agent');");
$262.agent.sleep(1);
$262.agent.broadcast(new SharedArrayBuffer(4));
throw new Test262Error("afterwards");
