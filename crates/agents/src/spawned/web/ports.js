// MessagePort and MessageChannel.
(function (internals) {
  "use strict";

  const { native, parent, State, EventTarget, target, listens, attribute, transferList, listenToParent } = internals;
  const { put, apply, defineProperty, setPrototypeOf } = internals;
  const { Object, TypeError } = globalThis;

  class MessagePort extends EventTarget {
    constructor() {
      throw new TypeError("MessagePort has no constructor: new MessageChannel() makes two");
    }
    postMessage(value, options) {
      if (!native.isPort(this)) throw new TypeError("this is no MessagePort");
      native.post(this, value, transferList(options));
    }
    start() {
      const state = portState(this);
      state.started = true;
      state.changed("message");
    }
    close() {
      if (!native.isPort(this)) throw new TypeError("this is no MessagePort");
      native.closePort(this);
    }
  }
  // A port's state is made when it is first needed: ports come out of messages without it.
  const portState = (port) => {
    if (!native.isPort(port)) throw new TypeError("this is no MessagePort");
    const known = State.of(port);
    if (known) return known;
    const state = target(port, (type, byAttribute) => {
      if (type !== "message") return;
      if (byAttribute) state.started = true;
      const listening = state.started && listens(state, "message");
      if (listening === state.listening) return;
      state.listening = listening;
      if (port === parent) listenToParent();
      else if (listening) native.listen(port);
      else native.unlisten(port);
    });
    state.started = false;
    state.listening = false;
    return state;
  };
  for (const method of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
    const inherited = EventTarget.prototype[method];
    put(MessagePort.prototype, method, {
      [method](...args) {
        portState(this);
        return apply(inherited, this, args);
      },
    }[method]);
  }
  for (const type of ["message", "messageerror", "close"]) {
    attribute(MessagePort.prototype, type);
    const { get, set } = Object.getOwnPropertyDescriptor(MessagePort.prototype, `on${type}`);
    defineProperty(MessagePort.prototype, `on${type}`, {
      __proto__: null,
      get() {
        portState(this);
        return apply(get, this, []);
      },
      set(value) {
        portState(this);
        apply(set, this, [value]);
      },
      enumerable: true,
      configurable: true,
    });
  }

  class MessageChannel {
    constructor() {
      const [port1, port2] = native.channel();
      defineProperty(this, "port1", { __proto__: null, value: port1, enumerable: true });
      defineProperty(this, "port2", { __proto__: null, value: port2, enumerable: true });
    }
  }

  // The agent's own came before its class.
  setPrototypeOf(parent, MessagePort.prototype);
  native.prototype(0, MessagePort.prototype);
  internals.MessagePort = MessagePort;
  internals.portState = portState;
  return { MessagePort, MessageChannel };
});
