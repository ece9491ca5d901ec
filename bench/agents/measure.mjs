// The work of the figures, the same in Node and in our agents. A peer is a thread that runs `echo.mjs`'s `answer`:
// `post(value, transfer)` sends to it, `on(callback)` says who gets its answers.

const now = () => performance.now();
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** What a peer does with a message. */
export const answer = (data, reply) => {
  if (typeof data === "number") reply(data);
  else if (data instanceof ArrayBuffer) reply(data, [data]);
  else if (Array.isArray(data)) reply(data.length);
  else if (data.last) reply(0);
};

/** What a thread does that listens to a broadcast. */
export const listen = (reply) => {
  new BroadcastChannel("bench").onmessage = ({ data }) => reply(data.length);
  reply(0);
};

// Sends what `make` makes and waits for the answer, `count` times; the median in microseconds.
const inTurn = (peer, count, make) =>
  new Promise((resolve) => {
    const took = [];
    let start = 0;
    const send = (answered) => {
      const [value, transfer] = make(answered);
      start = now();
      peer.post(value, transfer);
    };
    peer.on((answered) => {
      took.push((now() - start) * 1000);
      if (took.length === count) resolve(median(took));
      else send(answered);
    });
    send();
  });

export const figures = {
  // A number there and back, in microseconds.
  roundTrip: (peer) => inTurn(peer, 5000, () => [1]),

  // Small objects in batches, in microseconds each.
  async oneWay(peer) {
    const batch = 500;
    const took = await inTurn(peer, 100, () => {
      for (let i = 1; i < batch; i++) peer.post({ id: i, x: 1.5 });
      return [{ id: 0, x: 1.5, last: true }];
    });
    return took / batch;
  },

  // 10 000 small objects to another thread, in microseconds.
  clone(peer) {
    const objects = Array.from({ length: 10_000 }, (_, id) => ({ id, x: id * 0.5, name: `entity ${id}`, alive: true }));
    return inTurn(peer, 60, () => [objects]);
  },

  // 1 MiB there and back, moved, in microseconds each way.
  async transfer(peer) {
    const took = await inTurn(peer, 2000, (buffer = new ArrayBuffer(1 << 20)) => [buffer, [buffer]]);
    return took / 2;
  },

  // 1 000 small objects to 64 threads at once, until all have answered, in microseconds; nothing without `BroadcastChannel`.
  // `listeners(count, callback)` starts threads that run `listen`, and calls back with each of their answers.
  async broadcast(peer, listeners) {
    if (typeof BroadcastChannel === "undefined") return -1;
    const objects = Array.from({ length: 1000 }, (_, id) => ({ id, x: id * 0.5 }));
    const channel = new BroadcastChannel("bench");
    const count = 64;
    let answers = 0;
    let all = () => {};
    const answered = () => {
      if (++answers === count) all();
    };
    const round = (begin) =>
      new Promise((resolve) => {
        answers = 0;
        all = resolve;
        begin();
      });
    await round(() => listeners(count, answered));
    const took = [];
    for (let turn = 0; turn < 20; turn++) {
      const start = now();
      await round(() => channel.postMessage(objects));
      took.push((now() - start) * 1000);
    }
    channel.close();
    return median(took);
  },

  // A numeric loop over typed arrays on shared memory, in nanoseconds an element.
  loop() {
    const count = 100_000;
    const column = () => new Float64Array(new SharedArrayBuffer(count * 8));
    const [x, y, vx, vy] = [column(), column(), column().fill(1.5), column().fill(-0.5)];
    const step = (x, y, vx, vy, dt) => {
      for (let i = 0; i < count; i++) {
        x[i] += vx[i] * dt;
        y[i] += vy[i] * dt;
        if (x[i] > 100) x[i] -= 100;
      }
    };
    const took = [];
    for (let turn = 0; turn < 200; turn++) {
      const start = now();
      step(x, y, vx, vy, 1 / 60);
      took.push(((now() - start) * 1e6) / count);
    }
    return median(took);
  },
};
