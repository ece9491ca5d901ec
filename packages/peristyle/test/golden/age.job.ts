/** Makes particles a tick older, and ends those that are too old. */
interface Input {
  readonly snap: {
    readonly rows: number;
    readonly despawn: Uint8Array;
    readonly comps: Readonly<Record<number, { readonly fields: Readonly<Record<string, Uint16Array>>; readonly changed: Uint8Array }>>;
  };
  readonly extra: { readonly AGE: number };
}

export function handle({ snap, extra }: Input): void {
  const { fields, changed } = snap.comps[extra.AGE];
  const { ticks, limit } = fields;
  for (let i = 0; i < snap.rows; i++) {
    ticks[i] += 1;
    changed[i >> 3] |= 1 << (i & 7);
    if (ticks[i] > limit[i]) snap.despawn[i >> 3] |= 1 << (i & 7);
  }
}
