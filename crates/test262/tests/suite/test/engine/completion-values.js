/*---
description: >
  A statement whose value is empty leaves that of the statement before it, where the standard has undefined.
---*/
assert.same((0, eval)("do { 1; if (true) break; } while (false)"), 1);
assert.same((0, eval)("1; if (false) 2;"), 1);
assert.same((0, eval)("var i; 1; switch (0) { default: }"), 1);
