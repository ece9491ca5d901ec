// physics.job.mjs: runs in workers, on the columns themselves
import { markChanged } from "peristyle";

export function handle({ snap, dt }) {
  const position = snap.comps.Position;
  const velocity = snap.comps.Velocity;
  for (let i = 0; i < snap.rows; i++) {
    position.fields.x[i] += velocity.fields.x[i] * dt;
    position.fields.y[i] += velocity.fields.y[i] * dt;
    markChanged(position.changed, i);
  }
}
