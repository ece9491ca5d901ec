/** The physics job in place: typed columns, marked rows. */
export function handle({ snap, dt, extra }) {
  const pos = snap.comps[extra.POS];
  const vel = snap.comps[extra.VEL];
  for (let i = 0; i < snap.rows; i++) {
    pos.fields.x[i] += vel.fields.x[i] * dt;
    pos.fields.y[i] += vel.fields.y[i] * dt;
    pos.changed[i >> 3] |= 1 << (i & 7);
  }
}
