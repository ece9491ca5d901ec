/** The older contract: objects in, patches out. Whoever is heavy is taken away. */
interface Input {
  readonly eids: readonly number[];
  readonly cols: Readonly<Record<number, readonly { readonly kg: number; readonly ticks: number }[]>>;
  readonly dt: number;
  readonly extra: { readonly MASS: number; readonly AGE: number };
}

export function handle({ eids, cols, dt, extra }: Input): object[] {
  return eids.map((eid, i) => {
    const { kg } = cols[extra.MASS][i];
    if (kg > 3) return { kind: "destroy", eid };
    return { kind: "set", eid, cid: extra.MASS, value: { kg: kg * (1 + dt / (10 + cols[extra.AGE][i].ticks)) } };
  });
}
