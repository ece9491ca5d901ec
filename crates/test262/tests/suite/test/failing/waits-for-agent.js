/*---
description: Waits for an agent that loops.
flags: [onlyStrict]
---*/
$262.agent.start("for (;;);");
$262.agent.broadcast(new SharedArrayBuffer(4));
