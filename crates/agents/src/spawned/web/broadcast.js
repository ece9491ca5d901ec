// BroadcastChannel.
(function (internals) {
  "use strict";

  const { native, stateOf, listens, dispatch, attribute, messageEvent, tag, apply, DOMException, EventTarget } = internals;
  const { Map, TypeError } = globalThis;
  const { get, set, delete: forget } = Map.prototype;

  // Open channels, by number.
  const channels = new Map();
  class BroadcastChannel extends EventTarget {
    #id;
    #name;
    #closed = false;
    constructor(name) {
      if (arguments.length === 0) throw new TypeError("BroadcastChannel: a name is needed");
      name = `${name}`;
      super();
      this.#name = name;
      this.#id = native.openBroadcast(name);
      apply(set, channels, [this.#id, this]);
      const state = stateOf(this);
      let listening = false;
      state.changed = (type) => {
        if (type !== "message" || this.#closed || listening === listens(state, "message")) return;
        listening = !listening;
        native.holdBroadcast(this.#id, listening);
      };
    }
    // For `node:worker_threads`.
    static {
      internals.holdBroadcast = (channel, holds) => native.holdBroadcast(channel.#id, holds);
    }
    get name() {
      return this.#name;
    }
    postMessage(message) {
      if (arguments.length === 0) throw new TypeError("BroadcastChannel.postMessage: a message is needed");
      if (this.#closed) throw new DOMException("the channel is closed", "InvalidStateError");
      native.postBroadcast(this.#id, message);
    }
    close() {
      if (this.#closed) return;
      this.#closed = true;
      apply(forget, channels, [this.#id]);
      native.closeBroadcast(this.#id);
    }
  }
  tag(BroadcastChannel, "BroadcastChannel");
  for (const type of ["message", "messageerror"]) attribute(BroadcastChannel.prototype, type);

  internals.heard = (id, data, readable) => {
    const channel = apply(get, channels, [id]);
    if (!channel) return;
    dispatch(channel, readable ? messageEvent("message", data, []) : messageEvent("messageerror", null, []));
  };

  return { BroadcastChannel };
});
