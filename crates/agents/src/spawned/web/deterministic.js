// What a realm in a deterministic cluster has instead of clocks, randomness and the engine's waits.
// Runs before all parts; waits park where locks do (`locks.rs`), and give the turn away.
(function (internals) {
  "use strict";

  const { native, put } = internals;
  const { Atomics, BigInt, Date, Infinity, Math, Promise, RangeError, Reflect, SharedArrayBuffer, Temporal, TypeError } =
    globalThis;
  const { setTimeout, clearTimeout } = globalThis;
  const { apply, construct } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor } = Object;

  // ---- Math.random: xoshiro128** (Blackman, Vigna 2018) ----

  const words = native.seed();
  const { imul, trunc } = Math;
  const rotate = (word, by) => (word << by) | (word >>> (32 - by));
  const next = () => {
    const result = imul(rotate(imul(words[1], 5), 7), 9);
    const shifted = words[1] << 9;
    words[2] ^= words[0];
    words[3] ^= words[1];
    words[1] ^= words[2];
    words[0] ^= words[3];
    words[2] ^= shifted;
    words[3] = rotate(words[3], 11);
    return result >>> 0;
  };
  put(Math, "random", { random: () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992 }.random);

  // ---- clocks: virtual time begins with the year 2000 ----

  const now = () => 946684800000 + trunc(native.now());
  const { toString } = Date.prototype;
  const VirtualDate = function (...parts) {
    if (new.target === undefined) return apply(toString, new Date(now()), []);
    return construct(Date, parts.length === 0 ? [now()] : parts, new.target);
  };
  for (const key of Reflect.ownKeys(Date)) {
    if (key !== "now") defineProperty(VirtualDate, key, getOwnPropertyDescriptor(Date, key));
  }
  put(VirtualDate, "now", { now: () => now() }.now);
  put(Date.prototype, "constructor", VirtualDate);
  put(globalThis, "Date", VirtualDate);
  if (Temporal !== undefined) {
    const { Now, Instant } = Temporal;
    const instant = () => Instant.fromEpochMilliseconds(now());
    const zoned = (zone = Now.timeZoneId()) => instant().toZonedDateTimeISO(zone);
    const functions = {
      instant: () => instant(),
      zonedDateTimeISO: (zone) => zoned(zone),
      plainDateTimeISO: (zone) => zoned(zone).toPlainDateTime(),
      plainDateISO: (zone) => zoned(zone).toPlainDate(),
      plainTimeISO: (zone) => zoned(zone).toPlainTime(),
    };
    for (const name of Reflect.ownKeys(functions)) put(Now, name, functions[name]);
  }

  // ---- waits ----

  if (Atomics === undefined) return {};
  const locks = native.locks();
  const canBlock = locks.canBlock();
  const getter = (object, name) => getOwnPropertyDescriptor(object, name).get;
  const views = Object.getPrototypeOf(Int32Array.prototype);
  const kindOf = getter(views, Symbol.toStringTag);
  const bufferOf = getter(views, "buffer");
  const lengthOf = getter(views, "length");
  const sharedLengthOf = getter(SharedArrayBuffer.prototype, "byteLength");
  const { asIntN } = BigInt;

  // Whether a view's elements are BigInts.
  const isWide = (view) => {
    const kind = apply(kindOf, view, []);
    if (kind !== "Int32Array" && kind !== "BigInt64Array") {
      throw new TypeError("this operation needs an Int32Array or a BigInt64Array");
    }
    return kind === "BigInt64Array";
  };
  const within = (view, index) => {
    index = trunc(+index) || 0;
    if (index < 0 || index >= apply(lengthOf, view, [])) throw new RangeError("the index is out of range");
    return index;
  };
  const checked = (view, index, value, timeout) => {
    const wide = isWide(view);
    // Throws for what is not shared.
    apply(sharedLengthOf, apply(bufferOf, view, []), []);
    index = within(view, index);
    value = wide ? asIntN(64, value) : value | 0;
    timeout = +timeout;
    return { index, value, timeout: timeout !== timeout ? Infinity : timeout > 0 ? timeout : 0 };
  };
  const ENDS = ["ok", "timed-out", "not-equal"];
  const functions = {
    wait(view, index, value, timeout) {
      const at = checked(view, index, value, timeout);
      if (!canBlock) throw new TypeError("Atomics.wait: this agent must not block");
      return ENDS[locks.waitWord(view, at.index, at.value, at.timeout)];
    },
    waitAsync(view, index, value, timeout) {
      const at = checked(view, index, value, timeout);
      const id = locks.waitWordLater(view, at.index, at.value);
      if (id === 0) return { async: false, value: "not-equal" };
      if (at.timeout === 0) {
        locks.cancel(id);
        return { async: false, value: "timed-out" };
      }
      const ended = new Promise((resolve) => {
        let timer;
        const wait = async () => {
          await internals.untilWoken(id);
          clearTimeout(timer);
          resolve("ok");
        };
        wait();
        if (at.timeout > 2147483647) return;
        timer = setTimeout(() => {
          if (!locks.cancel(id)) return;
          resolve("timed-out");
          internals.woken(id);
        }, at.timeout);
      });
      return { async: true, value: ended };
    },
    notify(view, index, count) {
      isWide(view);
      index = within(view, index);
      count = count === undefined ? Infinity : trunc(+count) || 0;
      return locks.notifyWord(view, index, count > 0 ? count : 0);
    },
  };
  for (const name of Reflect.ownKeys(functions)) put(Atomics, name, functions[name]);
  return {};
});
