//! Node's modules and manners in agents that Rust spawns. What a script sees is compared with Node itself in the tests of
//! the command `peristyle`.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use peristyle_agents::{
    AgentError, AgentHandle, AgentOptions, Allowed, CallError, Cluster, Code, Exit, Level, NodeOptions, Stream, Thrown,
};

fn node() -> AgentOptions {
    AgentOptions { node: Some(NodeOptions::default()), ..AgentOptions::default() }
}

fn spawn(text: &str, options: AgentOptions) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::source("main.ts", text), options).unwrap()
}

/// What a script of an agent in Node's manner prints, and how it ends.
fn printed(text: &str, options: AgentOptions) -> (String, Exit) {
    let text_of = Arc::new(Mutex::new(String::new()));
    let cluster = Cluster::new().unwrap();
    let seen = text_of.clone();
    cluster.set_console(move |level: Level, line: &str| {
        seen.lock().unwrap().push_str(&format!("{level:?} {line}\n"));
    });
    let exit = cluster.spawn(Code::source("main.ts", text), options).unwrap().join().wait();
    let text = text_of.lock().unwrap().clone();
    (text, exit)
}

#[test]
fn modules_are_there_without_nodes_manners() {
    let agent = spawn(
        "import { Worker, isMainThread, parentPort, threadId } from 'node:worker_threads';
         import { join } from 'path';
         import process, { env } from 'node:process';
         import * as fs from 'node:fs';
         export const facts = () => [isMainThread, parentPort === null, threadId, join('a', '..', 'b'), typeof globalThis.process,
           typeof setTimeout(() => {}, 0), Object.keys(env).length, process === globalThis.process];
         export const work = (n: number) => new Promise((resolve, reject) => {
           const worker = new Worker('require(\"worker_threads\").parentPort.postMessage(require(\"worker_threads\").workerData + 1)', { eval: true, workerData: n });
           worker.on('message', resolve);
           worker.on('error', reject);
         });
         export const read = () => { try { fs.readFileSync('/etc/hostname'); } catch (error) { return [error.code, error.message]; } };",
        AgentOptions::default(),
    );
    type Facts = (bool, bool, u32, String, String, String, u32, bool);
    let expected = (true, true, 0, "b".into(), "undefined".into(), "number".into(), 0, false);
    assert_eq!(agent.call::<Facts>("facts", &()).wait(), Ok(expected));
    assert_eq!(agent.call::<u32>("work", &[41]).wait(), Ok(42));
    let (code, message) = agent.call::<(String, String)>("read", &()).wait().unwrap();
    assert_eq!(code, "EACCES");
    assert!(message.contains("NodeOptions::read"), "{message}");
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn a_module_that_node_has_and_we_have_not_is_named() {
    for (text, line, asked) in [("import 'node:http';", 1, "node:http"), ("\nimport x from 'node:';", 2, "node:")] {
        match spawn(text, AgentOptions::default()).join().wait() {
            Exit::Failed(AgentError::Import { specifier, reason, line: at, .. }) => {
                assert_eq!((&*specifier, at), (asked, line));
                assert!(reason.contains(asked) && reason.contains("node:fs/promises"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let agent = spawn("export const ask = () => import('node:http').catch((error) => error.message);", node());
    let message = agent.call::<String>("ask", &()).wait().unwrap();
    assert!(message.contains("\"node:http\"") && message.contains("node:worker_threads"), "{message}");
}

#[test]
fn a_bundles_own_module_comes_before_a_built_in_one_without_its_scheme() {
    let code = Code::bundle(
        "main.ts",
        [
            (
                "main.ts",
                "import own from 'events'; import real from 'node:events'; export const names = () => [own, real.name];",
            ),
            ("events.js", "export default 'own';"),
        ],
    );
    let agent = Cluster::new().unwrap().spawn(code, node()).unwrap();
    assert_eq!(agent.call::<(String, String)>("names", &()).wait(), Ok(("own".into(), "EventEmitter".into())));
}

#[test]
fn exit_ends_an_agent_wherever_it_is() {
    for (text, code) in [
        ("process.exit(3);", 3),
        ("try { process.exit(4); } catch { process.exit(5); } finally { process.exit(6); }", 4),
        ("setInterval(() => {}, 1000); setTimeout(() => process.exit(7), 1);", 7),
        ("Promise.resolve().then(() => process.exit(8)); await new Promise(() => {});", 8),
        ("process.exitCode = 9;", 9),
        ("[3, 1, 2].sort(() => process.exit(10));", 10),
        ("new Proxy({}, { get() { process.exit(11); } }).x;", 11),
        ("process.exit(-1);", -1),
    ] {
        assert_eq!(spawn(text, node()).join().wait(), Exit::Exited(code), "{text}");
    }
    assert_eq!(spawn("process.exit();", node()).join().wait(), Exit::Exited(0));
    assert_eq!(spawn("process.exitCode = 0;", node()).join().wait(), Exit::Finished);
    let agent =
        spawn("import { exit } from 'node:process'; export const end = () => exit(12);", AgentOptions::default());
    assert_eq!(agent.call::<()>("end", &()).wait(), Err(CallError::Ended));
    assert_eq!(agent.join().wait(), Exit::Exited(12));
}

#[test]
fn an_error_that_nothing_handles_ends_an_agent_in_nodes_manner() {
    for text in [
        "throw new RangeError('no');",
        "setTimeout(() => { throw new RangeError('no'); }, 1); setInterval(() => {}, 1000);",
        "Promise.reject(new RangeError('no')); setInterval(() => {}, 1000);",
        "queueMicrotask(() => { throw new RangeError('no'); }); setInterval(() => {}, 1000);",
        "process.nextTick(() => { throw new RangeError('no'); }); setInterval(() => {}, 1000);",
        "setImmediate(() => { throw new RangeError('no'); }); setInterval(() => {}, 1000);",
    ] {
        let (send, told) = mpsc::channel();
        let on_error = Arc::new(move |thrown: &Thrown| drop(send.send((thrown.name.clone(), thrown.message.clone()))));
        let options = AgentOptions { on_error: Some(on_error), ..node() };
        assert_eq!(spawn(text, options).join().wait(), Exit::Exited(1), "{text}");
        assert_eq!(told.iter().collect::<Vec<_>>(), [("RangeError".to_owned(), "no".to_owned())], "{text}");
    }
}

#[test]
fn output_goes_where_the_host_says() {
    let (send, written) = mpsc::channel();
    let send = Mutex::new(send);
    let output = Arc::new(move |stream: Stream, text: &str| drop(send.lock().unwrap().send((stream, text.to_owned()))));
    let options = AgentOptions {
        node: Some(NodeOptions { output: Some(output), arguments: vec!["a b".into()], ..NodeOptions::default() }),
        ..AgentOptions::default()
    };
    let text = "process.stdout.write('half '); process.stderr.write('other'); console.log(process.argv.slice(2)); console.warn('w');";
    let (console, exit) = printed(text, options);
    assert_eq!(exit, Exit::Finished);
    assert_eq!(console, "Log [ 'a b' ]\nWarn w\n");
    let written: Vec<_> = written.iter().collect();
    assert_eq!(written, [(Stream::Stdout, "half ".to_owned()), (Stream::Stderr, "other".to_owned())]);
}

#[test]
fn the_environment_is_what_is_allowed() {
    let path = std::env::var("PATH").unwrap();
    let text = "console.log(process.env.PATH, Object.keys(process.env).length)";
    let with = |env| {
        let node = Some(NodeOptions { env, ..NodeOptions::default() });
        printed(text, AgentOptions { node, ..AgentOptions::default() }).0
    };
    assert_eq!(with(Allowed::Nothing), "Log undefined 0\n");
    assert_eq!(with(Allowed::These(vec!["PATH".into(), "NOT_SET_ANYWHERE".into()])), format!("Log {path} 1\n"));
    assert!(with(Allowed::Everything).starts_with(&format!("Log {path} ")));
}

#[test]
fn limits_of_workers_are_never_above_those_of_their_parents() {
    let text = "
        import { Worker } from 'node:worker_threads';
        const limits = { maxOldGenerationSizeMb: 100000, stackSizeMb: 100000 };
        const worker = new Worker(`
          const all = [];
          for (;;) all.push({ all: [all.length] });
        `, { eval: true, resourceLimits: limits });
        worker.on('error', (error) => console.log(error.code));
        worker.on('exit', (code) => console.log('exit', code));
    ";
    let (text, exit) = printed(text, AgentOptions { heap_bytes: 24 << 20, ..node() });
    assert_eq!((&*text, exit), ("Log ERR_WORKER_OUT_OF_MEMORY\nLog exit 1\n", Exit::Finished));
}

#[test]
fn terminating_an_agent_ends_its_workers() {
    let agent = spawn(
        "import { Worker } from 'node:worker_threads';
         const nested = `const { Worker, parentPort } = require('worker_threads');
           new Worker('require(\"worker_threads\").parentPort.postMessage(1); for (;;);', { eval: true })
             .on('message', (message) => { parentPort.postMessage(message); for (;;); });`;
         new Worker(nested, { eval: true }).on('message', (message) => { postMessage(message); for (;;); });",
        node(),
    );
    assert_eq!(agent.receive().wait().unwrap().get::<u32>().unwrap(), 1);
    agent.terminate();
    let ended = agent.join().wait_timeout(Duration::from_secs(20));
    assert!(matches!(ended, Ok(Exit::Terminated(_))), "{ended:?}");
}

#[test]
fn ports_and_timers_that_are_not_to_keep_an_agent_do_not() {
    let (text, exit) = printed(
        "import { MessageChannel, Worker } from 'node:worker_threads';
         const { port1, port2 } = new MessageChannel();
         port1.on('message', () => {}).unref();
         globalThis.other = port2;
         setInterval(() => {}, 10_000).unref();
         const worker = new Worker('setInterval(() => {}, 10_000)', { eval: true });
         worker.unref();
         const kept = setTimeout(() => console.log('kept'), 20).unref();
         kept.ref();",
        node(),
    );
    assert_eq!((&*text, exit), ("Log kept\n", Exit::Finished));
}

#[test]
fn a_first_message_that_is_too_large_starts_no_worker() {
    let mut options = node();
    options.ports.message_bytes = 64 << 10;
    let (text, exit) = printed(
        "import { Worker } from 'node:worker_threads';
         try {
           new Worker('1', { eval: true, workerData: new Uint8Array(100_000) });
         } catch (error) {
           console.log(error.name);
         }
         new Worker('console.log(2)', { eval: true, workerData: new Uint8Array(10) });",
        options,
    );
    assert_eq!((&*text, exit), ("Log DataCloneError\nLog 2\n", Exit::Finished));
}
