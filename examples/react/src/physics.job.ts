/** Runs in workers, on the columns of the world: ships go round. */
import { markChanged, type Snap } from "peristyle";

interface Input {
  readonly snap: Snap;
  readonly dt: number;
}

export function handle({ snap, dt }: Input): void {
  const { fields, changed } = snap.comps.Position!;
  const { x, y } = fields as Record<"x" | "y", Float32Array>;
  const { turn } = snap.comps.Course!.fields as Record<"turn", Float32Array>;
  for (let i = 0; i < snap.rows; i++) {
    const angle = turn[i]! * dt;
    const [wasX, wasY] = [x[i]!, y[i]!];
    x[i] = wasX - wasY * angle;
    y[i] = wasY + x[i]! * angle;
    markChanged(changed!, i);
  }
}
