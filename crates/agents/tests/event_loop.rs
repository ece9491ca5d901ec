//! What runs when, what keeps an agent, and what ends it.

#[path = "support/threads.rs"]
mod threads;

use std::process::Command;
use std::thread;
use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, CallError, Cluster, Code, Deterministic, Exit, Limits};
use serde_json::{Value, json};
use threads::none_left;

fn spawn(text: &str) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::source("main.ts", text), AgentOptions::default()).unwrap()
}

#[track_caller]
fn posted(text: &str) -> Value {
    first_message(&spawn(text))
}

/// In virtual time, so that a machine that is busy with something else changes nothing.
#[track_caller]
fn posted_in_virtual_time(text: &str) -> Value {
    let cluster = Cluster::deterministic(Deterministic::seed(1)).unwrap();
    first_message(&cluster.spawn(Code::source("main.ts", text), AgentOptions::default()).unwrap())
}

#[track_caller]
fn first_message(agent: &AgentHandle) -> Value {
    let message = agent.receive().wait_timeout(Duration::from_secs(60));
    message.unwrap_or_else(|error| panic!("{error}: {agent:?}")).get().unwrap()
}

#[test]
fn microtasks_are_drained_after_each_task() {
    let text = "
      const log = [];
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => { log.push(`m${data}`); Promise.resolve().then(() => log.push(`after m${data}`)).then(() => queueMicrotask(() => log.push(`last of m${data}`))); };
      setTimeout(() => { log.push('t'); queueMicrotask(() => log.push('after t')); }, 0);
      setTimeout(() => { log.push('u'); postMessage(log); }, 20);
      port2.postMessage(1);
      port2.postMessage(2);
      Promise.resolve().then(() => log.push('after main'));
      log.push('main');";
    assert_eq!(
        posted_in_virtual_time(text),
        json!([
            "main",
            "after main",
            "t",
            "after t",
            "m1",
            "after m1",
            "last of m1",
            "m2",
            "after m2",
            "last of m2",
            "u"
        ])
    );
}

#[test]
fn tasks_run_in_the_order_in_which_they_became_runnable() {
    let text = "
      const log = [];
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => log.push(data);
      const cells = new Int32Array(new SharedArrayBuffer(4));
      const busy = (ms) => Atomics.wait(cells, 0, 0, ms);
      setTimeout(() => log.push('30'), 30);
      setTimeout(() => log.push('5'), 5);
      setTimeout(() => log.push('5 again'), 5);
      busy(15);
      port2.postMessage('posted at 15');
      busy(30);
      port2.postMessage('posted at 45');
      setTimeout(() => { log.push('end'); postMessage(log); }, 0);";
    assert_eq!(posted_in_virtual_time(text), json!(["5", "5 again", "posted at 15", "30", "posted at 45", "end"]));
}

#[test]
fn no_port_and_no_timer_starves() {
    // Two ports that answer themselves for ever, and a timer between.
    let text = "
      const counts = [0, 0];
      for (const at of [0, 1]) {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => { counts[at]++; port2.postMessage(null); };
        port2.postMessage(null);
      }
      let ticks = 0;
      const id = setInterval(() => { if (++ticks === 5) { clearInterval(id); postMessage(Math.abs(counts[0] - counts[1]) <= 1 && counts[0] > 0); close(); } }, 1);";
    assert_eq!(posted(text), json!(true));
}

#[test]
fn timers_fire_once_or_until_they_are_cleared() {
    let text = "
      const log = [];
      const gone = setTimeout(() => log.push('never'), 1);
      clearTimeout(gone); clearTimeout(undefined); clearInterval(12345);
      setTimeout((...args) => log.push(args.join()), 1, 'a', 'b');
      let n = 0;
      const id = setInterval(() => { log.push(++n); if (n === 3) { clearInterval(id); setTimeout(() => postMessage(log), 10); } }, 2);
      setTimeout(() => log.push('negative'), -5);
      setTimeout(() => log.push('no number'), 'x');
      try { setTimeout('code', 1); } catch (error) { log.push(error.name); }";
    assert_eq!(posted_in_virtual_time(text), json!(["TypeError", "negative", "no number", "a,b", 1, 2, 3]));
}

#[test]
fn wait_async_is_woken_here_and_by_others_and_times_out() {
    let agent = Cluster::new()
        .unwrap()
        .spawn(
            Code::bundle(
                "main.ts",
                [
                    (
                        "main.ts",
                        "const cells = new Int32Array(new SharedArrayBuffer(16));
                         const waits = [Atomics.waitAsync(cells, 0, 0).value, Atomics.waitAsync(cells, 1, 0).value,
                                        Atomics.waitAsync(cells, 2, 0, 10).value];
                         Atomics.notify(cells, 0);
                         const worker = new Worker('./notify.ts');
                         worker.postMessage(cells);
                         postMessage(await Promise.all(waits));",
                    ),
                    ("notify.ts", "onmessage = ({ data }) => { Atomics.notify(data, 1); close(); };"),
                ],
            ),
            AgentOptions::default(),
        )
        .unwrap();
    let answer: Value = agent.receive().wait().unwrap().get().unwrap();
    assert_eq!(answer, json!(["ok", "ok", "timed-out"]));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn webassembly_is_compiled_off_the_thread() {
    let text = "
      const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11]);
      const { instance } = await WebAssembly.instantiate(bytes);
      postMessage(instance.exports.f());";
    assert_eq!(posted(text), json!(42));
}

#[test]
fn weak_references_lapse_between_tasks() {
    let text = "
      const registry = new FinalizationRegistry(() => {});
      let strong: any = { big: new Array(1000) };
      const weak = new WeakRef(strong);
      strong = null;
      const kept = weak.deref() !== undefined;
      setTimeout(() => postMessage(kept), 1);";
    assert_eq!(posted(text), json!(true));
}

#[test]
fn an_agent_that_waits_collects_what_nothing_holds() {
    let text = "
      const registry = new FinalizationRegistry((name) => postMessage(name));
      registry.register({ big: new Array(1000) }, 'gone');
      onmessage = ({ data }) => postMessage(registry && data);";
    let agent = spawn(text);
    // Nothing else makes it collect.
    assert_eq!(first_message(&agent), json!("gone"));
    // It is as it was.
    agent.port().post(&1).unwrap();
    assert_eq!(first_message(&agent), json!(1));
    agent.terminate();
    assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()));
}

#[test]
fn an_agent_stays_for_what_can_still_happen_and_no_longer() {
    for (text, stays) in [
        ("", false),
        ("setTimeout(() => {}, 1)", false),
        ("onmessage = () => {};", false),
        ("globalThis.channel = new MessageChannel(); channel.port1.onmessage = () => {};", true),
        ("const { port1, port2 } = new MessageChannel(); port1.onmessage = () => {}; port2.close();", false),
        ("const { port1, port2 } = new MessageChannel(); port1.onmessage = () => {}; port1.onmessage = null;", false),
        ("Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0);", true),
        ("Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);", false),
        ("new Worker('data:text/javascript,')", false),
        ("new Worker('data:text/javascript,setInterval(() => {}, 1)')", true),
        ("setInterval(() => {}, 1)", true),
        ("new Promise(() => {})", false),
    ] {
        let agent = spawn(text);
        if stays {
            let agent = agent.join().wait_timeout(Duration::from_millis(30)).expect_err(text);
            agent.terminate();
            assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()), "{text}");
        } else {
            assert_eq!(agent.join().wait(), Exit::Finished, "{text}");
        }
    }
}

#[test]
fn whatever_runs_or_waits_is_terminated() {
    for text in [
        "for (;;);",
        "for (;;) try { for (;;); } catch {} finally { continue; }",
        "await (async () => { for (;;) await 0; })();",
        "const f = () => queueMicrotask(f); f();",
        "const f = () => Promise.resolve().then(f); f();",
        "/^(a+)+$/.test('a'.repeat(40) + 'b');",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
        "await new Promise(() => { setInterval(() => {}, 1000); });",
        "await Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0).value;",
        "onmessage = () => {};",
        "setTimeout(() => {}, 1e6);",
        "setTimeout(() => { for (;;); }, 0);",
        "structuredClone({ get a() { for (;;); } });",
        "postMessage({ get a() { for (;;); } });",
        "onmessage = () => { throw { toString() { for (;;); } } }; for (;;);",
        "new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,7,5,1,1,102,0,0,10,9,1,7,0,3,64,12,0,11,11]))).exports.f();",
        "addEventListener('error', () => { for (;;); }); reportError(1);",
        "import('data:text/javascript,for (;;);');",
    ] {
        let agent = spawn(&format!("postMessage('up');\n{text}"));
        agent.receive().wait().unwrap();
        // Some shapes need a moment to get where they are to be stopped; all must stop at any moment.
        thread::sleep(Duration::from_millis(3));
        agent.terminate();
        assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()), "{text}");
    }
}

#[test]
fn an_agent_is_terminated_at_any_moment() {
    let cluster = Cluster::new().unwrap();
    for text in [
        "for (;;) { structuredClone([1, {}]); new MessageChannel(); }",
        // An interrupt between the script's last look and the engine's sleep is not seen.
        "for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.01); ",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
    ] {
        for round in 0..100 {
            let agent = cluster.spawn(Code::source("x.ts", text), AgentOptions::default()).unwrap();
            thread::sleep(Duration::from_micros(round * 13));
            agent.terminate();
            assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()), "{text}");
        }
    }
}

#[test]
fn pending_calls_end_with_the_agent() {
    let agent = spawn("export const never = () => new Promise(() => {}); export const busy = () => { for (;;); };");
    let never = agent.call::<()>("never", &());
    let busy = agent.call::<()>("busy", &());
    let queued = agent.call::<()>("never", &());
    let never = never.wait_timeout(Duration::from_millis(20)).unwrap_err();
    agent.terminate();
    assert_eq!(never.wait(), Err(CallError::Ended));
    assert_eq!(busy.wait(), Err(CallError::Ended));
    assert_eq!(queued.wait(), Err(CallError::Ended));
}

#[test]
fn a_tree_of_workers_is_terminated_with_its_root() {
    let tree = "
      const depth = name.length;
      let ready = 0;
      const up = () => { if (++ready === (depth < 3 ? 2 : 0) + 1) { postMessage('up'); if (depth) for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); } };
      if (depth < 3) for (let i = 0; i < 2; i++) { const w = new Worker('./tree.ts', { name: name + 'x' }); w.onmessage = up; }
      up();";
    let cluster = Cluster::new().unwrap();
    for _ in 0..3 {
        let code = Code::bundle("tree.ts", [("tree.ts", tree)]);
        let agent = cluster.spawn(code, AgentOptions::default()).unwrap();
        agent.receive().wait().unwrap();
        agent.terminate();
        // Workers are joined before their parent ends.
        assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()));
    }
    none_left("xx");
}

#[test]
fn workers_tell_their_errors_and_end_alone() {
    let agent = Cluster::new()
        .unwrap()
        .spawn(
            Code::bundle(
                "main.ts",
                [
                    (
                        "main.ts",
                        "const log = [];
                         const one = (url) => new Promise((resolve) => {
                           const worker = new Worker(url);
                           worker.onerror = (event) => { event.preventDefault(); resolve([event.message, event.filename, event.lineno, event.colno]); };
                         });
                         log.push(await one('./throws.ts'), await one('./fails.ts'), await one('./syntax.ts'));
                         log.push(await one('./nowhere.ts'));
                         try { new Worker('./throws.ts', { type: 'classic' }); } catch (error) { log.push(error.name); }
                         postMessage(log);",
                    ),
                    ("throws.ts", "setTimeout(() => {\n  throw new RangeError('later');\n}, 1);"),
                    ("fails.ts", "\n throw new TypeError('at once');"),
                    ("syntax.ts", "let a; let a;"),
                ],
            ),
            AgentOptions::default(),
        )
        .unwrap();
    let log: Value = agent.receive().wait().unwrap().get().unwrap();
    assert_eq!(log[0], json!(["RangeError: later", "throws.ts", 2, 9]));
    assert_eq!(log[1], json!(["TypeError: at once", "fails.ts", 2, 8]));
    assert!(log[2][0].as_str().unwrap().starts_with("SyntaxError: syntax.ts:1:"), "{log}");
    assert_eq!((&log[2][1], &log[2][2]), (&json!("syntax.ts"), &json!(1)));
    let missing = r#"TypeError: main.ts:3:43: cannot import "./nowhere.ts": the bundle has no such module"#;
    assert_eq!(log[3], json!([missing, "main.ts", 3, 43]));
    assert_eq!(log[4], "TypeError");
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn the_console_is_the_clusters() {
    let cluster = Cluster::with_limits(Limits::default()).unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    cluster.set_console(move |level, text| drop(send.send((level, text.to_owned()))));
    let options = AgentOptions { name: "talker".into(), ..AgentOptions::default() };
    let text = "console.log('%d of %o', 1, { a: [1] }); console.error(new Map([[1, 2]])); throw new Error('loud');";
    let exit = cluster.spawn(Code::source("c.ts", text), options.clone()).unwrap().join().wait();
    assert!(matches!(&exit, Exit::Failed(error) if error.to_string().contains("loud")), "{exit:?}");
    assert_eq!(lines.try_recv().unwrap(), (peristyle_agents::Level::Log, "1 of { a: [1] }".into()));
    assert_eq!(lines.try_recv().unwrap(), (peristyle_agents::Level::Error, "Map(1) { 1 => 2 }".into()));
    let text = "setTimeout(() => { throw new Error('unheard'); }, 0)";
    cluster.spawn(Code::source("d.ts", text), options).unwrap().join().wait();
    let (level, text) = lines.try_recv().unwrap();
    assert_eq!(level, peristyle_agents::Level::Error);
    assert!(text.starts_with("Uncaught in talker: Error: unheard\n    at d.ts:1:26"), "{text}");
}

/// Ends the process in the way that the variable names; run by the test below in processes of its own.
#[test]
fn end() {
    let Ok(way) = std::env::var("PERISTYLE_TEST_END") else { return };
    let cluster = Cluster::new().unwrap();
    let start = |text: &str| {
        let agent = cluster.spawn(Code::source("x.ts", text), AgentOptions::default()).unwrap();
        agent.receive().wait().unwrap();
        agent
    };
    let agents = vec![
        start("postMessage(1); onmessage = () => {};"),
        start("postMessage(1); for (;;);"),
        start("postMessage(1); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);"),
    ];
    println!("before the end");
    match way.as_str() {
        "drop" => drop(agents),
        "leak" => std::mem::forget((agents, cluster)),
        "exit" => std::process::exit(7),
        "exit-other" => thread::spawn(|| std::process::exit(7)).join().unwrap(),
        "terminate" => {
            agents.iter().for_each(AgentHandle::terminate);
            agents.into_iter().for_each(|agent| drop(agent.join().wait()));
        }
        "panic" => panic!("as asked"),
        other => panic!("{other}"),
    }
}

#[test]
fn processes_end_well_while_agents_run() {
    for (way, code) in [("drop", 0), ("leak", 0), ("exit", 7), ("exit-other", 7), ("terminate", 0), ("panic", 101)] {
        for _ in 0..3 {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "end", "--nocapture", "--test-threads", "1"])
                .env("PERISTYLE_TEST_END", way)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{way}: {text} {errors}");
            assert!(text.contains("before the end"), "{way}: {text}");
        }
    }
}
