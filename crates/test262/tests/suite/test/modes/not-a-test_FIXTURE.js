/*---
description: Is no test.
---*/
throw "no test";
