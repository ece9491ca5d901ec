/*---
description: An import that cannot be parsed.
flags: [module]
negative:
  phase: resolution
  type: SyntaxError
---*/
import "./wrong_FIXTURE.js";
