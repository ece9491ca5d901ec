/*---
description: An import that throws.
flags: [module]
negative:
  phase: runtime
  type: RangeError
---*/
import "./throws_FIXTURE.js";
