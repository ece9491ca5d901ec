/*---
description: Says that it failed.
flags: [async, onlyStrict]
---*/
Promise.reject(new Error("by itself")).catch($DONE);
