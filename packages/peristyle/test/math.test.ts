/** The elementary functions in Node; `browser/math.test.ts` runs the same in Chromium. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as math from "../src/math/index.js";
import { goldenHash, goldenHashes } from "./fixtures/math/golden.js";

const golden = readFileSync(new URL("../../../crates/math/vectors/golden.json", import.meta.url), "utf8");

describe("bits are those of Rust", () => {
  const ours = goldenHashes();
  const theirs = JSON.parse(golden) as typeof ours;
  test.each(Object.keys(theirs))("%s", (name) => expect(ours[name]).toEqual(theirs[name]));
  test("and nothing else", () => expect(goldenHash()).toBe(golden));
});

test("values that everyone knows", () => {
  expect(math.sin(1)).toBe(0.8414709848078965);
  expect(math.cos(1e22)).toBe(0.523214785395139);
  expect(math.tan(1)).toBe(1.5574077246549023);
  expect(math.asin(1)).toBe(Math.PI / 2);
  expect(math.acos(-1)).toBe(Math.PI);
  expect(math.atan(Infinity)).toBe(Math.PI / 2);
  expect(math.atan2(-0, -1)).toBe(-Math.PI);
  expect(math.exp(1)).toBe(Math.E);
  expect(math.log(10)).toBe(Math.LN10);
  expect(math.pow(2, 0.5)).toBe(Math.SQRT2);
  expect(math.cbrt(-27)).toBe(-3);
  expect(math.hypot(3, 4)).toBe(5);
});

test("special values are those of IEEE 754 and C", () => {
  expect(math.pow(1, NaN)).toBe(1);
  expect(math.pow(-1, Infinity)).toBe(1);
  expect(math.pow(NaN, 0)).toBe(1);
  expect(math.pow(-0, -3)).toBe(-Infinity);
  expect(math.pow(-8, 1 / 3)).toBeNaN();
  expect(math.hypot(NaN, -Infinity)).toBe(Infinity);
  expect(math.log(-1)).toBeNaN();
  expect(math.sin(-0)).toBe(-0);
  expect(math.cbrt(-0)).toBe(-0);
  expect(math.exp(-746)).toBe(0);
  for (const f of [math.sin, math.cos, math.tan]) expect(f(Infinity)).toBeNaN();
});

/** The distance of two doubles in units of the last place of the second. */
function ulps(a: number, b: number): number {
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(b))), -1022);
  return Math.abs(a - b) / 2 ** (exponent - 52);
}

// The engine's own are within some units of the exact value: what strays from them by more has a wrong constant.
test.each(["sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "cbrt"] as const)("%s is near Math's", (name) => {
  let worst = 0;
  for (let i = 1; i < 20_000; i++) {
    const x = name === "asin" || name === "acos" ? Math.sin(i) : i / 97;
    worst = Math.max(worst, ulps(math[name](x), Math[name](x)));
  }
  expect(worst).toBeLessThanOrEqual(4);
});
