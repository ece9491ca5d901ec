/*---
description: Throws what is no error.
flags: [onlyStrict]
---*/
throw null;
