/*---
description: The host does not depend on what a test replaces.
flags: [async, noStrict]
---*/
Object.defineProperty = Array.prototype.push = Function.prototype.call = Reflect.apply = () => {
  throw new Test262Error("the host uses what a test may replace");
};
Promise.prototype.then = Object.defineProperty;
String = Number = undefined;
print("a line");
$262.createRealm();
setTimeout(() => $DONE(), 1);
