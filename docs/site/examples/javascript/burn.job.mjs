// burn.job.mjs: gives patches back
export function handle({ eids, cols, dt, extra }) {
  return eids.map((eid, i) => {
    const left = cols[extra.FUEL][i].left - extra.burns * dt;
    return left > 0 ? { kind: "set", eid, cid: extra.FUEL, value: { left } } : { kind: "destroy", eid };
  });
}
