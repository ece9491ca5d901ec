import { setTimeout as wait, setImmediate as immediate, setInterval as every } from "node:timers/promises";
import * as timers from "node:timers";

console.log(typeof setTimeout(() => {}, 0), timers.setTimeout === setTimeout);
const timer = setTimeout(() => console.log("never"), 20);
console.log(typeof +timer, `${timer}` === String(+timer), timer.constructor.name);
clearTimeout(+timer);
clearTimeout(undefined);
clearTimeout("nothing");
clearTimeout({});
setTimeout(function (a, b) { console.log("arguments", a, b, this.constructor.name); }, 1, 1, 2);
let count = 0;
const interval = setInterval(() => {
  if (++count === 3) clearInterval(interval);
}, 1);
const value = await wait(20, "value");
while (count < 3) await wait(1);
console.log(value, count);
console.log(await immediate("soon"));
let fired = 0;
const refreshed = setTimeout(() => fired++, 5);
await wait(50);
console.log(fired, refreshed.refresh() === refreshed);
await wait(50);
console.log(fired);
const immediateTimer = setImmediate(() => console.log("cleared"));
console.log(immediateTimer.constructor.name, immediateTimer.hasRef());
clearImmediate(immediateTimer);
let ticks = 0;
for await (const value of every(1, "tick")) {
  console.log(value);
  if (++ticks === 2) break;
}
try {
  setTimeout("text");
} catch (error) {
  console.log(error.name, error.code, error.message);
}
try {
  setImmediate();
} catch (error) {
  console.log(error.name, error.code, error.message);
}
const aborter = new AbortController();
const aborted = wait(1000, null, { signal: aborter.signal });
aborter.abort();
await aborted.catch((error) => console.log(error.name, error.code, error.message));
