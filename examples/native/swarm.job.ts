// Pulls everything to the middle.
interface Columns {
  readonly fields: Readonly<Record<"x" | "y", Float32Array>>;
  readonly changed: Uint8Array;
}

interface Input {
  readonly snap: { readonly rows: number; readonly comps: Readonly<Record<number, Columns>> };
  readonly dt: number;
  readonly extra: { readonly POSITION: number; readonly VELOCITY: number };
}

export function handle({ snap, dt, extra }: Input): void {
  const { fields: at, changed } = snap.comps[extra.POSITION];
  const { fields: going, changed: turned } = snap.comps[extra.VELOCITY];
  for (let i = 0; i < snap.rows; i++) {
    const pull = dt / (0.1 + Math.sqrt(at.x[i] * at.x[i] + at.y[i] * at.y[i]));
    going.x[i] -= at.x[i] * pull;
    going.y[i] -= at.y[i] * pull;
    at.x[i] += going.x[i] * dt;
    at.y[i] += going.y[i] * dt;
  }
  changed.fill(255);
  turned.fill(255);
}
