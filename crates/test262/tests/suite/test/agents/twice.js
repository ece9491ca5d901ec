/*---
description: Broadcasts arrive one after the other.
---*/
$262.agent.start(`
  $262.agent.receiveBroadcast((first) => {
    $262.agent.receiveBroadcast((second, value) => {
      Atomics.store(new Int32Array(first), 0, value);
      Atomics.notify(new Int32Array(first), 0);
    });
  });
`);
const words = new Int32Array(new SharedArrayBuffer(4));
$262.agent.broadcast(words.buffer);
$262.agent.broadcast(words.buffer, 5);
assert(["ok", "not-equal"].includes(Atomics.wait(words, 0, 0)));
assert.same(words[0], 5);
