export function handle({ snap, dt }) {
  const { Pos, Vel } = snap.comps;
  const { x, y } = Pos.fields;
  const { x: vx, y: vy } = Vel.fields;
  for (let i = 0; i < snap.rows; i++) {
    x[i] += vx[i] * dt;
    y[i] += vy[i] * dt;
    Pos.changed[i >> 3] |= 1 << (i & 7);
  }
}
