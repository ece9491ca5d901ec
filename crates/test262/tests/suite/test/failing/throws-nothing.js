/*---
description: Throws nothing.
flags: [onlyStrict]
negative:
  phase: runtime
  type: TypeError
---*/
1;
