/*---
description: Errors of what is imported by a script.
flags: [async]
---*/
const expected = [
  ["./wrong_FIXTURE.js", SyntaxError],
  ["./throws_FIXTURE.js", RangeError],
  ["./nowhere_FIXTURE.js", TypeError],
  ["./b_FIXTURE.json", TypeError],
];
(async () => {
  for (const [specifier, constructor] of expected) {
    let error;
    await import(specifier).catch((caught) => (error = caught));
    assert.same(error?.constructor, constructor, specifier);
  }
})().then(() => $DONE(), $DONE);
