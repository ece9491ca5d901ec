/** A page's own worker that writes columns and does not give them back. */
self.onmessage = ({
  data: { snap },
}: MessageEvent<{ snap: { comps: Record<string, { fields: Record<string, Float32Array> }> } }>) => {
  snap.comps.Pos.fields.x[0] = 77;
  self.postMessage({ ok: true });
};
