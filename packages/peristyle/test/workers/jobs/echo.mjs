export function handle({ extra, dt, time, writes }) {
  if (extra?.change) extra.change = false;
  return [{ kind: "set", eid: 0, cid: 3, value: { extra, dt, time, writes } }];
}
