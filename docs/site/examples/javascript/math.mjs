// main.mjs
import { atan2, hypot, pow, sin } from "peristyle/math";

console.log(sin(1e22), atan2(-0, -1), pow(2, 0.5));

// A planet, a million steps: where it is tells whether a single bit was another.
let [x, y, vx, vy] = [1, 0, 0, 0.9];
for (let step = 0; step < 1_000_000; step++) {
  const pull = -1e-4 / pow(hypot(x, y), 3);
  vx += x * pull;
  vy += y * pull;
  x += vx * 1e-4;
  y += vy * 1e-4 + sin(x) * 1e-9;
}
const bits = (value) => new BigUint64Array(Float64Array.of(value).buffer)[0].toString(16);
console.log(bits(x), bits(y));
