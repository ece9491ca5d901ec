/*---
description: Throws too late.
flags: [onlyStrict]
negative:
  phase: parse
  type: SyntaxError
---*/
throw new SyntaxError("no");
