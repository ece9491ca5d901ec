import { BroadcastChannel, Worker, isMainThread } from "node:worker_threads";
import { once } from "node:events";

console.log(BroadcastChannel === globalThis.BroadcastChannel);
const script = `
  const { BroadcastChannel } = require("node:worker_threads");
  const channel = new BroadcastChannel("news");
  channel.onmessage = ({ data }) => {
    channel.postMessage([data.n + 1]);
    channel.close();
  };
`;
const channel = new BroadcastChannel("news");
const heard = [];
const workers = Array.from({ length: 3 }, () => new Worker(script, { eval: true }));
const exits = workers.map((worker) => once(worker, "exit"));
await Promise.all(workers.map((worker) => once(worker, "online")));
const all = new Promise((resolve) => {
  channel.onmessage = ({ data }) => {
    if (Array.isArray(data)) heard.push(data);
    if (heard.length === 3) resolve();
  };
});
channel.postMessage({ n: 1 });
const again = setInterval(() => channel.postMessage({ n: 1 }), 20);
await all;
clearInterval(again);
console.log(heard, (await Promise.all(exits)).flat());
channel.close();
try {
  channel.postMessage(1);
} catch (error) {
  console.log(error.name);
}
const unheld = new BroadcastChannel("unheld");
unheld.onmessage = () => {};
unheld.unref();
console.log("end");
