/*---
description: Throws something else.
flags: [onlyStrict]
negative:
  phase: runtime
  type: TypeError
---*/
throw new RangeError("no");
