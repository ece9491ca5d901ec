/*---
description: Buffers are detached, shared ones are not.
---*/
const buffer = new ArrayBuffer(8);
const view = new Uint8Array(buffer);
$262.detachArrayBuffer(buffer);
assert.same(buffer.detached, true);
assert.same(view.length, 0);
assert.throws(TypeError, () => $262.detachArrayBuffer(new SharedArrayBuffer(8)));
assert.throws(TypeError, () => $262.detachArrayBuffer({}));
