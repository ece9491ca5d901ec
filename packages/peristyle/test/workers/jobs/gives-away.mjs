/** Transfers its columns elsewhere, as a job may that posts them to a port. */
export function handle({ snap, extra }) {
  if (extra.away) structuredClone(snap.eids.buffer, { transfer: [snap.eids.buffer] });
}
