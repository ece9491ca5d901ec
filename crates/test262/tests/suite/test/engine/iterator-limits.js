/*---
description: >
  Limits of take and drop that are no safe integers are taken, where the standard has a RangeError.
---*/
[].values().drop(2 ** 53);
[].values().take(2 ** 53 + 2);
