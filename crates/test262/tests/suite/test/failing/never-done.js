/*---
description: Never says that it is done.
flags: [async, onlyStrict]
---*/
setTimeout(() => {}, 1);
