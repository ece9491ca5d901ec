// counter_client.ts: follows `counter_app`, which is written in Rust.
import { RemoteError, connect } from "peristyle/client";
import WebSocket from "ws"; // Node has one of its own from version 22 on; so has every page.
const url = new URL("ws", process.argv[2] ?? "http://127.0.0.1:7400/");
const connection = connect(url, { WebSocket, topics: ["process.state"] });
const { client } = connection;
await client.ready;
console.log("connected:", client.getState()?.counter);
client.watch((state) => state.counter.count, (count, before) => console.log(`the count was ${before} and is ${count}`));
const counter = client.module("counter");
console.log("answered:", await counter.increase(2));
await counter.rename("two");
console.log("now:", client.getState()?.counter);
try {
    await counter.rename("");
}
catch (error) {
    if (!(error instanceof RemoteError))
        throw error;
    console.log("refused:", error.message);
}
connection.close();
