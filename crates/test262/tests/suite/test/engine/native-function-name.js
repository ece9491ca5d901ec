/*---
description: >
  The legacy accessors of RegExp show names that are no syntax.
---*/
const { get } = Object.getOwnPropertyDescriptor(RegExp, "$&");
assert(Function.prototype.toString.call(get).includes("$&()"));
