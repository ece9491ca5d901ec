export default async function ({ eids, cols, dt, extra, writes }) {
  return eids.flatMap((eid, i) => {
    const p = cols[extra.POS][i];
    const v = cols.Vel[i];
    return i % 2 === 0 ? [{ kind: "set", eid, cid: writes[0], value: { x: p.x + v.x * dt, y: p.y + v.y * dt } }] : [];
  });
}
