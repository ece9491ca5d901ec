//! Deterministic clusters: the same seed, the same interleaving; deadlocks and spinning found and named.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use peristyle_agents::{
    AgentHandle, AgentOptions, CallError, Cluster, Code, Deterministic, Exit, ReceiveError, RunError, Turn, Waited,
};
use serde_json::{Value, json};

fn cluster(seed: u64) -> Cluster {
    Cluster::deterministic(Deterministic::seed(seed)).unwrap()
}

fn spawn(cluster: &Cluster, name: &str, text: &str) -> AgentHandle {
    let options = AgentOptions { name: name.into(), ..AgentOptions::default() };
    cluster.spawn(Code::source("main.ts", text), options).unwrap()
}

/// Workers that wait, lock, notify, time out, post to each other over ports, and tell what they saw.
const BUSY: [(&str, &str); 2] = [
    (
        "main.ts",
        "const memory = new SharedArrayBuffer(64), mutex = new Atomics.Mutex(), log = [];
         const workers = [];
         for (let i = 0; i < 4; i++) workers.push(new Worker('./worker.ts', { name: `worker ${i}` }));
         for (let i = 0; i < 4; i++) {
           const { port1, port2 } = new MessageChannel();
           workers[i].postMessage({ memory, mutex, at: i, next: port1 }, [port1]);
           workers[(i + 1) % 4].postMessage({ last: port2 }, [port2]);
         }
         let left = 4;
         for (const worker of workers) worker.onmessage = ({ data }) => {
           log.push(data);
           if (data[0] === 'done' && --left === 0) {
             for (const worker of workers) worker.terminate();
             postMessage([log, performance.now(), Date.now()]);
           }
         };
         setInterval(() => { log.push('tick'); if (left === 0) close(); }, 3);",
    ),
    (
        "worker.ts",
        "let last, setUp;
         onmessage = ({ data }) => {
           if (data.last) { last = data.last; last.onmessage = ({ data }) => postMessage(['heard', name, data, performance.now()]); return; }
           const { memory, mutex, at, next } = data, cells = new Int32Array(memory);
           let round = 0;
           const step = () => {
             {
               using _ = Atomics.Mutex.lock(mutex);
               const seen = cells[0];
               if (Atomics.wait(cells, 8, 0, Math.random() * 2) === 'ok') postMessage(['woken', name]);
               cells[0] = seen + 1;
             }
             next.postMessage(round);
             Atomics.notify(cells, 8, 1);
             if (++round < 5) setTimeout(step, Math.random() * 4);
             else Atomics.waitAsync(cells, 9, 0, 5).value.then((end) => postMessage(['done', name, end, cells[0]]));
           };
           setTimeout(step, at % 2);
         };",
    ),
];

fn run_busy(seed: u64) -> (Value, Vec<Turn>) {
    let cluster = cluster(seed);
    let agent = cluster.spawn(Code::bundle("main.ts", BUSY), AgentOptions::default()).unwrap();
    let said = agent.receive().wait().unwrap().get::<Value>().unwrap();
    assert_eq!(agent.join().wait(), Exit::Closed);
    (said, cluster.interleaving().unwrap())
}

#[test]
fn the_same_seed_goes_the_same_way() {
    // What else runs makes no difference.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let load = thread::spawn(move || while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {});
    let first = run_busy(7);
    for _ in 0..15 {
        let again = run_busy(7);
        assert_eq!(again.0, first.0);
        assert_eq!(again.1, first.1);
    }
    drop(stop);
    load.join().unwrap();
    let (said, turns) = first;
    // All five took part, with each kind of turn, and the lock excluded: nothing was lost.
    let agents: HashSet<_> = turns.iter().map(|turn| turn.agent.to_string()).collect();
    assert_eq!(agents, HashSet::from(["0", "1 worker 0", "2 worker 1", "3 worker 2", "4 worker 3"].map(String::from)));
    for what in ["start", "message", "timer", "woken", "timed out", "worker"] {
        assert!(turns.iter().any(|turn| turn.what == what), "{what}");
    }
    assert!(said[0].as_array().unwrap().iter().any(|line| line[0] == "done" && line[3] == 20), "{said}");
    // Virtual time: it moved in steps, and the date goes with it.
    assert!(turns.is_sorted_by_key(|turn| turn.time));
    let (now, date) = (said[1].as_f64().unwrap(), said[2].as_f64().unwrap());
    assert_eq!(date, 946_684_800_000.0 + now.trunc());
}

#[test]
fn other_seeds_go_other_ways() {
    let ways: HashSet<String> = (0..8).map(|seed| format!("{:?}", run_busy(seed).1)).collect();
    assert_eq!(ways.len(), 8);
}

/// Two agents take from an account after asking whether there is enough: a race between tasks.
fn account(seed: u64) -> i32 {
    let taker = "
      onmessage = ({ data }) => {
        onmessage = null;
        const cells = new Int32Array(data);
        const enough = cells[0] >= 10;
        setTimeout(() => { if (enough) cells[0] -= 10; }, 0);
      };";
    let cluster = cluster(seed);
    let memory = cluster.shared_buffer(4).unwrap();
    memory.i32(0).unwrap().store(10, std::sync::atomic::Ordering::SeqCst);
    let agents = ["one", "other"].map(|name| spawn(&cluster, name, taker));
    for agent in &agents {
        agent.post(&memory).unwrap();
    }
    for agent in agents {
        assert_eq!(agent.join().wait(), Exit::Finished);
    }
    memory.i32(0).unwrap().load(std::sync::atomic::Ordering::SeqCst)
}

#[test]
fn a_race_is_found_by_some_seed_and_replayed() {
    let ends: Vec<i32> = (0..20).map(account).collect();
    assert!(ends.contains(&0) && ends.contains(&-10), "{ends:?}");
    let bad = ends.iter().position(|end| *end == -10).unwrap() as u64;
    for _ in 0..5 {
        assert_eq!(account(bad), -10);
    }
}

#[test]
fn time_is_virtual() {
    let cluster = cluster(1);
    let text = "
      const log = [];
      setTimeout(() => { log.push(['day', performance.now()]); postMessage(log); }, 86400000);
      setTimeout(() => { log.push(['hour', performance.now(), new Date().toISOString()]); }, 3600000);
      const cells = new Int32Array(new SharedArrayBuffer(4));
      log.push([Atomics.wait(cells, 0, 0, 60000), performance.now(), Date.now() - Date.UTC(2000, 0), typeof Date(), new Date(5).getTime(), new Date() instanceof Date]);
      log.push([Atomics.wait(cells, 0, 1), Atomics.notify(cells, 0), Temporal.Now.instant().toString()]);
      const token = Atomics.Mutex.lock(new Atomics.Mutex());
      log.push([Atomics.Condition.waitFor(new Atomics.Condition(), token, 1000, () => false), performance.now()]);";
    let agent = spawn(&cluster, "", text);
    assert_eq!(
        agent.receive().wait().unwrap().get::<Value>().unwrap(),
        json!([
            ["timed-out", 60000, 60000, "string", 5, true],
            ["not-equal", 0, "2000-01-01T00:01:00Z"],
            [false, 61000],
            ["hour", 3600000, "2000-01-01T01:00:00.000Z"],
            ["day", 86400000]
        ])
    );
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert_eq!(cluster.interleaving().unwrap().last().unwrap().time, Duration::from_secs(86400));
}

#[test]
fn a_run_can_end_at_a_time() {
    let cluster = cluster(1);
    let text = "let n = 0; setInterval(() => n++, 1000); export const count = () => n;";
    let agent = spawn(&cluster, "", text);
    cluster.run_for(Duration::from_millis(4500)).unwrap();
    assert_eq!(cluster.interleaving().unwrap().iter().filter(|turn| turn.what == "timer").count(), 4);
    cluster.run_for(Duration::from_millis(500)).unwrap();
    let turns = cluster.interleaving().unwrap();
    assert_eq!(turns.iter().filter(|turn| turn.what == "timer").count(), 5);
    assert_eq!(turns.last().unwrap().to_string(), "5s 0: timer");
    agent.terminate();
    assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()));
}

#[test]
fn waits_in_scripts_are_as_the_standard_has_them() {
    let text = "
      const log = [], cells = new Int32Array(new SharedArrayBuffer(8)), wide = new BigInt64Array(new SharedArrayBuffer(8));
      for (const bad of [
        () => Atomics.wait(new Int32Array(2), 0, 0, 0),
        () => Atomics.wait(new Uint32Array(cells.buffer), 0, 0, 0),
        () => Atomics.wait({}, 0, 0, 0),
        () => Atomics.wait(cells, 2, 0, 0),
        () => Atomics.wait(cells, -1, 0, 0),
        () => Atomics.wait(wide, 0, 0, 0),
        () => Atomics.notify(cells, 9),
        () => Atomics.notify(new Uint8Array(1), 0),
        () => Atomics.waitAsync(new Int32Array(2), 0, 0, 0),
      ]) {
        try { bad(); log.push('worked'); } catch (error) { log.push(error.name); }
      }
      log.push(Atomics.wait(wide, 0, 0n, 1), Atomics.wait(wide, 0, -1n), Atomics.notify(new Int32Array(1), 0));
      const now = [Atomics.waitAsync(cells, 0, 1), Atomics.waitAsync(cells, 0, 0, 0)];
      log.push(...now.map((wait) => [wait.async, wait.value]));
      const first = Atomics.waitAsync(cells, 0, 0), second = Atomics.waitAsync(cells, 0, 0, 1e3), third = Atomics.waitAsync(cells, 0, 0, 2e3);
      log.push([first.async, Atomics.notify(cells, 0, 1), await first.value, await second.value, Atomics.notify(cells, 0), await third.value, performance.now()]);
      postMessage(log);";
    let agent = spawn(&cluster(3), "", text);
    let (wrong, range) = ("TypeError", "RangeError");
    assert_eq!(
        agent.receive().wait().unwrap().get::<Value>().unwrap(),
        json!([
            wrong,
            wrong,
            wrong,
            range,
            range,
            wrong,
            range,
            wrong,
            wrong,
            "timed-out",
            "not-equal",
            0,
            [false, "not-equal"],
            [false, "timed-out"],
            [true, 1, "ok", "timed-out", 1, "ok", 1001]
        ])
    );
}

#[test]
fn random_numbers_are_the_seeds_and_each_agents_own() {
    let text = "export const three = () => [Math.random(), Math.random(), Math.random()];";
    let draw = |seed: u64| {
        let cluster = cluster(seed);
        let agents = [spawn(&cluster, "", text), spawn(&cluster, "", text)];
        agents.map(|agent| agent.call::<[f64; 3]>("three", &()).wait().unwrap())
    };
    let [one, other] = draw(5);
    assert!(one != other && draw(5) == [one, other] && draw(6) != [one, other]);
    assert!(one.iter().chain(&other).all(|number| (0.0..1.0).contains(number)));
}

#[test]
fn deadlocks_are_named() {
    let cluster = cluster(11);
    let [first, second] = [cluster.shared_mutex().unwrap(), cluster.shared_mutex().unwrap()];
    // The classic one: each has what the other wants.
    let text = "
      export const take = (first, second) => {
        const held = Atomics.Mutex.lock(first);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
        Atomics.Mutex.lock(second);
      };";
    let agents = [spawn(&cluster, "left", text), spawn(&cluster, "right", text)];
    let calls = [agents[0].call::<()>("take", &(&first, &second)), agents[1].call::<()>("take", &(&second, &first))];
    let third = spawn(&cluster, "third", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);");
    let waiting = ["0 left waits for a lock", "1 right waits for a lock", "2 third waits for a notification"];
    let deadlock = RunError::Deadlock { waiting: waiting.map(String::from).into() };
    assert_eq!(cluster.run(), Err(deadlock.clone()));
    let [left, _right] = calls;
    assert_eq!(left.wait(), Err(CallError::Run(deadlock.clone())));
    assert_eq!(agents[0].receive().wait().unwrap_err(), ReceiveError::Stuck);
    // Whoever waits for the end of one ends it, and what it had is free for nobody.
    let [left, right] = agents;
    assert_eq!(left.join().wait(), Exit::Terminated(deadlock.to_string()));
    let exit = right.join().wait();
    assert!(matches!(&exit, Exit::Failed(_) | Exit::Finished), "{exit:?}");
    let waiting = vec!["2 third waits for a notification".to_owned()];
    assert_eq!(cluster.run(), Err(RunError::Deadlock { waiting }));
    third.terminate();
    assert_eq!(third.join().wait(), Exit::Terminated("terminated".into()));
    assert_eq!(cluster.run(), Ok(()));
}

#[test]
fn callbacks_have_the_turn_and_cannot_run_agents() {
    let cluster = cluster(2);
    let agent = spawn(&cluster, "", "postMessage(1);");
    let (send, ran) = std::sync::mpsc::channel();
    let inner = cluster.clone();
    agent.on_message(move |_| drop(send.send(inner.run())));
    cluster.run().unwrap();
    assert_eq!(ran.recv().unwrap(), Err(RunError::InTurn));
}

#[test]
fn rust_can_wake_between_runs() {
    let cluster = cluster(2);
    let memory = cluster.shared_buffer(4).unwrap();
    let agent = spawn(&cluster, "", "export const wait = (buffer) => Atomics.wait(new Int32Array(buffer), 0, 0);");
    let call = agent.call::<String>("wait", &(&memory,));
    assert!(matches!(cluster.run(), Err(RunError::Deadlock { .. })));
    assert_eq!(cluster.notify(&memory, 0, None).unwrap(), 1);
    assert_eq!(call.wait().unwrap(), "ok");
    // And waits for agents, which run meanwhile.
    let text = "onmessage = ({ data }) => setTimeout(() => Atomics.notify(new Int32Array(data), 0), 1000);";
    let agent = spawn(&cluster, "", text);
    agent.post(&memory).unwrap();
    assert_eq!(cluster.wait(&memory, 0, 0, None).unwrap(), Waited::Notified);
    assert_eq!(cluster.wait(&memory, 0, 1, None).unwrap(), Waited::NotEqual);
    assert_eq!(cluster.wait(&memory, 0, 0, Some(Duration::from_millis(1))).unwrap(), Waited::TimedOut);
}

#[test]
fn spinning_is_refused() {
    for text in [
        "const cells = new Int32Array(new SharedArrayBuffer(4)); while (Atomics.load(cells, 0) === 0);",
        "const end = performance.now() + 1; while (performance.now() < end);",
        "for (;;) await 0;",
        // Tasks that end, but time stands still.
        "const poll = () => setTimeout(poll, 0); poll();",
    ] {
        let options =
            Deterministic { turn_time: Duration::from_millis(100), turns_at_once: 2_000, ..Deterministic::seed(4) };
        let cluster = Cluster::deterministic(options).unwrap();
        let other = spawn(&cluster, "other", "onmessage = () => {};");
        let agent = spawn(&cluster, "spinner", text);
        let spins = RunError::Spins { agent: "1 spinner".into() };
        assert_eq!(cluster.run(), Err(spins.clone()), "{text}");
        assert_eq!(cluster.run(), Err(spins.clone()));
        assert_eq!(agent.join().wait(), Exit::Terminated(spins.to_string()), "{text}");
        assert_eq!(other.join().wait(), Exit::Terminated(spins.to_string()));
    }
}

#[test]
fn webassembly_that_blocks_is_refused_and_what_compiles_is_waited_for() {
    let options = Deterministic { turn_time: Duration::from_millis(100), ..Deterministic::seed(4) };
    let cluster = Cluster::deterministic(options).unwrap();
    let module = wat::parse_str(
        "(module (memory 1 1 shared) (func (export \"f\") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))",
    );
    let text = format!(
        "const bytes = new Uint8Array({:?});
         const {{ instance }} = await WebAssembly.instantiate(bytes);
         postMessage('compiled');
         setTimeout(instance.exports.f, 1);",
        module.unwrap()
    );
    let agent = spawn(&cluster, "waits", &text);
    assert_eq!(cluster.run(), Err(RunError::Blocks { agent: "0 waits".into() }));
    assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "compiled");
    assert!(matches!(agent.join().wait(), Exit::Terminated(_)));
}

#[test]
fn a_tree_of_workers_ends_in_turns() {
    let tree = "
      if (name.length < 3) for (let i = 0; i < 2; i++) new Worker('./tree.ts', { name: name + 'x' });
      setTimeout(() => { if (name === '') close(); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }, 5);";
    let run = || {
        let cluster = cluster(9);
        let agent = cluster
            .spawn(
                Code::bundle(
                    "tree.ts",
                    [("tree.ts", tree.replace("if (name === '') close();", "if (name === '') { close(); return; }"))],
                ),
                AgentOptions::default(),
            )
            .unwrap();
        assert_eq!(agent.join().wait(), Exit::Closed);
        cluster.interleaving().unwrap()
    };
    let turns = run();
    let agents: HashSet<_> = turns.iter().map(|turn| turn.agent.clone()).collect();
    assert_eq!((agents.len(), run()), (15, turns));
}

#[test]
fn agents_that_nobody_drives_any_more_go_on_by_themselves() {
    let cluster = cluster(1);
    let agent = spawn(&cluster, "", "setTimeout(() => postMessage('done'), 1000)");
    let (send, said) = std::sync::mpsc::channel();
    agent.on_message(move |message| send.send(message.get::<String>().unwrap()).unwrap());
    drop(cluster);
    assert_eq!(said.recv().unwrap(), "done");
    drop(agent);
    let plain = Cluster::new().unwrap();
    assert_eq!((plain.run(), plain.interleaving()), (Err(RunError::NotDeterministic), Err(RunError::NotDeterministic)));
}
