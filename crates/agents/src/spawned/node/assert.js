// node:assert
(function (node) {
  "use strict";

  const { inspect, deepEqual } = node.builtin("util");

  class AssertionError extends Error {
    constructor({ message, actual, expected, operator }) {
      super(message);
      this.generatedMessage = false;
      Object.assign(this, { code: "ERR_ASSERTION", actual, expected, operator });
    }
    get name() {
      return "AssertionError";
    }
  }
  const WORDS = {
    strictEqual: "Expected values to be strictly equal:",
    deepStrictEqual: "Expected values to be strictly deep-equal:",
    deepEqual: "Expected values to be loosely deep-equal:",
    equal: "",
    notStrictEqual: 'Expected "actual" to be strictly unequal to:',
    notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
    notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
    notEqual: "",
  };
  const fail = (message, actual, expected, operator, says) => {
    if (message instanceof Error) throw message;
    const error = new AssertionError({ message: message ?? says, actual, expected, operator });
    error.generatedMessage = message === undefined;
    throw error;
  };
  const SIGNS = { strictEqual: "!==", equal: "!=", notEqual: "==" };
  const compare = (operator, holds) => (actual, expected, message) => {
    if (holds(actual, expected)) return;
    const [one, other] = [inspect(actual), inspect(expected)];
    let says;
    if (WORDS[operator] === "") says = `${one} ${SIGNS[operator]} ${other}`;
    else if (operator.startsWith("not")) says = `${WORDS[operator]} ${other}`;
    else if (operator === "strictEqual") says = `${WORDS[operator]}\n\n${one} !== ${other}\n`;
    else says = `${WORDS[operator]}\n\n${one}\n\nshould equal\n\n${other}\n`;
    fail(message, actual, expected, operator, says);
  };
  const same = (one, other) => one == other || (one !== one && other !== other);
  const matches = (error, expected) => {
    if (expected === undefined) return true;
    if (expected instanceof RegExp) return expected.test(String(error));
    if (typeof expected === "function") {
      if (expected.prototype !== undefined && error instanceof expected) return true;
      if (Error.isPrototypeOf(expected) || expected === Error) return false;
      return expected.call({}, error) === true;
    }
    return Object.keys(expected).every((key) =>
      expected[key] instanceof RegExp && typeof error[key] === "string" ? expected[key].test(error[key]) : deepEqual(error[key], expected[key], true),
    );
  };
  const missing = (operator, message) =>
    fail(message, undefined, undefined, operator, `Missing expected ${operator === "rejects" ? "rejection" : "exception"}.`);
  const checkThrown = (operator, error, expected, message) => {
    if (typeof expected === "string") return;
    if (matches(error, expected)) return;
    if (typeof expected === "function" || expected instanceof RegExp || typeof expected === "object") {
      fail(message, error, expected, operator, `The error is not as expected: ${inspect(error)}`);
    }
  };

  const ok = (value, message) => {
    if (!value) fail(message, value, true, "==", `The expression evaluated to a falsy value: ${inspect(value)}`);
  };
  const assert = (...args) => ok(...args);
  Object.assign(assert, {
    ok, AssertionError,
    fail(message = "Failed") {
      fail(message, undefined, undefined, "fail");
    },
    equal: compare("equal", same),
    notEqual: compare("notEqual", (one, other) => !same(one, other)),
    strictEqual: compare("strictEqual", Object.is),
    notStrictEqual: compare("notStrictEqual", (one, other) => !Object.is(one, other)),
    deepEqual: compare("deepEqual", (one, other) => deepEqual(one, other, false)),
    notDeepEqual: compare("notDeepEqual", (one, other) => !deepEqual(one, other, false)),
    deepStrictEqual: compare("deepStrictEqual", (one, other) => deepEqual(one, other, true)),
    notDeepStrictEqual: compare("notDeepStrictEqual", (one, other) => !deepEqual(one, other, true)),
    match(text, pattern, message) {
      if (typeof text === "string" && pattern.test(text)) return;
      const says = `The input did not match the regular expression ${inspect(pattern)}. Input:\n\n${inspect(text)}\n`;
      fail(message, text, pattern, "match", says);
    },
    doesNotMatch(text, pattern, message) {
      if (typeof text === "string" && !pattern.test(text)) return;
      const says = `The input was expected to not match the regular expression ${inspect(pattern)}. Input:\n\n${inspect(text)}\n`;
      fail(message, text, pattern, "doesNotMatch", says);
    },
    throws(body, expected, message) {
      try {
        body();
      } catch (error) {
        return checkThrown("throws", error, expected, message);
      }
      missing("throws", typeof expected === "string" ? expected : message);
    },
    doesNotThrow(body, expected, message) {
      try {
        body();
      } catch (error) {
        fail(message, error, expected, "doesNotThrow", `Got unwanted exception.\nActual message: "${error?.message}"`);
      }
    },
    async rejects(promise, expected, message) {
      try {
        await (typeof promise === "function" ? promise() : promise);
      } catch (error) {
        return checkThrown("rejects", error, expected, message);
      }
      missing("rejects", typeof expected === "string" ? expected : message);
    },
    async doesNotReject(promise, expected, message) {
      try {
        await (typeof promise === "function" ? promise() : promise);
      } catch (error) {
        fail(message, error, expected, "doesNotReject", `Got unwanted rejection.\nActual message: "${error?.message}"`);
      }
    },
    ifError(value) {
      if (value !== null && value !== undefined) fail(undefined, value, null, "ifError", `ifError got unwanted exception: ${value?.message ?? inspect(value)}`);
    },
  });
  const { strictEqual, notStrictEqual, deepStrictEqual, notDeepStrictEqual } = assert;
  assert.strict = Object.assign((...args) => ok(...args), assert, {
    equal: strictEqual, notEqual: notStrictEqual, deepEqual: deepStrictEqual, notDeepEqual: notDeepStrictEqual,
  });
  assert.strict.strict = assert.strict;
  return assert;
});
