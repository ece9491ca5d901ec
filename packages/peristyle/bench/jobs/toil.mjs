/** Forty rounds of arithmetic a row: what is not bound by memory. */
export function handle({ snap, dt, extra }) {
  const { fields, changed } = snap.comps[extra.POS];
  const { x: vx } = snap.comps[extra.VEL].fields;
  const { x } = fields;
  for (let i = 0; i < snap.rows; i++) {
    let at = x[i];
    for (let round = 0; round < 40; round++) at = at * 0.999 + vx[i] * dt;
    x[i] = at;
  }
  changed.fill(0xff, 0, snap.rows >> 3);
  for (let i = snap.rows & ~7; i < snap.rows; i++) changed[i >> 3] |= 1 << (i & 7);
}
