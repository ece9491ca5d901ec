/*---
description: >
  The key of a property of null is made a key before null is refused, where the standard refuses null first in compound
  assignments.
---*/
const key = { toString: () => { throw new RangeError(); } };
assert.throws(RangeError, () => { null[key] += 1; });
assert.throws(RangeError, () => { null[key]++; });
