/**
 * How long a view-world takes to take in an update of every row, beside an element-by-element copy of two
 * `Float32Array` columns of that length. Both run in turns in one process; the figure is the ratio of their lowest tenths:
 * where others work too, what is lowest says what a program costs.
 */
import { frames, schema } from "./frames.mjs";

const ROWS = 300_000;
const FRAMES = 200;
/** Frames that engines need to compile. */
const WARM_UP = 100;

/** The same numbers in every run. */
function dice(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

const lowest = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 10)];

function time(f) {
  const start = performance.now();
  f();
  return performance.now() - start;
}

/** Never inlined into who calls it, and so measured as it is. */
function copy(from, to) {
  for (let row = 0; row < from.length; row++) to[row] = from[row];
}

/** Measures a case. `show` looks at the view after each frame as a renderer does. */
function measure({ ViewWorld }, name, { predictor, width, show, churn }) {
  const view = ViewWorld.open(schema(predictor).message);
  const [from, to] = [0, 1].map(() => [new Float32Array(ROWS), new Float32Array(ROWS)]);
  const applying = [];
  const copying = [];
  let at = 0;
  for (const frame of frames({ rows: ROWS, width, count: FRAMES, predictor, random: dice(7), churn })) {
    const taken = time(() => {
      view.apply(frame);
      show(view);
    });
    const copied = time(() => {
      copy(from[0], to[0]);
      copy(from[1], to[1]);
    });
    if (at++ > WARM_UP) {
      applying.push(taken);
      copying.push(copied);
    }
  }
  const [apply, plain] = [lowest(applying), lowest(copying)];
  return `${name}: ${apply.toFixed(2)} ms, a copy ${plain.toFixed(2)} ms, ratio ${(apply / plain).toFixed(2)}`;
}

/** A view of `ROWS` rows and what it is to take in, for who looks at what that allocates. */
export function prepare({ ViewWorld }) {
  const view = ViewWorld.open(schema("linear").message);
  const options = { rows: ROWS, width: 5, count: FRAMES, predictor: "linear", random: dice(7) };
  const taken = [...frames(options)];
  return {
    frames: taken.length,
    /** Takes in frames, as a page does that uploads integers. */
    apply(from, to) {
      for (let at = from; at < to; at++) {
        view.apply(taken[at]);
        for (const field of ["latitude", "longitude"]) view.steps("Position", field);
      }
    },
  };
}

/** All cases, a line each. */
export function run(client) {
  const values = (view) => [view.column("Position", "latitude"), view.column("Position", "longitude")];
  const steps = (view) => [view.steps("Position", "latitude"), view.steps("Position", "longitude")];
  return [
    measure(client, "held, 7 bits, integers for a shader", { predictor: "hold", width: 7, show: steps }),
    measure(client, "held, 7 bits, values", { predictor: "hold", width: 7, show: values }),
    measure(client, "held, 8 bits, integers for a shader", { predictor: "hold", width: 8, show: steps }),
    measure(client, "held, 7 bits, 100 come and go, integers", {
      predictor: "hold",
      width: 7,
      show: steps,
      churn: 100,
    }),
    measure(client, "linear, 5 bits, integers for a shader", { predictor: "linear", width: 5, show: steps }),
    measure(client, "linear, 5 bits, values", { predictor: "linear", width: 5, show: values }),
  ];
}
