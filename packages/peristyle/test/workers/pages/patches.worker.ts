/** A page's own worker that returns patches, and imports nothing. */
interface Input {
  readonly eids: number[];
  readonly cols: Record<number, { x: number; y: number }[]>;
  readonly dt: number;
  readonly extra: { readonly POS: number; readonly VEL: number };
}

self.onmessage = ({ data: { eids, cols, dt, extra } }: MessageEvent<Input>) => {
  self.postMessage(
    eids.flatMap((eid, i) => {
      const p = cols[extra.POS][i];
      const v = cols[extra.VEL][i];
      return i % 2 === 0 ? [{ kind: "set", eid, cid: extra.POS, value: { x: p.x + v.x * dt, y: p.y + v.y * dt } }] : [];
    }),
  );
};
