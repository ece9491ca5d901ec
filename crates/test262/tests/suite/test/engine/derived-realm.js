/*---
description: >
  A derived constructor of another realm that returns wrongly throws an error of that realm, where the standard has the
  caller's: its context is gone by then.
---*/
const other = $262.createRealm();
const Derived = other.evalScript("(class extends Object { constructor() { return null; } })");
assert.throws(other.global.TypeError, () => new Derived());
