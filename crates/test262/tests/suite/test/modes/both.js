/*---
description: Runs twice.
---*/
var strict = (function () { return this === undefined; })();
if (strict) assert.throws(ReferenceError, () => { undeclared = 1; });
else undeclared = 1;
