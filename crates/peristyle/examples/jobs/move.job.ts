// move.job.ts: works on the columns themselves.
interface Columns {
  readonly fields: Readonly<Record<"x" | "y", Float32Array>>;
  readonly changed: Uint8Array;
}

interface Input {
  readonly snap: { readonly rows: number; readonly comps: Readonly<Record<"Position" | "Velocity", Columns>> };
  readonly dt: number;
}

export function handle({ snap, dt }: Input): void {
  const { fields: at, changed } = snap.comps.Position;
  const { fields: going } = snap.comps.Velocity;
  for (let i = 0; i < snap.rows; i++) {
    at.x[i] += going.x[i] * dt;
    at.y[i] += going.y[i] * dt;
  }
  changed.fill(255); // Every row has moved.
}
