/*---
description: Throws in a task.
flags: [async, onlyStrict]
---*/
setTimeout(() => { throw new RangeError("in a task"); }, 1);
