/** Reads and writes a resource that lies in columns. */
export function handle({ snap, extra }) {
  const { n } = snap.comps[extra.C].fields;
  const { heat } = snap.res.grid;
  for (let i = 0; i < snap.rows; i++) heat[n[i]] += 1;
}
