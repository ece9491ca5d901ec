/** The physics job of the older contract: objects in, patches out. */
export function handle({ eids, cols, dt, extra }) {
  return eids.flatMap((eid, i) => {
    const p = cols[extra.POS][i];
    const v = cols[extra.VEL][i];
    return p && v
      ? [{ kind: "set", eid, cid: extra.POS, value: { x: p.x + v.x * dt, y: p.y + v.y * dt } }]
      : [];
  });
}
