// Atomics.Mutex, Atomics.Condition and ThreadLocal, as the structs proposal of TC39 has them, over shared memory.
// A lock's word and what its bits mean: `lock.rs`. Without contention nothing here calls the host.
(function (internals) {
  "use strict";

  const { native, put } = internals;
  const { Map, Promise, Symbol, TypeError } = globalThis;
  const { apply } = Reflect;
  const { get: mapGet, set: mapSet, delete: mapDelete } = Map.prototype;
  const locks = native.locks();
  const [MUTEX, CONDITION, LOCAL] = [0, 1, 2];

  // What the host made is an object without private state: it is stamped here when it is first used, as messages bring them.
  const Stamp = function (object) {
    return object;
  };
  const isObject = (value) => typeof value === "object" && value !== null;

  // ---- values of each agent ----

  const values = new Map();
  class LocalState extends Stamp {
    #id;
    constructor(object) {
      const id = locks.payload(object, LOCAL);
      super(object);
      this.#id = id;
    }
    static id(local) {
      return isObject(local) && #id in local ? local.#id : new LocalState(local).#id;
    }
  }
  class ThreadLocal {
    constructor(value) {
      const local = locks.make(LOCAL);
      if (value !== undefined) local.value = value;
      return local;
    }
    get value() {
      return apply(mapGet, values, [LocalState.id(this)]);
    }
    set value(value) {
      apply(mapSet, values, [LocalState.id(this), value]);
    }
  }
  const { Atomics } = globalThis;
  if (Atomics === undefined) {
    locks.prototypes(ThreadLocal.prototype, ThreadLocal.prototype, ThreadLocal.prototype);
    return { ThreadLocal };
  }

  const { compareExchange, exchange } = Atomics;
  const { wake } = locks;
  const canBlock = locks.canBlock();
  // This agent's number in words, which it gets with its first lock.
  let me = 0;
  const owner = () => (me = locks.owner());

  class MutexState extends Stamp {
    #cells;
    // Whether `lockAsync` of this agent has it.
    #later = false;
    constructor(object) {
      const cells = locks.payload(object, MUTEX);
      super(object);
      this.#cells = cells;
    }
    static cells(mutex) {
      return isObject(mutex) && #cells in mutex ? mutex.#cells : new MutexState(mutex).#cells;
    }
    static isLater(mutex) {
      return mutex.#later;
    }
    static setLater(mutex, later) {
      mutex.#later = later;
    }
  }
  const { cells: cellsOf, isLater, setLater } = MutexState;

  class ConditionState extends Stamp {
    #cells;
    constructor(object) {
      const cells = locks.payload(object, CONDITION);
      super(object);
      this.#cells = cells;
    }
    static cells(condition) {
      return isObject(condition) && #cells in condition ? condition.#cells : new ConditionState(condition).#cells;
    }
  }
  const { cells: queueOf } = ConditionState;

  const release = (cells) => {
    if (exchange(cells, 0, 0) & 1) wake(cells);
  };

  class UnlockToken {
    #cells = null;
    get locked() {
      return this.#cells !== null;
    }
    unlock() {
      const cells = this.#cells;
      if (cells === null) return false;
      this.#cells = null;
      release(cells);
      return true;
    }
    static fill(token, cells) {
      token.#cells = cells;
      return token;
    }
    static empty(token) {
      if (token === undefined) return new UnlockToken();
      if (!isObject(token) || !(#cells in token)) throw new TypeError("the token is no Atomics.Mutex.UnlockToken");
      if (token.#cells !== null) throw new TypeError("the UnlockToken has a lock already");
      return token;
    }
    static take(token) {
      if (!isObject(token) || !(#cells in token)) throw new TypeError("the token is no Atomics.Mutex.UnlockToken");
      const cells = token.#cells;
      if (cells === null) throw new TypeError("the UnlockToken has no lock");
      token.#cells = null;
      return cells;
    }
  }
  const { fill, empty, take } = UnlockToken;
  for (const name of ["fill", "empty", "take"]) delete UnlockToken[name];
  if (Symbol.dispose) {
    put(UnlockToken.prototype, Symbol.dispose, { [Symbol.dispose]() { this.unlock(); } }[Symbol.dispose]);
  }
  put(UnlockToken.prototype, Symbol.toStringTag, "Atomics.Mutex.UnlockToken");

  const mayBlock = (what) => {
    if (!canBlock) throw new TypeError(`${what}: this agent must not block`);
  };
  // As `Atomics.wait` reads a timeout: no number is for ever.
  const milliseconds = (timeout) => {
    timeout = +timeout;
    return timeout !== timeout ? Infinity : timeout > 0 ? timeout : 0;
  };

  // ---- waiting without blocking ----

  const waiting = new Map();
  internals.woken = (id) => {
    const resolve = apply(mapGet, waiting, [id]);
    apply(mapDelete, waiting, [id]);
    resolve?.();
  };
  internals.untilWoken = (id) => new Promise((resolve) => void apply(mapSet, waiting, [id, resolve]));
  const acquire = async (cells) => {
    let word = me || owner();
    while (compareExchange(cells, 0, 0, word) !== 0) {
      const id = locks.lockLater(cells);
      if (id === 0) continue;
      await internals.untilWoken(id);
      // Others may be parked still.
      word = me | 1;
    }
  };

  class Mutex {
    constructor() {
      return locks.make(MUTEX);
    }
    static lock(mutex, token) {
      const cells = cellsOf(mutex);
      token = empty(token);
      if (!canBlock) mayBlock("Atomics.Mutex.lock");
      if (compareExchange(cells, 0, 0, me || owner()) !== 0) locks.lock(cells, Infinity);
      return fill(token, cells);
    }
    static lockIfAvailable(mutex, timeout, token) {
      const cells = cellsOf(mutex);
      timeout = milliseconds(timeout);
      token = empty(token);
      if (timeout > 0) mayBlock("Atomics.Mutex.lockIfAvailable");
      if (compareExchange(cells, 0, 0, me || owner()) !== 0 && !locks.lock(cells, timeout)) return null;
      return fill(token, cells);
    }
    static lockAsync(mutex, callback) {
      const cells = cellsOf(mutex);
      if (typeof callback !== "function") throw new TypeError("Atomics.Mutex.lockAsync: the callback is no function");
      const run = async () => {
        await acquire(cells);
        setLater(mutex, true);
        try {
          return await callback();
        } finally {
          if (isLater(mutex)) {
            setLater(mutex, false);
            release(cells);
          }
        }
      };
      return run();
    }
  }
  put(Mutex, "UnlockToken", UnlockToken);
  put(Mutex.prototype, Symbol.toStringTag, "Atomics.Mutex");

  const wait = (queue, token, timeout) => {
    const cells = take(token);
    // What throws leaves the token empty: the lock is not had.
    const notified = locks.wait(queue, cells, timeout);
    fill(token, cells);
    return notified;
  };

  class Condition {
    constructor() {
      return locks.make(CONDITION);
    }
    static wait(condition, token) {
      const queue = queueOf(condition);
      mayBlock("Atomics.Condition.wait");
      wait(queue, token, Infinity);
    }
    static waitFor(condition, token, timeout, predicate) {
      const queue = queueOf(condition);
      timeout = milliseconds(timeout);
      if (predicate !== undefined && typeof predicate !== "function") {
        throw new TypeError("Atomics.Condition.waitFor: the predicate is no function");
      }
      mayBlock("Atomics.Condition.waitFor");
      if (predicate === undefined) return wait(queue, token, timeout);
      fill(token, take(token));
      const end = native.now() + timeout;
      while (!predicate()) {
        const left = end - native.now();
        if (left <= 0) return false;
        if (!wait(queue, token, left)) return !!predicate();
      }
      return true;
    }
    static notify(condition, count) {
      const queue = queueOf(condition);
      count = count === undefined ? Infinity : +count;
      return locks.notify(queue, count > 0 ? count : 0);
    }
    static async waitAsync(condition, mutex) {
      const queue = queueOf(condition);
      const cells = cellsOf(mutex);
      if (!isLater(mutex)) throw new TypeError("Atomics.Condition.waitAsync: no lockAsync of this agent has the mutex");
      setLater(mutex, false);
      await internals.untilWoken(locks.waitLater(queue, cells));
      await acquire(cells);
      setLater(mutex, true);
    }
  }
  put(Condition.prototype, Symbol.toStringTag, "Atomics.Condition");
  put(ThreadLocal.prototype, Symbol.toStringTag, "ThreadLocal");

  locks.prototypes(Mutex.prototype, Condition.prototype, ThreadLocal.prototype);
  put(Atomics, "Mutex", Mutex);
  put(Atomics, "Condition", Condition);
  return { ThreadLocal };
});
