/**
 * How long the functions of `peristyle/math` take beside those of `Math`, which run in turns in one process on the same
 * numbers. Figures are nanoseconds a call and the ratio of medians.
 */
const COUNT = 4096;
const ROUNDS = 400;

/** The same numbers in every run, from `low` to `high`. */
function numbers(low, high) {
  let seed = 7;
  return Float64Array.from({ length: COUNT }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return low + ((high - low) * seed) / 2 ** 32;
  });
}

const CASES = [
  ["sin", "-3 to 3", numbers(-3, 3)],
  ["sin", "up to 1e5", numbers(0, 1e5)],
  ["sin", "up to 1e15", numbers(0, 1e15)],
  ["cos", "-3 to 3", numbers(-3, 3)],
  ["tan", "-3 to 3", numbers(-3, 3)],
  ["asin", "-1 to 1", numbers(-1, 1)],
  ["acos", "-1 to 1", numbers(-1, 1)],
  ["atan", "-5 to 5", numbers(-5, 5)],
  ["atan2", "-5 to 5", numbers(-5, 5), numbers(5, -5)],
  ["exp", "-10 to 10", numbers(-10, 10)],
  ["log", "0 to 100", numbers(0, 100)],
  ["pow", "0 to 10, -5 to 5", numbers(0, 10), numbers(-5, 5)],
  ["cbrt", "-100 to 100", numbers(-100, 100)],
  ["hypot", "-100 to 100", numbers(-100, 100), numbers(100, -100)],
];

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** A loop of its own for each function, so that engines compile each for itself. */
function loop(two) {
  return two
    ? new Function("f", "x", "y", "to", "for (let i = 0; i < x.length; i++) to[i] = f(x[i], y[i])")
    : new Function("f", "x", "y", "to", "for (let i = 0; i < x.length; i++) to[i] = f(x[i])");
}

function time(run, ...values) {
  const start = performance.now();
  run(...values);
  return ((performance.now() - start) * 1e6) / COUNT;
}

/** Lines of the report. */
export function run(math) {
  const to = new Float64Array(COUNT);
  return CASES.map(([name, range, x, y]) => {
    const [ours, theirs] = [loop(y !== undefined), loop(y !== undefined)];
    const times = { ours: [], theirs: [] };
    for (let round = 0; round < ROUNDS; round++) {
      times.ours.push(time(ours, math[name], x, y, to));
      times.theirs.push(time(theirs, Math[name], x, y, to));
    }
    const [a, b] = [median(times.ours), median(times.theirs)];
    return `${name.padEnd(6)} ${range.padEnd(18)} ${a.toFixed(1).padStart(6)} ns, Math ${b.toFixed(1).padStart(6)} ns, ratio ${(a / b).toFixed(2)}`;
  });
}
