/*---
description: An early error.
negative:
  phase: parse
  type: SyntaxError
---*/
let a; let a;
