// node:fs/promises, as far as it reads.
(function (node) {
  "use strict";

  const fs = node.builtin("fs");
  const exports = { constants: fs.constants };
  for (const name of Object.keys(fs.sync)) {
    exports[name] = (...args) =>
      new Promise((resolve, reject) => fs[name](...args, (error, value) => (error ? reject(error) : resolve(value))));
  }
  return exports;
});
