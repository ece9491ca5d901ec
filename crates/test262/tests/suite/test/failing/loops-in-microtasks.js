/*---
description: Loops in microtasks.
flags: [async, onlyStrict]
---*/
(async () => { for (;;) await 1; })();
