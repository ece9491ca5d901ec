/*---
description: An import that is not exported.
flags: [module]
negative:
  phase: resolution
  type: SyntaxError
---*/
import { nothing } from "./a_FIXTURE.js";
