// node:module
(function (node) {
  "use strict";

  const createRequire = (filename) => {
    const path = typeof filename === "string" && !filename.startsWith("file:") ? filename : node.builtin("url").fileURLToPath(filename);
    return node.requireFrom(path);
  };
  return { createRequire, builtinModules: node.seat.modules, isBuiltin: (name) => node.isBuiltin(name) !== undefined };
});
