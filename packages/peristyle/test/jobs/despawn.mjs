/** Marks rows whose `n` is odd to be destroyed. */
export function handle({ snap, extra }) {
  const { n } = snap.comps[extra.C].fields;
  for (let i = 0; i < snap.rows; i++) if (n[i] & 1) snap.despawn[i >> 3] |= 1 << (i & 7);
}
