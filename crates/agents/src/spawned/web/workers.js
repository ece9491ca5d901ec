// Worker.
(function (internals) {
  "use strict";

  // Workers' ports are ports.
  internals.MessagePort;
  const { native, inspect, EventTarget, ErrorEvent, attribute, dispatch, messageEvent, place, report } = internals;
  const { transferList, apply } = internals;
  const { Error, Map, TypeError } = globalThis;
  const { get: mapGet, set: mapSet, delete: mapDelete } = Map.prototype;

  const workers = new Map();
  class Worker extends EventTarget {
    #id;
    #port;
    constructor(url, options = {}) {
      super();
      if (options?.type !== undefined && `${options.type}` !== "module") {
        throw new TypeError(`Worker: type ${inspect.show(options.type)} is not supported, only "module"`);
      }
      // Relative URLs are the calling module's, which the stack names.
      const { filename = "", lineno = 1, colno = 1 } = place(new Error().stack);
      url = `${url}`;
      const name = options?.name === undefined ? "" : `${options.name}`;
      const [id, port] = native.spawn(url, name, filename, lineno, colno);
      this.#id = id;
      this.#port = port;
      apply(mapSet, workers, [id, this]);
      port.onmessage = (event) => void dispatch(this, messageEvent("message", event.data, event.ports));
      port.onmessageerror = () => void dispatch(this, messageEvent("messageerror", null, []));
    }
    postMessage(value, options) {
      native.post(this.#port, value, transferList(options));
    }
    terminate() {
      native.closePort(this.#port);
      native.terminate(this.#id);
    }
  }
  for (const type of ["message", "messageerror", "error"]) attribute(Worker.prototype, type);

  const workerSaid = (id, kind, name, message, stack) => {
    const worker = apply(mapGet, workers, [id]);
    if (!worker) return;
    if (typeof worker === "function") {
      try {
        worker(kind, name, message, stack);
      } catch (error) {
        report(error);
      }
      return;
    }
    if (kind === "exit") {
      // Its port delivers what it still has, then closes: the other end is gone.
      apply(mapDelete, workers, [id]);
      return;
    }
    const event = new ErrorEvent("error", { message: `${name}: ${message}`, ...place(stack, true), error: null, cancelable: true });
    if (dispatch(worker, event)) native.uncaught(name, message, stack);
  };

  internals.Worker = Worker;
  internals.workers = workers;
  internals.workerSaid = workerSaid;
  return { Worker };
});
