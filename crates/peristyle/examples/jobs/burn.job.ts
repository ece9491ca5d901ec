// burn.job.ts: gives patches back, which are applied when the stage ends.
interface Input {
  readonly eids: readonly number[];
  readonly cols: { readonly Fuel: readonly { readonly left: number }[] };
  readonly dt: number;
  /** Fuel that a ship burns in a second. */
  readonly extra: number;
}

export function handle({ eids, cols, dt, extra }: Input) {
  return eids.map((eid, i) => {
    const left = cols.Fuel[i].left - extra * dt;
    return left > 0 ? { kind: "set", eid, cid: "Fuel", value: { left } } : { kind: "destroy", eid };
  });
}
