// The agent's clock, and what it runs on.
(function (internals) {
  "use strict";

  const { native } = internals;
  const timeOrigin = Date.now() - native.now();
  return {
    performance: { now: () => native.now(), timeOrigin },
    navigator: { hardwareConcurrency: native.cores() },
  };
});
