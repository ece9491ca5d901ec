// A figure in our agents.
import { figures } from "./measure.mjs";

export const figure = async (name) => {
  const worker = new Worker("./echo.mjs", { type: "module" });
  const peer = {
    post: (value, transfer) => worker.postMessage(value, transfer),
    on: (callback) => (worker.onmessage = ({ data }) => callback(data)),
  };
  const group = [];
  const listeners = (count, callback) => {
    for (let i = 0; i < count; i++) {
      const listener = new Worker("./echo.mjs", { type: "module", name: "listener" });
      listener.onmessage = callback;
      group.push(listener);
    }
  };
  try {
    return await figures[name](peer, listeners);
  } finally {
    [worker, ...group].forEach((worker) => worker.terminate());
  }
};
