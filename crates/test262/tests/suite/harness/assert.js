function assert(holds, message) {
  if (holds !== true) throw new Test262Error(message || "expected true, found " + String(holds));
}
assert.same = function (found, expected, message) {
  if (!Object.is(found, expected)) {
    throw new Test262Error((message || "a value") + ": expected " + String(expected) + ", found " + String(found));
  }
};
assert.throws = function (constructor, body) {
  try {
    body();
  } catch (error) {
    assert.same(error.constructor, constructor, "the error's constructor");
    return;
  }
  throw new Test262Error("expected " + constructor.name + ", but nothing was thrown");
};
