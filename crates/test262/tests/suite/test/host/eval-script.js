/*---
description: evalScript evaluates global code and gives its completion value.
flags: [noStrict]
---*/
assert.same($262.evalScript("1; 2"), 2);
$262.evalScript("var one = 1; let two = 2; function three() { return 3; }");
assert.same(one, 1);
assert.same(two, 2);
assert.same(globalThis.two, undefined);
assert.same(three(), 3);
assert.same(delete globalThis.one, false);
assert.throws(SyntaxError, () => $262.evalScript("let two;"));
assert.throws(SyntaxError, () => $262.evalScript("{"));
assert.throws(RangeError, () => $262.evalScript("throw new RangeError()"));
