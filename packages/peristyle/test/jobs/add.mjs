/** Adds `extra.by` to `n` of the component `extra.C`; fails where `extra.failAt` is found. */
export default async function ({ snap, extra }) {
  const { fields, changed } = snap.comps[extra.C];
  for (let i = 0; i < snap.rows; i++) {
    if (fields.n[i] === extra.failAt) throw new RangeError(`found ${extra.failAt}`);
    fields.n[i] += extra.by;
    changed[i >> 3] |= 1 << (i & 7);
  }
}
