/** Moves particles along their heading, and turns them by functions that engines have each their own of. */
import { atan2, cos, exp, hypot, log, pow, sin } from "peristyle/math";

interface Group<F extends string> {
  readonly fields: Readonly<Record<F, Float32Array | Float64Array>>;
  readonly changed: Uint8Array;
}

interface Input {
  readonly snap: { readonly rows: number; readonly comps: Readonly<Record<number, unknown>> };
  readonly dt: number;
  readonly time: number;
  readonly extra: { readonly POSITION: number; readonly HEADING: number };
}

export function handle({ snap, dt, time, extra }: Input): void {
  const position = snap.comps[extra.POSITION] as Group<"x" | "y">;
  const heading = snap.comps[extra.HEADING] as Group<"angle" | "speed">;
  const { x, y } = position.fields;
  const { angle, speed } = heading.fields;
  for (let i = 0; i < snap.rows; i++) {
    const away = hypot(x[i] - 50, y[i] - 50);
    const home = atan2(50 - y[i], 50 - x[i]);
    angle[i] += sin(home - angle[i]) * dt * pow(away / 50, 1.5) + 0.01 * cos(time);
    speed[i] = 1 + log(1 + away) * exp(-away / 40);
    x[i] += cos(angle[i]) * speed[i] * dt;
    y[i] += sin(angle[i]) * speed[i] * dt;
    position.changed[i >> 3] |= 1 << (i & 7);
    heading.changed[i >> 3] |= 1 << (i & 7);
  }
}
