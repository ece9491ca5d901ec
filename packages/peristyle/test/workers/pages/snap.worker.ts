/** A page's own worker that imports nothing and posts its columns itself. */
self.onmessage = ({
  data: { snap },
}: MessageEvent<{
  snap: { comps: Record<string, { fields: Record<string, Float32Array>; changed: Uint8Array }> };
}>) => {
  snap.comps.Pos.fields.x[0] = 77;
  snap.comps.Pos.changed[0] |= 1;
  self.postMessage({ snap });
};
