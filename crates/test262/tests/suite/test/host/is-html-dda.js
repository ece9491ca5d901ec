/*---
description: An object that says that it is undefined.
features: [IsHTMLDDA]
---*/
const { IsHTMLDDA } = $262;
assert.same(typeof IsHTMLDDA, "undefined");
assert(IsHTMLDDA == null && IsHTMLDDA !== undefined && IsHTMLDDA !== null);
assert.same(IsHTMLDDA(), null);
assert.same(IsHTMLDDA(""), null);
assert.same(Boolean(IsHTMLDDA), false);
