/** The example's worker that returns patches; it imports nothing. */
type XY = { x: number; y: number };

self.onmessage = (event: MessageEvent) => {
  const { eids, cols, dt, extra } = event.data as {
    eids: number[];
    cols: Record<number, XY[]>;
    dt: number;
    extra: { POS: number; VEL: number };
  };
  const patches = eids.flatMap((eid, i) => {
    const p = cols[extra.POS][i];
    const v = cols[extra.VEL][i];
    return p && v ? [{ kind: "set", eid, cid: extra.POS, value: { x: p.x + v.x * dt, y: p.y + v.y * dt } }] : [];
  });
  postMessage(patches);
};
