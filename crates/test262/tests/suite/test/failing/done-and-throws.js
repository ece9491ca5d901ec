/*---
description: Says that it is done, and throws.
flags: [async, onlyStrict]
---*/
$DONE();
throw new RangeError("afterwards");
