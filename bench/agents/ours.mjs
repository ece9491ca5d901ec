// A figure in our agents.
import { figures } from "./measure.mjs";

export const figure = async (name) => {
  const worker = new Worker("./echo.mjs", { type: "module" });
  const peer = {
    post: (value, transfer) => worker.postMessage(value, transfer),
    on: (callback) => (worker.onmessage = ({ data }) => callback(data)),
  };
  try {
    return await figures[name](peer);
  } finally {
    worker.terminate();
  }
};
