/*---
description: An early error.
flags: [module]
negative:
  phase: parse
  type: SyntaxError
---*/
let a; let a;
