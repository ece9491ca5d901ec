// What Rust reads of Map and Set.
(function (internals) {
  "use strict";

  const { apply } = internals;
  const { entries } = Map.prototype;
  const { values } = Set.prototype;

  internals.entries = (value, isMap) => [...apply(isMap ? entries : values, value, [])];
  return {};
});
