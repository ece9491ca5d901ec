/** A component `Position` with quantised fields `latitude` and `longitude`. */
export function schema(predictor: "hold" | "linear"): { message: Uint8Array };

/** A snapshot, then frames in which all rows move. */
export function frames(options: {
  rows: number;
  width: number;
  count: number;
  predictor: "hold" | "linear";
  random: () => number;
  churn?: number;
}): Iterable<Uint8Array>;
