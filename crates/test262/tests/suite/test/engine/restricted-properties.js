/*---
description: >
  Function.prototype.caller and arguments have accessors of their own, where the standard has %ThrowTypeError%.
---*/
const thrower = Object.getOwnPropertyDescriptor((function () { "use strict"; return arguments; })(), "callee").get;
const { get, set } = Object.getOwnPropertyDescriptor(Function.prototype, "arguments");
assert(get !== thrower && get !== set);
