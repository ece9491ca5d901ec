/*---
description: Includes what throws.
flags: [onlyStrict]
includes: [broken.js]
---*/
1;
