// Timers.
(function (internals) {
  "use strict";

  const { native, apply } = internals;
  const { Map, Math, TypeError } = globalThis;

  const timers = new Map();
  let timersBefore = 0;
  const timer = (again, callback, delay, args) => {
    if (typeof callback !== "function") throw new TypeError("a timer's callback must be a function");
    delay = +delay;
    // As the web does it: no number is 0, and what does not fit in 31 bits is, too.
    delay = delay >= 0 && delay <= 2147483647 ? Math.trunc(delay) : 0;
    if (again && delay === 0) delay = 1;
    const id = ++timersBefore;
    apply(timersSet, timers, [id, { callback, args, delay, again }]);
    native.setTimer(id, delay);
    return id;
  };
  const { get: timersGet, set: timersSet, delete: timersDelete } = Map.prototype;
  const clear = (id) => {
    if (apply(timersDelete, timers, [id])) native.clearTimer(id);
  };
  const fire = (id) => {
    const known = apply(timersGet, timers, [id]);
    if (!known) return;
    // An interval is set again first, so that its callback can clear it.
    if (known.again) {
      native.setTimer(id, known.delay);
      if (known.loose) native.holdTimer(id, false);
    } else apply(timersDelete, timers, [id]);
    try {
      apply(known.callback, globalThis, known.args);
    } catch (error) {
      internals.report(error);
    }
  };

  internals.timer = timer;
  internals.timers = timers;
  internals.clear = clear;
  internals.fire = fire;
  return {
    setTimeout: (callback, delay, ...args) => timer(false, callback, delay, args),
    setInterval: (callback, delay, ...args) => timer(true, callback, delay, args),
    clearTimeout: (id) => clear(id),
    clearInterval: (id) => clear(id),
  };
});
