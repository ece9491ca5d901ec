// node:timers/promises
(function (node) {
  "use strict";

  const { timers } = node;
  const aborted = (signal) =>
    Object.assign(new Error("The operation was aborted", { cause: signal.reason }), { name: "AbortError", code: "ABORT_ERR" });
  const waiting = (start, stop, value, { signal, ref = true } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted(signal));
      const abort = () => {
        stop(timer);
        reject(aborted(signal));
      };
      const timer = start(() => {
        signal?.removeEventListener("abort", abort);
        resolve(value);
      });
      if (!ref) timer.unref();
      signal?.addEventListener("abort", abort, { once: true });
    });
  const setTimeout = (delay, value, options) =>
    waiting((done) => timers.setTimeout(done, delay), timers.clearTimeout, value, options);
  const setImmediate = (value, options) => waiting((done) => timers.setImmediate(done), timers.clearImmediate, value, options);
  const setInterval = async function* (delay, value, options = {}) {
    const { signal, ref = true } = options;
    if (signal?.aborted) throw aborted(signal);
    let due = 0;
    let wake = null;
    const interval = timers.setInterval(() => {
      due++;
      wake?.();
    }, delay);
    if (!ref) interval.unref();
    const abort = () => wake?.();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      for (;;) {
        if (signal?.aborted) throw aborted(signal);
        if (due === 0) await new Promise((resolve) => (wake = resolve));
        for (; due > 0; due--) yield value;
      }
    } finally {
      timers.clearInterval(interval);
      signal?.removeEventListener("abort", abort);
    }
  };
  const scheduler = { wait: (delay, options) => setTimeout(delay, undefined, options), yield: () => setImmediate() };
  return { setTimeout, setImmediate, setInterval, scheduler };
});
