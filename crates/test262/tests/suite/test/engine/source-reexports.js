/*---
description: >
  A source that is imported and exported again is a local binding in this engine, so that two modules that do so give two
  bindings, which are ambiguous.
flags: [module]
negative:
  phase: resolution
  type: SyntaxError
---*/
import { shared } from "./both_FIXTURE.js";
