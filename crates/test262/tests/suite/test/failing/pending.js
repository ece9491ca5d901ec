/*---
description: Is never evaluated.
flags: [module]
---*/
await new Promise(() => {});
