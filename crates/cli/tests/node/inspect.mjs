import { inspect, format } from "node:util";

class A {
  x = 1;
  #hidden = 2;
  get y() {
    return 3;
  }
}
class B extends A {}
const circular = { name: "c", list: [] };
circular.self = circular;
circular.list.push(circular, { circular });
const values = [
  0, -0, 1.5, NaN, 10n, "text", "it's", 'say "it\'s"', "line\nbreak\t\\\x1b", "", true, null, undefined, Symbol("s"), Symbol.iterator,
  [], {}, [1, 2, 3], ["a", ["b", ["c", ["d", ["e"]]]]], { a: { b: { c: { d: 1 } } } }, { "a-b": 1, 2: 3, [Symbol("k")]: 4, f() {}, g: () => {}, async h() {}, *i() {} },
  [1, , 3], [, ,], [1, 2, , , 5], Object.assign([1, 2], { extra: true }), new Array(5), Array.from({ length: 7 }, (_, i) => i), Array.from({ length: 120 }, (_, i) => i * i),
  Array.from({ length: 30 }, (_, i) => "item" + "x".repeat(i % 5)), ["a".repeat(30), "b".repeat(30), "c".repeat(30)],
  { a: "a".repeat(30), b: "b".repeat(30), c: "c".repeat(30) }, { long: { longer: { list: [1, 2, 3, { deep: [1] }] } } },
  new A(), new B(), A, B, class {}, class extends A {}, function named() {}, () => {}, async () => {}, function* () {}, Math.max,
  new Map([["a", 1], [{ k: 1 }, [2]]]), new Set([1, "b", { c: 3 }]), new Map(), new Set(), new WeakMap(), new WeakSet(),
  new Date(0), new Date(NaN), /x+/gi, new Number(3), new String("str"), new Boolean(false), Object(1n), Object(Symbol("b")),
  new Uint8Array([1, 2, 3]), new Float64Array(2), new BigInt64Array([1n, -1n]), new Uint8Array(200), new ArrayBuffer(4), new SharedArrayBuffer(2), new DataView(new ArrayBuffer(2), 1),
  Object.create(null), Object.assign(Object.create(null), { a: 1 }), Object.create({ inherited: 1 }), Object.create(A.prototype),
  Promise.resolve({ a: 1 }), Promise.reject(3).catch(() => {}) && Promise.resolve(), new Promise(() => {}), circular,
  { get a() { return 1; }, set a(v) {}, get b() { return 2; }, set c(v) {} }, { [Symbol.toStringTag]: "Tagged", a: 1 }, { toString() { return "own"; } },
  { [inspect.custom]: (depth, options) => `custom ${depth} ${typeof options}` }, (function () { return arguments; })(1, 2), globalThis === global, Math, JSON, Reflect,
  { s: "x".repeat(100) }, { multi: "line one is long enough\nline two is long enough\nline three is long enough to be broken up" }, ["\u00e9", "\u{1F600}", "\ud800", "日本"], new (class extends Array {})(3), new (class extends Map {})([[1, 2]]),
  [undefined, null], { undefined, null: null }, [[]], [{}], { a: [], b: {} }, [[[[]]]], [[[{}]]], { x: [[[1]]] }, [1.5, 22.25, 333.125, 4, 5, 6, 7, 8], [-1, -22, 333, 4444, 5, 6, 7], ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "g"], [1n, 2n, 3n, 4n, 5n, 6n, 7n, 100n],
  [true, false, true, false, true, false, true], { nested: Array.from({ length: 20 }, (_, i) => i) }, Array.from({ length: 8 }, (_, i) => ({ i })),
];
for (const value of values) console.log(value);
console.log(inspect("text"), inspect({ a: { b: { c: {} } } }, { depth: 0 }), inspect({ a: { b: { c: { d: 1 } } } }, { depth: null }), inspect([1, 2, 3], { maxArrayLength: 1 }), inspect({ a: 1, b: { c: 2 } }, { compact: false }), inspect("x".repeat(30), { maxStringLength: 5 }), inspect({ b: 1, a: 2 }, { sorted: true }), inspect({ a: 1 }, { breakLength: 3 }));
console.log(format("%s %d %i %f %j %o %O %c%% %x", "a", "5", "7.9", "1.5", { a: 1 }, [1], { b: { c: {} } }, "css", "rest", 5));
console.log("%s|%s|%s|%s|%s", null, undefined, Symbol("x"), 5n, -0, "more", { a: 1 });
console.log("%d %d %i", {}, 5n, "x");
console.log("%s %s %s", { a: { b: 1 } }, [1, [2]], class K {});
console.log("100%", 5, "%s");
console.log();
console.log("");
console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 });
