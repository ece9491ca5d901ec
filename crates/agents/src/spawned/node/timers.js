// node:timers
(function (node) {
  "use strict";

  const exports = { ...node.timers };
  Object.defineProperty(exports, "promises", { get: () => node.builtin("timers/promises"), enumerable: true });
  return exports;
});
