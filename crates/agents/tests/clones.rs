//! Structured clone, transfer and ports between agents.

use std::sync::mpsc;
use std::time::Duration;

use peristyle_agents::{
    AgentHandle, AgentOptions, Cluster, Code, Exit, Message, Port, PortLimits, PostError, ReceiveError, Thrown,
};
use serde_json::{Value, json};

fn spawn_with(text: &str, options: AgentOptions) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::source("main.ts", text), options).unwrap()
}

fn spawn(text: &str) -> AgentHandle {
    spawn_with(text, AgentOptions::default())
}

/// What a module posts first; an error of it fails the test.
#[track_caller]
fn posted(text: &str) -> Value {
    let (send, errors) = mpsc::channel();
    let options = AgentOptions {
        on_error: Some(std::sync::Arc::new(move |thrown: &Thrown| drop(send.send(thrown.clone())))),
        ..AgentOptions::default()
    };
    let agent = spawn_with(text, options);
    match agent.receive().wait_timeout(Duration::from_secs(60)) {
        Ok(message) => message.get().unwrap(),
        Err(error) => {
            panic!("{error}: {:?}; {:?}", agent.join().wait_timeout(Duration::from_secs(1)), errors.try_recv())
        }
    }
}

#[test]
fn what_the_standard_clones_is_cloned() {
    let text = r#"
      const checks: Record<string, boolean> = {};
      const c = structuredClone;
      for (const value of [1, -0, NaN, "ü🦀", true, null, undefined, 5n]) checks[`primitive ${String(value)}`] = Object.is(c(value), value);
      for (const value of [Object(1), Object("s"), Object(true), Object(2n)]) {
        const copy = c(value);
        checks[`wrapper ${typeof value.valueOf()}`] = typeof copy === "object" && copy.valueOf() === value.valueOf();
      }
      checks.date = c(new Date(5)).getTime() === 5;
      checks.regexp = String(c(/a\/b/gi)) === "/a\\/b/gi";
      checks.map = c(new Map([[{ k: 1 }, new Set([2])]])).entries().next().value[1].has(2);
      const holes = c([1, , 3]);
      checks.holes = holes.length === 3 && !(1 in holes);
      const cycle: any = { list: [] }; cycle.self = cycle; cycle.list.push(cycle);
      const copy = c(cycle);
      checks.cycle = copy !== cycle && copy.self === copy && copy.list[0] === copy;
      const shared = {}; const pair = c([shared, shared]);
      checks.shared = pair[0] === pair[1];
      const error = c(new RangeError("m", { cause: { a: 1 } }));
      checks.error = error instanceof RangeError && error.message === "m" && error.cause.a === 1 && error.stack.includes("main.ts");
      const resizable = c(new ArrayBuffer(4, { maxByteLength: 16 }));
      checks.resizable = resizable.resizable && resizable.maxByteLength === 16;
      for (const View of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
                          Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView]) {
        const view: any = c(new View(new ArrayBuffer(32), 8, 1));
        checks[View.name] = view instanceof View && view.byteOffset === 8 && view.buffer.byteLength === 32;
      }
      const sab = new SharedArrayBuffer(4, { maxByteLength: 8 });
      const again = c(sab); again.grow(8);
      checks.shared_memory = sab.byteLength === 8;
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
      c(memory).grow(1);
      checks.wasm_memory = memory.buffer.byteLength === 131072;
      const getter = c({ get a() { return 7; } });
      checks.getter = Object.getOwnPropertyDescriptor(getter, "a")!.value === 7;
      class Point { x = 1; }
      checks.class_instance = Object.getPrototypeOf(c(new Point())) === Object.prototype;
      postMessage(Object.keys(checks).filter((name) => !checks[name]));
    "#;
    assert_eq!(posted(text), json!([]));
}

#[test]
fn what_cannot_be_cloned_is_a_data_clone_error_and_takes_nothing() {
    let text = r#"
      const wrong: string[] = [];
      const detached = new ArrayBuffer(1); structuredClone(detached, { transfer: [detached] });
      const { port1, port2 } = new MessageChannel();
      const closed = new MessageChannel().port1; closed.close();
      const cases: [string, unknown, unknown[]][] = [
        ["function", () => 1, []],
        ["symbol", Symbol(), []],
        ["nested function", { a: [new Map([[1, () => 1]])] }, []],
        ["weak", new WeakMap(), []],
        ["promise", Promise.resolve(), []],
        ["proxy", new Proxy({}, {}), []],
        ["detached", detached, []],
        ["view of detached", new Proxy([], {}), []],
        ["transfer of detached", null, [detached]],
        ["transfer of plain object", null, [{}]],
        ["transfer of shared memory", null, [new SharedArrayBuffer(1)]],
        ["transfer of wasm memory", null, [new WebAssembly.Memory({ initial: 1 }).buffer]],
        ["port without transfer", port1, []],
        ["closed port", null, [closed]],
        ["the port itself", null, [port2]],
      ];
      for (const [what, value, transfer] of cases) {
        const kept = new ArrayBuffer(8);
        for (const attempt of [
          () => what === "the port itself" ? port2.postMessage(value, [kept, ...transfer]) : structuredClone(value, { transfer: [kept, ...transfer] }),
          () => port2.postMessage(value, [kept, ...transfer]),
        ]) {
          try {
            attempt();
            wrong.push(`${what}: no error`);
          } catch (error) {
            if (!(error instanceof DOMException) || error.name !== "DataCloneError" || error.code !== 25) wrong.push(`${what}: ${error}`);
          }
        }
        if (kept.byteLength !== 8) wrong.push(`${what}: half transferred`);
      }
      const twice = new ArrayBuffer(8);
      for (const list of [[twice, twice], [port1, port1]]) {
        try { structuredClone(null, { transfer: list }); wrong.push("twice: no error"); }
        catch (error) { if (error.name !== "DataCloneError") wrong.push(`twice: ${error}`); }
      }
      if (twice.byteLength !== 8) wrong.push("twice: transferred");
      for (const hostile of [
        { get a() { throw new RangeError("mine"); } },
        [{ get a() { throw new RangeError("mine"); } }],
      ]) {
        const kept = new ArrayBuffer(8);
        try { port2.postMessage([kept, hostile], [kept]); wrong.push("hostile: no error"); }
        catch (error) { if (error.message !== "mine") wrong.push(`hostile: ${error}`); }
        if (kept.byteLength !== 8) wrong.push("hostile: half transferred");
      }
      // A getter that takes what is about to be transferred.
      const taken = new ArrayBuffer(8);
      try { port2.postMessage({ get a() { structuredClone(taken, { transfer: [taken] }); return 1; } }, [taken]); }
      catch (error) { if (error.name !== "DataCloneError" && !(error instanceof TypeError)) wrong.push(`taken: ${error}`); }
      const first = new ArrayBuffer(8), second = new ArrayBuffer(8);
      try { port2.postMessage({ get a() { structuredClone(second, { transfer: [second] }); return 1; } }, [first, second]); wrong.push("second: no error"); }
      catch (error) { if (error.name !== "DataCloneError") wrong.push(`second: ${error}`); }
      if (first.byteLength !== 8) wrong.push("second: half transferred");
      port1.onmessage = ({ data }) => { postMessage(data === "works" ? wrong : [...wrong, data]); close(); };
      port2.postMessage("works");
    "#;
    let answer = posted(text);
    assert_eq!(answer, json!([]));
}

#[test]
fn transfer_detaches_and_keeps_identity() {
    let text = r#"
      const { port1, port2 } = new MessageChannel();
      const buffer = new ArrayBuffer(1 << 20, { maxByteLength: 1 << 21 });
      new Uint8Array(buffer)[7] = 9;
      port1.onmessage = ({ data, ports }) => {
        postMessage([data.a === data.b, data.a.resizable, new Uint8Array(data.a)[7], ports.length, ports[0] === data.port,
                     buffer.byteLength, buffer.detached]);
      };
      const moved = new MessageChannel().port1;
      port2.postMessage({ a: buffer, b: buffer, port: moved }, { transfer: [buffer, moved] });
    "#;
    assert_eq!(posted(text), json!([true, true, 9, 1, true, 0, true]));
}

#[test]
fn messages_of_a_port_stay_in_order_and_wait_for_their_listener() {
    let text = r#"
      const { port1, port2 } = new MessageChannel();
      for (let i = 0; i < 1000; i++) port2.postMessage(i);
      const got: number[] = [];
      setTimeout(() => {
        port1.onmessage = ({ data }) => {
          got.push(data);
          if (data === 0) for (let i = 1000; i < 1010; i++) port2.postMessage(i);
          if (got.length === 1010) postMessage(got.every((value, at) => value === at));
        };
      }, 5);
    "#;
    assert_eq!(posted(text), json!(true));
}

#[test]
fn a_port_moves_with_its_messages() {
    // main -> worker -> back to main, with messages posted before, between and after.
    let agent = Cluster::new().unwrap().spawn(
        Code::bundle(
            "main.ts",
            [
                (
                    "main.ts",
                    "const worker = new Worker('./worker.ts', { type: 'module', name: 'w' });
                     const { port1, port2 } = new MessageChannel();
                     port2.postMessage('before');
                     worker.postMessage({ port: port1 }, [port1]);
                     port2.postMessage('between');
                     try { port1.postMessage('into nothing'); } catch (error) { postMessage(String(error)); }
                     worker.onmessage = ({ data, ports: [back] }) => {
                       port2.postMessage('after');
                       const got = data;
                       back.onmessage = ({ data }) => { got.push(data); if (got.length === 4) { postMessage(got); back.close(); worker.terminate(); } };
                     };",
                ),
                (
                    "worker.ts",
                    "onmessage = ({ data: { port } }) => {
                       const got = [name];
                       port.onmessage = ({ data }) => { got.push(data); if (got.length === 3) postMessage(got, [port]); };
                     };",
                ),
            ],
        ),
        AgentOptions::default(),
    );
    let agent = agent.unwrap();
    let got: Value = agent.receive().wait().unwrap().get().unwrap();
    assert_eq!(got, json!(["w", "before", "between", "after"]));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn shared_memory_is_shared_between_agents() {
    let agent = Cluster::new().unwrap().spawn(
        Code::bundle(
            "main.ts",
            [
                (
                    "main.ts",
                    "const cells = new Int32Array(new SharedArrayBuffer(8));
                     const workers = [0, 1].map(() => new Worker('./add.ts'));
                     let left = workers.length;
                     for (const worker of workers) {
                       worker.onmessage = () => { if (--left === 0) postMessage(cells[0]); };
                       worker.postMessage(cells);
                     }
                     Atomics.store(cells, 1, 1); Atomics.notify(cells, 1);",
                ),
                (
                    "add.ts",
                    "onmessage = ({ data }) => { Atomics.wait(data, 1, 0); for (let i = 0; i < 10000; i++) Atomics.add(data, 0, 1); postMessage('done'); close(); };",
                ),
            ],
        ),
        AgentOptions::default(),
    );
    let agent = agent.unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<u32>(), Ok(20000));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn rust_has_ports_of_its_own() {
    let agent = spawn(
        "onmessage = ({ data, ports: [port] }) => { port.onmessage = ({ data }) => port.postMessage(data + 1); port.postMessage(data); };",
    );
    let (mine, theirs) = Port::pair(PortLimits::default());
    mine.post(&41).unwrap();
    agent.port().post_with(&"hello", vec![theirs]).unwrap();
    assert_eq!(mine.receive().wait().unwrap().get::<String>(), Ok("hello".into()));
    assert_eq!(mine.receive().wait().unwrap().get::<u8>(), Ok(42));
    assert_eq!(mine.receive().wait_timeout(Duration::from_millis(1)).unwrap_err(), ReceiveError::Timeout);
    mine.post(&1).unwrap();
    assert_eq!(mine.receive().wait().unwrap().get::<u8>(), Ok(2));
    drop(mine);
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn an_agents_port_goes_to_rust_with_its_messages() {
    let agent = spawn(
        "const { port1, port2 } = new MessageChannel();
         const inner = new MessageChannel();
         inner.port2.postMessage(new Map([['deep', 1]]));
         port2.postMessage({ before: [1, 2n ** 60n] });
         port2.postMessage('with a port', [inner.port1]);
         port2.onmessage = ({ data }) => port2.postMessage({ echo: data });
         const bytes = new Uint8Array([1, 2, 3]);
         postMessage([port1, bytes.buffer], [port1, bytes.buffer]);
         postMessage(bytes.length);
         addEventListener('message', () => {});",
    );
    let mut message: Message = agent.receive().wait().unwrap();
    assert_eq!(message.get::<(Value, Vec<u8>)>(), Ok((Value::Null, vec![1, 2, 3])));
    assert_eq!(agent.receive().wait().unwrap().get::<u8>(), Ok(0), "the buffer was detached");
    let port = message.ports.remove(0);
    let before: Value = port.receive().wait().unwrap().get().unwrap();
    assert_eq!(before, json!({ "before": [1, 1u64 << 60] }));
    let (text, ports): (String, _) = port.receive().wait().unwrap().into().unwrap();
    assert_eq!((&*text, ports.len()), ("with a port", 1));
    assert_eq!(ports[0].receive().wait().unwrap().get::<Value>(), Ok(json!({ "deep": 1 })));
    port.post(&"hi").unwrap();
    assert_eq!(port.receive().wait().unwrap().get::<Value>(), Ok(json!({ "echo": "hi" })));
    // And back again, by way of another agent's queue.
    let other = spawn(
        "onmessage = ({ ports: [port] }) => { port.onmessage = ({ data }) => postMessage(data); port.postMessage(5); };",
    );
    other.port().post_with(&(), vec![port]).unwrap();
    assert_eq!(other.receive().wait().unwrap().get::<Value>(), Ok(json!({ "echo": 5 })));
}

#[test]
fn a_closed_port_says_so() {
    let agent = spawn(
        "onmessage = ({ data, ports: [port] }) => {
           port.addEventListener('close', () => postMessage('closed'));
           port.onmessage = ({ data }) => postMessage(data);
           if (data) port.close();
         };",
    );
    let (mine, theirs) = Port::pair(PortLimits::default());
    mine.post(&"last").unwrap();
    agent.port().post_with(&false, vec![theirs]).unwrap();
    drop(mine);
    assert_eq!(agent.receive().wait().unwrap().get::<String>(), Ok("last".into()));
    assert_eq!(agent.receive().wait().unwrap().get::<String>(), Ok("closed".into()));
    let (mine, theirs) = Port::pair(PortLimits::default());
    agent.port().post_with(&true, vec![theirs]).unwrap();
    assert_eq!(mine.receive().wait().unwrap_err(), ReceiveError::Closed);
    assert_eq!(mine.post(&1), Err(PostError::Closed));
    assert_eq!(mine.try_receive().unwrap_err(), ReceiveError::Closed);
}

#[test]
fn limits_of_ports_hold_in_both_directions() {
    let ports = PortLimits { message_bytes: 1000, queue_messages: 3, queue_bytes: 1500 };
    let agent = spawn_with(
        "export const post = (n) => { try { postMessage('x'.repeat(n)); return 'posted'; } catch (error) { return error.name; } };
         export const move = (n) => { const b = new ArrayBuffer(n); try { postMessage(b, [b]); } catch (error) { return [error.name, b.byteLength]; } };
         export const own = (n) => { const { port1, port2 } = new MessageChannel();
           try { for (let i = 0; i < 5; i++) port2.postMessage(new Uint8Array(n)); } catch (error) { return error.name; } };",
        AgentOptions { ports, ..AgentOptions::default() },
    );
    let large = "x".repeat(2000);
    assert!(matches!(agent.post(&large), Err(PostError::TooLarge { max: 1000, .. })));
    let call = |name: &str, n: u32| agent.call::<Value>(name, &[n]).wait().unwrap();
    assert_eq!(call("post", 2000), json!("DataCloneError"));
    assert_eq!(call("move", 2000), json!(["DataCloneError", 2000]), "a buffer is not taken for nothing");
    assert_eq!(call("own", 2000), json!("DataCloneError"));
    assert_eq!(call("own", 10), json!("QuotaExceededError"), "too many messages");
    assert_eq!(call("own", 600), json!("QuotaExceededError"), "too many bytes");
    for _ in 0..3 {
        assert_eq!(call("post", 1), json!("posted"));
    }
    assert_eq!(call("post", 1), json!("QuotaExceededError"));
    agent.receive().wait().unwrap();
    assert_eq!(call("post", 1), json!("posted"), "there is room again");
}

#[test]
fn hostile_sizes_are_refused_before_they_take_memory() {
    let agent = spawn_with(
        "const attempt = (make) => { try { postMessage(make()); return 'posted'; } catch (error) { return error.name; } };
         export const array = () => attempt(() => new Array(2 ** 32 - 1));
         export const text = () => attempt(() => 'x'.repeat(2 ** 28));
         export const buffer = () => attempt(() => new ArrayBuffer(2 ** 28));
         export const many = () => attempt(() => { const a = ['x'.repeat(2 ** 16)]; return new Array(2 ** 10).fill(a); });
         export const result = () => new Array(2 ** 32 - 1);",
        AgentOptions {
            ports: PortLimits { message_bytes: 1 << 20, ..PortLimits::default() },
            heap_bytes: 1 << 30,
            ..AgentOptions::default()
        },
    );
    for export in ["array", "text", "buffer", "many"] {
        assert_eq!(agent.call::<String>(export, &()).wait(), Ok("DataCloneError".into()), "{export}");
    }
    assert!(agent.call::<Value>("result", &()).wait().is_err());
    assert_eq!(agent.eval::<u8>("1").wait(), Ok(1));
}

#[test]
fn ports_nest_as_deep_as_a_script_likes() {
    // Each message holds the port whose queue holds the next message.
    let agent = spawn(
        "export const nest = () => {
           let { port1, port2 } = new MessageChannel();
           for (let i = 0; i < 100000; i++) {
             const next = new MessageChannel();
             next.port1.postMessage(null, [port2]);
             port2 = next.port2;
           }
           port2.close();
         };",
    );
    agent.call::<()>("nest", &()).wait().unwrap();
    assert_eq!(agent.join().wait(), Exit::Finished);
}
