/*---
description: Microtasks run before the next task.
flags: [async]
---*/
const order = [];
setTimeout(() => {
  order.push("task");
  $DONE(order.join() === "script,micro 1,micro 2,task" ? undefined : new Test262Error(order.join()));
}, 0);
Promise.resolve().then(() => order.push("micro 1")).then(() => order.push("micro 2"));
order.push("script");
