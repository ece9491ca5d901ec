/** Does what `extra` says on the first range: throws, ends its worker, or hangs; later ranges go well. */
export async function handle({ snap, extra }) {
  const first = snap.eids[0];
  if (first === extra.at) {
    snap.comps.Pos.fields.x[0] = -1;
    if (extra.mood === "throw") throw new RangeError("out of sorts");
    if (extra.mood === "late") await new Promise((done) => setTimeout(done, 5));
    if (extra.mood === "list") return [1];
    if (extra.mood === "function") return [{ kind: "set", eid: 1, cid: 3, value: () => {} }];
    const { isMainThread } = await import("node:worker_threads");
    if (extra.mood === "exit" && !isMainThread) process.exit(3);
    if (extra.mood === "hang" && !isMainThread) for (;;);
  }
  snap.comps.Pos.changed.fill(255);
}
