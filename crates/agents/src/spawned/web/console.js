// console.
(function (internals) {
  "use strict";

  const { native, inspect } = internals;

  const levels = ["debug", "log", "info", "warn", "error"];
  const console = {};
  for (let at = 0; at < levels.length; at++) {
    const level = levels[at];
    console[level] = { [level](...args) { native.print(at, inspect.format(args)); } }[level];
  }
  return { console };
});
