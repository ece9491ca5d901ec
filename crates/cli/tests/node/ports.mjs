import { MessageChannel, MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { once } from "node:events";

const { port1, port2 } = new MessageChannel();
console.log(port1 instanceof MessagePort, port1 instanceof EventTarget, receiveMessageOnPort(port1));
port1.postMessage({ a: 1 });
port1.postMessage(undefined);
port1.postMessage("third");
console.log(receiveMessageOnPort(port2), receiveMessageOnPort(port2), receiveMessageOnPort(port2), receiveMessageOnPort(port2));
try {
  receiveMessageOnPort({});
} catch (error) {
  console.log(error.name, error.code);
}

const order = [];
const listener = (value) => order.push(["on", value]);
port2.on("message", listener);
port2.once("message", (value) => order.push(["once", value]));
port2.addEventListener("message", (event) => order.push(["target", event.data, event instanceof MessageEvent, event.target === port2]));
console.log(port2.listenerCount("message"));
for (const value of [1, 2, 3]) port1.postMessage(value);
while (order.length < 7) await new Promise((resolve) => setTimeout(resolve, 1));
console.log(order);
port2.off("message", listener);
console.log(port2.listenerCount("message"));

port2.onmessage = ({ data }) => console.log("onmessage", data instanceof MessagePort);
const inner = new MessageChannel();
inner.port1.postMessage("through");
port1.postMessage(inner.port2, [inner.port2]);
const [came] = await once(port2, "message");
console.log(await once(came, "message"));
inner.port1.close();
came.close();

const ends = new MessageChannel();
const closed = Object.values(ends).map((port) => once(port.on("message", () => {}), "close"));
ends.port1.close();
ends.port1.postMessage("to a closed port");
console.log((await Promise.all(closed)).length);
await new Promise((resolve) => port1.close(resolve));
try {
  port1.postMessage(() => {});
  console.log("posted");
} catch (error) {
  console.log(error.name);
}
