// main.mjs
import { atan2, pow, sin } from "peristyle/math";

// The same bits in every engine, and in Rust's peristyle-math.
console.log(sin(1e22), atan2(-0, -1), pow(2, 0.5));
