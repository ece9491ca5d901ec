/*---
description: >
  The properties length and name of a class or function come after those that are defined later, where the standard has them first.
---*/
class A { static a() {} }
assert.same(Reflect.ownKeys(A).join(), "prototype,a,length,name");
const f = () => {};
Object.defineProperty(f, "a", { enumerable: true });
Object.defineProperty(f, "length", { enumerable: true });
assert.same(Object.keys(f).join(), "a,length");
