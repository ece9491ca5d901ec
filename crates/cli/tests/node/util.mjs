import { promisify, inspect, types, isDeepStrictEqual, callbackify, inherits, stripVTControlCharacters } from "node:util";
import assert, { AssertionError, deepStrictEqual, strictEqual, throws, rejects } from "node:assert";
import strict from "node:assert";

const later = (value, callback) => setTimeout(() => (value === "bad" ? callback(new Error("bad")) : callback(null, value)), 1);
console.log(await promisify(later)("good"), await promisify(later)("bad").catch((error) => error.message));
callbackify(async (x) => x + 1)(1, (error, value) => console.log(error, value));
console.log(types.isPromise(Promise.resolve()), types.isMap(new Map()), types.isDate(5), types.isUint8Array(new Uint8Array()), stripVTControlCharacters("\x1b[31mred\x1b[0m"));
console.log(isDeepStrictEqual({ a: [1, new Map([[1, { b: 2 }]])] }, { a: [1, new Map([[1, { b: 2 }]])] }), isDeepStrictEqual([1], ["1"]), isDeepStrictEqual(new Set([1, 2]), new Set([2, 1])), isDeepStrictEqual(NaN, NaN), isDeepStrictEqual(0, -0));
const failing = [
  () => strictEqual(1, 2), () => deepStrictEqual({ a: 1 }, { a: 2 }), () => assert(0), () => assert.equal(1, 2), () => throws(() => {}), () => assert.notStrictEqual(1, 1), () => assert.match("a", /b/),
  () => assert.fail("because"), () => assert.ok(false, "own message"), () => throws(() => { throw new TypeError("x"); }, RangeError), () => assert.deepEqual([1], [2]), () => assert.ifError(new RangeError("given")),
];
for (const attempt of failing) {
  try {
    attempt();
    console.log("passed");
  } catch (error) {
    console.log(error.name, error.code, error instanceof AssertionError);
  }
}
deepStrictEqual([1, { a: new Date(0) }], [1, { a: new Date(0) }]);
assert.deepEqual([1], ["1"]);
throws(() => { throw new TypeError("wrong type"); }, { name: "TypeError", message: /type/ });
throws(() => { throw new TypeError("wrong type"); }, /wrong/);
await rejects(Promise.reject(new Error("r")), /r/);
strict.strictEqual(1, 1);
console.log("done");
