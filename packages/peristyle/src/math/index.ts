/**
 * Elementary functions that give the same bits everywhere: in JavaScript and in Rust (`peristyle-math`), in Node, in pages,
 * in the native runtime and in WebAssembly.
 *
 * Engines differ in the last bits of `Math.sin`, `Math.exp` or `Math.pow`, and so a simulation that uses them runs apart on
 * two hosts. Here each step is one of `+ - * /`, a square root, an operation on integers or a cast of bits, all of which
 * IEEE 754 and ECMAScript define to the bit. Results are less than one unit in the last place from the exact value, for
 * all arguments. For 32-bit floats: `Math.fround(sin(x))`.
 *
 * Algorithms and their sources are those of the crate `peristyle-math`, which has the same steps and the same names.
 */
export { acos, asin, atan, atan2 } from "./arc.js";
export { cbrt } from "./cbrt.js";
export { exp } from "./exp.js";
export { hypot } from "./hypot.js";
export { log } from "./log.js";
export { pow } from "./pow.js";
export { cos, sin, tan } from "./trig.js";
