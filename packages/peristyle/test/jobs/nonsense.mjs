/** Returns a list that has something else than patches in it. */
export function handle({ eids, writes }) {
  return [{ kind: "destroy", eid: eids[0] }, { kind: "explode", eid: eids[1], cid: writes[0] }, null];
}
