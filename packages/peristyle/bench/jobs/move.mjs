/** What the benches run on lanes and call directly: steps all rows, and marks them. */
export function handle({ snap, dt, extra }) {
  const { fields: position, changed } = snap.comps[extra.POS];
  const { x: vx, y: vy } = snap.comps[extra.VEL].fields;
  const { x, y } = position;
  const { rows } = snap;
  for (let i = 0; i < rows; i++) {
    x[i] += vx[i] * dt;
    y[i] += vy[i] * dt;
  }
  changed.fill(0xff, 0, rows >> 3);
  for (let i = rows & ~7; i < rows; i++) changed[i >> 3] |= 1 << (i & 7);
}
