/** Returns every kind of patch, and some for what is not there. */
export function handle({ eids, cols, writes, extra }) {
  const [C] = writes;
  return [
    { kind: "set", eid: eids[0], cid: C, value: { n: cols[C][0].n + 100 } },
    { kind: "add", eid: eids[1], cid: extra.TAG, value: "tagged" },
    { kind: "remove", eid: eids[2], cid: C },
    { kind: "destroy", eid: eids[3] },
    { kind: "set", eid: eids[3], cid: C, value: { n: 1 } },
    { kind: "set", eid: eids[4], cid: C, value: { m: 1 } },
    { kind: "set", eid: eids[4], cid: 999, value: 1 },
  ];
}
