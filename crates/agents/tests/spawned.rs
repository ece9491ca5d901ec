//! Agents spawned from Rust: code, calls, values, errors, ends.

mod support;
#[path = "support/threads.rs"]
mod threads;

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use peristyle_agents::{AgentError, AgentHandle, AgentOptions, CallError, Cluster, Code, Exit, PostError, Thrown};
use serde::{Deserialize, Serialize};
use support::Files;
use threads::none_left;

fn spawn(text: &str) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::source("main.ts", text), AgentOptions::default()).unwrap()
}

/// Errors that nothing handles, as they come.
fn errors() -> (AgentOptions, mpsc::Receiver<Thrown>) {
    let (send, receive) = mpsc::channel();
    let options = AgentOptions {
        on_error: Some(std::sync::Arc::new(move |thrown: &Thrown| drop(send.send(thrown.clone())))),
        ..AgentOptions::default()
    };
    (options, receive)
}

#[test]
fn an_agent_is_called_and_joined() {
    let agent = spawn("export function add(a: number, b: number): number { return a + b; }");
    assert_eq!(agent.call::<f64>("add", &(1, 2.5)).wait(), Ok(3.5));
    assert_eq!(agent.call::<String>("add", &("a", "b")).wait(), Ok("ab".into()));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn calls_wait_for_the_module_and_for_promises() {
    let agent = spawn(
        "let ready = false;
         await new Promise((resolve) => setTimeout(resolve, 5));
         ready = true;
         export const state = () => ready;
         export const later = async (value) => { await new Promise((r) => setTimeout(r, 5)); return [value]; };
         export const fails = async () => { throw new RangeError('no'); };",
    );
    assert_eq!(agent.call::<bool>("state", &()).wait(), Ok(true));
    assert_eq!(agent.call::<Vec<u32>>("later", &[7]).wait(), Ok(vec![7]));
    match agent.call::<()>("fails", &()).wait() {
        Err(CallError::Threw(thrown)) => assert_eq!((&*thrown.name, &*thrown.message), ("RangeError", "no")),
        other => panic!("{other:?}"),
    }
    assert_eq!(agent.call::<()>("nothing", &()).wait(), Err(CallError::NoExport { name: "nothing".into() }));
}

#[test]
fn scripts_are_evaluated() {
    let agent = spawn("globalThis.x = 40;");
    assert_eq!(agent.eval::<u8>("x + 2").wait(), Ok(42));
    assert_eq!(agent.eval::<u8>("Promise.resolve(x)").wait(), Ok(40));
    assert!(matches!(agent.eval::<u8>("x +").wait(), Err(CallError::Threw(thrown)) if thrown.name == "SyntaxError"));
    assert!(matches!(agent.eval::<u8>("throw 7").wait(), Err(CallError::Threw(_))));
    assert!(matches!(agent.eval::<u8>("'text'").wait(), Err(CallError::Value(_))));
    assert_eq!(agent.eval::<u8>("x").wait(), Ok(40));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct { a: Option<i32>, b: Vec<f32> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct All {
    text: String,
    large: u64,
    negative: i64,
    safe: u64,
    float: f64,
    nothing: Option<u8>,
    something: Option<u8>,
    unit: (),
    pair: (u8, char),
    shapes: Vec<Shape>,
    by_name: BTreeMap<String, u8>,
    by_number: HashMap<u16, bool>,
    bytes: Bytes,
}

/// Bytes, as `serde_bytes` has them.
#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visit;
        impl serde::de::Visitor<'_> for Visit {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visit)
    }
}

#[test]
fn values_of_serde_come_back_as_they_were() {
    let all = All {
        text: "ü🦀\0".into(),
        large: u64::MAX,
        negative: i64::MIN,
        safe: (1 << 53) - 1,
        float: -0.25,
        nothing: None,
        something: Some(3),
        unit: (),
        pair: (9, '🦀'),
        shapes: vec![
            Shape::Unit,
            Shape::Newtype(1),
            Shape::Tuple(2, "t".into()),
            Shape::Struct { a: None, b: vec![0.5, f32::INFINITY] },
        ],
        by_name: BTreeMap::from([("one".into(), 1), ("__proto__".into(), 2)]),
        by_number: HashMap::from([(7, true), (8, false)]),
        bytes: Bytes(vec![0, 255, 7]),
    };
    let agent = spawn(
        "export const same = (value) => value;
         export const kinds = (all) => [
           typeof all.large, typeof all.negative, typeof all.safe, typeof all.float, all.nothing === null,
           all.bytes instanceof Uint8Array, all.by_number instanceof Map, all.shapes[0], all.shapes[1].Newtype,
           Object.getPrototypeOf(all.by_name) === Object.prototype,
         ].join();",
    );
    assert_eq!(agent.call::<All>("same", &[&all]).wait(), Ok(all.clone()));
    let kinds = agent.call::<String>("kinds", &[&all]).wait().unwrap();
    assert_eq!(kinds, "bigint,bigint,number,number,true,true,true,Unit,1,true");
}

#[test]
fn what_scripts_give_becomes_values() {
    let agent = spawn(
        "export const give = () => ({
           date: new Date(5), set: new Set([1, 2]), holes: [1, , 3], boxed: Object(4), skipped: undefined,
           error: new TypeError('t'), buffer: new Uint8Array([1, 2, 3]).buffer, wide: new Uint16Array([1]),
           nested: new Map([['a', new Map([[1, 2]])]]), get got() { return 'got'; }, minus: -0,
         });",
    );
    let value: serde_json::Value = agent.eval("({ list: [1, 2.5, 'x', null, true], deep: { a: -1 } })").wait().unwrap();
    assert_eq!(value, serde_json::json!({ "list": [1, 2.5, "x", null, true], "deep": { "a": -1 } }));
    #[derive(Debug, Deserialize)]
    struct Given {
        date: f64,
        set: Vec<u8>,
        holes: Vec<Option<u8>>,
        boxed: u8,
        skipped: Option<u8>,
        error: HashMap<String, String>,
        buffer: Vec<u8>,
        wide: Bytes,
        nested: HashMap<String, HashMap<u8, u8>>,
        got: String,
        minus: f64,
    }
    let given: Given = agent.call("give", &()).wait().unwrap();
    assert_eq!((given.date, given.set, given.boxed, given.skipped), (5.0, vec![1, 2], 4, None));
    assert_eq!(given.holes, [Some(1), None, Some(3)]);
    assert_eq!((&*given.error["name"], &*given.error["message"]), ("TypeError", "t"));
    assert_eq!((given.buffer, given.wide, &*given.got), (vec![1, 2, 3], Bytes(vec![1, 0]), "got"));
    assert_eq!(given.nested["a"][&1], 2);
    assert!(given.minus == 0.0 && given.minus.is_sign_negative());
}

#[test]
fn what_cannot_cross_to_rust_is_a_data_clone_error() {
    let agent = spawn("export const give = (text) => (0, eval)(text);");
    for script in [
        "() => 1",
        "Symbol()",
        "({ a: [function f() {}] })",
        "2n ** 64n",
        "new WeakMap()",
        "new Proxy({}, {})",
        "Promise.resolve().then.bind(1)",
        "const cycle = {}; cycle.self = cycle; cycle",
        "let deep = 1; for (let i = 0; i < 1000; i++) deep = [deep]; deep",
    ] {
        match agent.call::<serde_json::Value>("give", &[script]).wait() {
            Err(CallError::Threw(thrown)) => assert_eq!(thrown.name, "DataCloneError", "{script}: {thrown}"),
            other => panic!("{script}: {other:?}"),
        }
    }
    let script = "({ get a() { throw new RangeError('mine'); } })";
    match agent.call::<serde_json::Value>("give", &[script]).wait() {
        Err(CallError::Threw(thrown)) => assert_eq!((&*thrown.name, &*thrown.message), ("RangeError", "mine")),
        other => panic!("{script}: {other:?}"),
    }
    assert_eq!(agent.call::<u8>("give", &["1"]).wait(), Ok(1));
}

#[test]
fn agents_come_from_files_and_bundles() {
    let files = Files::with(&[
        (
            "main.ts",
            "import { n } from './lib/n.ts'; import data from './data.json' with { type: 'json' };\nexport const get = async () => [n, data.a, (await import('./lib/late')).default, import.meta.url];",
        ),
        ("lib/n.ts", "export const n: number = 1;"),
        ("lib/late.ts", "import { n } from './n'; export default n + 2;"),
        ("data.json", "{ \"a\": 2 }"),
    ]);
    let cluster = Cluster::new().unwrap();
    let agent = cluster.spawn(Code::file(files.path("main.ts")), AgentOptions::default()).unwrap();
    let (n, a, late, url): (u8, u8, u8, String) = agent.call("get", &()).wait().unwrap();
    assert_eq!((n, a, late), (1, 2, 3));
    assert!(url.starts_with("file:///") && url.ends_with("/main.ts"), "{url}");

    let bundle = Code::bundle(
        "app/main.ts",
        [
            (
                "app/main.ts",
                "import { n } from '../lib/n'; import data from 'data.json' with { type: 'json' };\nexport const get = async () => [n, data.a, (await import('data:text/javascript,export default 3')).default, import.meta.url];",
            ),
            ("lib/n.ts", "export const n: number = 1;"),
            ("data.json", "{ \"a\": 2 }"),
        ],
    );
    // Two bundles have the same names and are strangers.
    for _ in 0..2 {
        let agent = cluster.spawn(bundle.clone(), AgentOptions::default()).unwrap();
        let got: (u8, u8, u8, String) = agent.call("get", &()).wait().unwrap();
        assert_eq!(got, (1, 2, 3, "source:///app/main.ts".into()));
    }
}

#[test]
fn bad_code_is_told_with_its_place() {
    let cluster = Cluster::new().unwrap();
    let spawn = |code| cluster.spawn(code, AgentOptions::default());
    assert!(matches!(spawn(Code::file("/nowhere.ts")), Err(AgentError::Missing { .. })));
    assert!(matches!(spawn(Code::bundle("a.ts", [("b.ts", "")])), Err(AgentError::Missing { .. })));
    let enumerated = spawn(Code::source("e.ts", "\n  enum E { A }"));
    assert!(matches!(enumerated, Err(AgentError::Syntax { line: 2, column: 3, .. })), "{enumerated:?}");

    let end = |text: &str| spawn(Code::source("bad.ts", text)).unwrap().join().wait();
    match end("let a = 1;\nlet a = 2;") {
        Exit::Failed(AgentError::Syntax { path, line, .. }) => assert_eq!((&*path, line), ("bad.ts".as_ref(), 2)),
        other => panic!("{other:?}"),
    }
    match end("const x: number = 1;\n  throw new RangeError('at load');") {
        Exit::Failed(AgentError::Threw { name, message, stack }) => {
            let thrown = Thrown { name, message, stack };
            assert_eq!((&*thrown.name, &*thrown.message), ("RangeError", "at load"));
            assert_eq!(thrown.place(), Some(("bad.ts", 2, 9)), "{thrown}");
        }
        other => panic!("{other:?}"),
    }
    match end("import './nowhere.ts';") {
        Exit::Failed(AgentError::Import { specifier, line: 1, .. }) => assert_eq!(specifier, "./nowhere.ts"),
        other => panic!("{other:?}"),
    }
    match end("await new Promise(() => {});") {
        Exit::Failed(AgentError::Unsettled { .. }) => {}
        other => panic!("{other:?}"),
    }
    match end("await 0; throw 7") {
        Exit::Failed(AgentError::Threw { message, .. }) => assert_eq!(message, "uncaught 7"),
        other => panic!("{other:?}"),
    }
    match end("import { nothing } from 'data:text/javascript,export default 1';") {
        Exit::Failed(AgentError::Syntax { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_go_both_ways() {
    let agent = spawn("onmessage = ({ data }) => postMessage({ got: data, kind: typeof data });");
    for (value, kind) in [(serde_json::json!([1, { "a": null }]), "object"), (serde_json::json!("text"), "string")] {
        agent.post(&value).unwrap();
        let answer: serde_json::Value = agent.receive().wait().unwrap().get().unwrap();
        assert_eq!(answer, serde_json::json!({ "got": value, "kind": kind }));
    }
    // The listener would keep the agent, but nobody can post any more.
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn what_was_posted_before_the_end_arrives() {
    let agent = spawn("for (let i = 0; i < 100; i++) postMessage(i); close();");
    let (send, receive) = mpsc::channel();
    agent.on_message(move |message| send.send(message.get::<u32>().unwrap()).unwrap());
    assert_eq!(agent.join().wait(), Exit::Closed);
    assert_eq!(receive.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());

    let agent = spawn(
        "let sum = 0; onmessage = ({ data }) => { sum += data; if (data === 10) setTimeout(() => postMessage(sum), 20); };",
    );
    (1..=10).for_each(|n| agent.post(&n).unwrap());
    let (send, receive) = mpsc::channel();
    agent.on_message(move |message| send.send(message.get::<u32>().unwrap()).unwrap());
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert_eq!(receive.recv(), Ok(55));
}

#[test]
fn errors_that_nothing_handles_are_told_and_the_agent_goes_on() {
    let (options, told) = errors();
    let text = "export const fine = () => 'fine';
export const timer = () => { setTimeout(() => { throw new RangeError('in a timer'); }, 0); };
export const rejection = () => { Promise.reject(new TypeError('nobody')); };
export const micro = () => { queueMicrotask(() => { throw 'plain'; }); };
export const reported = () => reportError(new Error('reported'));
export const handled = () => { onerror = (message, file, line) => { postMessage([message, file, line]); return true; };
  setTimeout(() => { throw new Error('handled'); }, 0); };";
    let agent = Cluster::new().unwrap().spawn(Code::source("e.ts", text), options).unwrap();
    for (export, name, message, line) in [
        ("timer", "RangeError", "in a timer", Some(2)),
        ("rejection", "TypeError", "nobody", Some(3)),
        ("micro", "string", "uncaught plain", None),
        ("reported", "Error", "reported", Some(5)),
    ] {
        agent.call::<()>(export, &()).wait().unwrap();
        let thrown = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!((&*thrown.name, &*thrown.message), (name, message));
        assert_eq!(thrown.place().map(|place| (place.0, place.1)), line.map(|line| ("e.ts", line)), "{thrown}");
    }
    agent.call::<()>("handled", &()).wait().unwrap();
    let (message, file, line): (String, String, u32) = agent.receive().wait().unwrap().get().unwrap();
    assert_eq!((&*message, &*file, line), ("Error: handled", "e.ts", 7));
    assert_eq!(agent.call::<String>("fine", &()).wait(), Ok("fine".into()));
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert!(told.try_recv().is_err(), "a handled error is told to nobody else");
}

#[test]
fn a_rejection_that_is_handled_in_its_task_is_none() {
    let (options, told) = errors();
    let text = "const p = Promise.reject(new Error('late')); queueMicrotask(() => p.catch(() => {}));
                addEventListener('unhandledrejection', (event) => { event.preventDefault(); postMessage(event.reason); });
                setTimeout(() => Promise.reject('seen'), 1);";
    let agent = Cluster::new().unwrap().spawn(Code::source("r.ts", text), options).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<String>(), Ok("seen".into()));
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert!(told.try_recv().is_err());
}

#[test]
fn futures_are_woken() {
    /// Runs a future on this thread.
    fn block_on<F: Future>(future: F) -> F::Output {
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread::current())));
        let mut future = std::pin::pin!(future);
        loop {
            match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
                std::task::Poll::Ready(value) => return value,
                std::task::Poll::Pending => thread::park(),
            }
        }
    }
    let agent = spawn(
        "export const later = () => new Promise((resolve) => setTimeout(() => resolve('done'), 10));
         setTimeout(() => postMessage('hello'), 10);",
    );
    block_on(async {
        assert_eq!(agent.call::<String>("later", &()).await, Ok("done".into()));
        assert_eq!(agent.receive().await.unwrap().get::<String>(), Ok("hello".into()));
        assert_eq!(agent.join().await, Exit::Finished);
    });
}

#[test]
fn a_handle_is_used_from_any_thread() {
    let agent = spawn("export const twice = (n) => 2 * n;");
    thread::scope(|scope| {
        for n in 0..4u32 {
            let agent = &agent;
            scope.spawn(move || {
                for i in 0..50 {
                    assert_eq!(agent.call::<u32>("twice", &[n * 100 + i]).wait(), Ok(2 * (n * 100 + i)));
                }
            });
        }
    });
}

#[test]
fn an_ended_agent_answers_with_its_end() {
    let agent = spawn("close();");
    // Posting closes the race: the port closes with the agent.
    while agent.post(&1).is_ok() {
        thread::yield_now();
    }
    assert_eq!(agent.post(&1), Err(PostError::Closed));
    assert_eq!(agent.call::<()>("any", &()).wait(), Err(CallError::Ended));
    assert_eq!(agent.eval::<()>("1").wait(), Err(CallError::Ended));
    assert_eq!(agent.join().wait(), Exit::Closed);
}

#[test]
fn a_hundred_agents_live_at_once_and_leave_nothing() {
    let cluster = Cluster::new().unwrap();
    let round = || {
        let agents: Vec<_> = (0..100)
            .map(|n| {
                let options = AgentOptions { name: format!("agent {n}"), ..AgentOptions::default() };
                let text = "onmessage = ({ data }) => postMessage([name, data]);";
                cluster.spawn(Code::source("many.ts", text), options).unwrap()
            })
            .collect();
        for (n, agent) in agents.iter().enumerate() {
            agent.post(&n).unwrap();
        }
        for (n, agent) in agents.iter().enumerate() {
            let answer: (String, usize) = agent.receive().wait().unwrap().get().unwrap();
            assert_eq!(answer, (format!("agent {n}"), n));
        }
        for agent in agents {
            assert_eq!(agent.join().wait(), Exit::Finished);
        }
    };
    round();
    round();
    none_left("agent ");
}

#[test]
fn options_bound_an_agent() {
    let cluster = Cluster::new().unwrap();
    let options = AgentOptions { heap_bytes: 16 << 20, ..AgentOptions::default() };
    let agent = cluster.spawn(Code::source("h.ts", "const all = []; for (;;) all.push({ a: [1] });"), options).unwrap();
    assert_eq!(agent.join().wait(), Exit::OutOfMemory { heap_bytes: 16 << 20 });

    let agent = cluster.spawn(
        Code::source("s.ts", "export const deep = () => { let n = 0; const f = () => { n++; f(); }; try { f(); } catch (e) { return [e.name, n]; } };"),
        AgentOptions { stack_bytes: 1 << 20, ..AgentOptions::default() },
    );
    let (name, small): (String, u32) = agent.unwrap().call("deep", &()).wait().unwrap();
    assert_eq!(name, "InternalError");
    let agent = cluster.spawn(
        Code::source("s.ts", "export const deep = () => { let n = 0; const f = () => { n++; f(); }; try { f(); } catch (e) { return [e.name, n]; } };"),
        AgentOptions::default(),
    );
    let (_, large): (String, u32) = agent.unwrap().call("deep", &()).wait().unwrap();
    assert!(large > 2 * small, "{large} {small}");

    let text = "export const wait = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
                export const shared = () => typeof SharedArrayBuffer;";
    let forbidden = AgentOptions { may_block: false, ..AgentOptions::default() };
    let agent = cluster.spawn(Code::source("b.ts", text), forbidden).unwrap();
    assert!(
        matches!(agent.call::<()>("wait", &()).wait(), Err(CallError::Threw(thrown)) if thrown.name == "TypeError")
    );
    let agent = cluster.spawn(Code::source("b.ts", text), AgentOptions::default()).unwrap();
    assert_eq!(agent.call::<String>("wait", &()).wait(), Ok("timed-out".into()));
    let unshared = AgentOptions { shared_memory: false, ..AgentOptions::default() };
    let agent = cluster.spawn(Code::source("b.ts", text), unshared).unwrap();
    assert_eq!(agent.call::<String>("shared", &()).wait(), Ok("undefined".into()));
}
