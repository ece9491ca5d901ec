/*---
description: A broadcast waits for no agent that has ended.
---*/
$262.agent.start("$262.agent.report('ran');");
while ($262.agent.getReport() === null) $262.agent.sleep(1);
$262.agent.broadcast(new SharedArrayBuffer(4));
$262.agent.start("throw new Error('in the agent');");
$262.agent.broadcast(new SharedArrayBuffer(4));
