/*---
description: Loops.
flags: [onlyStrict]
---*/
for (;;) try { for (;;); } finally { continue; }
