//! What happens at the same time, in every order that a seed gives: nothing is lost, nothing breaks, nothing is left.

#[path = "support/threads.rs"]
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, CallError, Cluster, Code, Exit, Port, PortLimits, PostError};
use threads::none_left;

/// xorshift64*: the same moments for the same seed, as far as a machine repeats itself.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    /// Lets up to `us` microseconds pass, sometimes none.
    fn pause(&mut self, us: u64) {
        if self.below(4) > 0 {
            thread::sleep(Duration::from_micros(self.below(us)));
        }
    }
}

fn options(name: &str) -> AgentOptions {
    AgentOptions { name: name.into(), ..AgentOptions::default() }
}

fn stopped() -> Exit {
    Exit::Terminated("terminated".into())
}

#[test]
fn a_stop_may_come_at_any_moment_of_a_life() {
    let cluster = Cluster::new().unwrap();
    let modules = [
        (
            "main.mjs",
            "import { a } from './a.mjs'; const b = await import('./b.mjs');
             onmessage = ({ data, ports }) => { postMessage(data, ports); if (data.n === 5) close(); };
             const worker = new Worker('./b.mjs'); worker.postMessage(a + b.b);
             setInterval(() => structuredClone(new ArrayBuffer(1000)), 1);
             await new Promise((resolve) => setTimeout(resolve, 1));",
        ),
        ("a.mjs", "import { b } from './b.mjs'; export const a = b + 1;"),
        ("b.mjs", "export const b = 1; await 0; if (globalThis.name === 'x') for (;;);"),
    ];
    for seed in 1..=150 {
        let mut random = Random(seed);
        let agent = cluster.spawn(Code::bundle("main.mjs", modules), options("live")).unwrap();
        let call = agent.eval::<u32>("1");
        random.pause(1500);
        let (one, other) = Port::pair(PortLimits::default());
        // Refused once the agent has ended, else delivered or dropped with it.
        let posted = agent.port().post_with(&serde_json::json!({ "n": random.below(6) }), vec![other]);
        random.pause(1500);
        drop(one);
        if random.below(8) == 0 {
            agent.finish();
        }
        agent.terminate();
        assert!(matches!(posted, Ok(()) | Err((PostError::Closed, _))), "{posted:?}");
        assert!(matches!(call.wait(), Ok(1) | Err(CallError::Ended)), "{seed}");
        let exit = agent.join().wait();
        assert!(exit == stopped() || exit == Exit::Closed, "{seed}: {exit:?}");
    }
    none_left("live");
}

#[test]
fn handles_are_dropped_and_stopped_by_many_threads() {
    let cluster = Cluster::new().unwrap();
    for seed in 1..=40 {
        let text = "onmessage = ({ data }) => postMessage(data); setTimeout(() => {}, 2);";
        let agent = Arc::new(cluster.spawn(Code::source("x.mjs", text), options("held")).unwrap());
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let agent = agent.clone();
                thread::spawn(move || {
                    let mut random = Random(seed * 7 + worker);
                    for _ in 0..10 {
                        random.pause(200);
                        match random.below(6) {
                            0 => agent.terminate(),
                            1 => agent.finish(),
                            2 => drop(agent.post(&random.below(9))),
                            3 => drop(agent.eval::<u32>("1").wait()),
                            4 => agent.on_message(|_| {}),
                            _ => drop(agent.receive().wait_timeout(Duration::from_micros(50))),
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let exit = Arc::into_inner(agent).unwrap().join().wait();
        assert!(exit == stopped() || exit == Exit::Finished, "{seed}: {exit:?}");
    }
    none_left("held");
}

#[test]
fn trees_of_workers_fall_while_they_grow() {
    let cluster = Cluster::new().unwrap();
    // Each worker starts workers for ever, some of which it terminates.
    let tree = "
        const depth = name.length, mine = [];
        if (depth < 3) setInterval(() => {
          if (mine.length < 2) { const w = new Worker('./tree.mjs', { name: name + 'x' }); w.postMessage(depth); mine.push(w); }
          else mine.shift().terminate();
        }, 1);
        onmessage = () => { if (depth === 3) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); };";
    for seed in 1..=15 {
        let mut random = Random(seed);
        let agent = cluster.spawn(Code::bundle("tree.mjs", [("tree.mjs", tree)]), AgentOptions::default()).unwrap();
        random.pause(20_000);
        agent.terminate();
        assert_eq!(agent.join().wait(), stopped(), "{seed}");
    }
    none_left("xx");
}

#[test]
fn transfers_race_with_views_and_stops() {
    let cluster = Cluster::new().unwrap();
    // Two agents throw one buffer to and fro, and use views of it before, while and after it goes. What a view of a detached
    // buffer shows is nothing; what arrives is what was written last.
    let text = "
        export let rounds = 0; let wrong = 0;
        onmessage = ({ data: { buffer, n, port } }) => {
          const cells = new Int32Array(buffer), bytes = new Uint8Array(buffer, 4), all = new DataView(buffer);
          if (cells[0] !== n || bytes.length !== buffer.byteLength - 4) wrong++;
          cells[0] = n + 1;
          const next = { buffer, n: n + 1 };
          // The buffer is used by a getter that runs while it is about to go.
          Object.defineProperty(next, 'late', { enumerable: true, get() { Atomics.add(cells, 1, 1); return cells[0]; } });
          postMessage(next, [buffer]);
          if (cells.length || bytes.length || cells[0] !== undefined) wrong++;
          try { all.getInt8(0); wrong++; } catch (e) { if (e.name !== 'TypeError') wrong++; }
          try { Atomics.load(cells, 0); wrong++; } catch {}
          try { structuredClone(buffer, { transfer: [buffer] }); wrong++; } catch (e) { if (e.name !== 'DataCloneError') wrong++; }
          rounds++;
        };
        export const told = () => [rounds, wrong];";
    let main = "
        const ends = ['a', 'b'].map((name) => new Worker('./end.mjs', { name }));
        ends.forEach((end, at) => { end.onmessage = ({ data }) => ends[1 - at].postMessage(data, [data.buffer]); });
        for (let i = 0; i < 4; i++) { const buffer = new ArrayBuffer(64 + 1024 * i); ends[i % 2].postMessage({ buffer, n: 0 }, [buffer]); }
        const seen = [];
        ends[0].addEventListener('message', ({ data }) => { seen.push(data.n); if (seen.length === 200) postMessage('up'); });";
    for seed in 1..=12 {
        let mut random = Random(seed);
        let code = Code::bundle("main.mjs", [("main.mjs", main), ("end.mjs", text)]);
        let agent = cluster.spawn(code, options("thrower")).unwrap();
        assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "up");
        random.pause(3000);
        agent.terminate();
        assert_eq!(agent.join().wait(), stopped(), "{seed}");
    }
    let alone = cluster.spawn(Code::source("end.mjs", text), options("thrower")).unwrap();
    for n in 0..50 {
        alone.eval::<()>(&format!("(() => {{ const buffer = new ArrayBuffer(64); new Int32Array(buffer)[0] = {n}; dispatchEvent(new MessageEvent('message', {{ data: {{ buffer, n: {n} }} }})); }})()")).wait().unwrap();
    }
    assert_eq!(alone.call::<(u32, u32)>("told", &()).wait(), Ok((50, 0)));
}

#[test]
fn shared_words_survive_the_stop_of_who_waits_on_them() {
    let cluster = Cluster::new().unwrap();
    // Waiters and counters on one memory, of which some are stopped: the others count on, and none misses a word.
    let main = "
        const cells = new Int32Array(new SharedArrayBuffer(16));
        const spawn = () => { const w = new Worker('./count.mjs'); w.postMessage(cells); return w; };
        const workers = [spawn(), spawn(), spawn()];
        let stops = 0;
        const ticks = setInterval(() => {
          workers.shift().terminate(); workers.push(spawn());
          if (++stops === 10) { clearInterval(ticks); const at = Atomics.load(cells, 0); (async () => {
            while (Atomics.load(cells, 0) < at + 100) await new Promise((resolve) => setTimeout(resolve, 1));
            postMessage(Atomics.load(cells, 0) > 0); })(); }
        }, 1);";
    let count = "onmessage = ({ data: cells }) => { for (;;) {
          Atomics.add(cells, 0, 1); Atomics.notify(cells, 1); Atomics.wait(cells, 1, 0, 0.2);
          Atomics.waitAsync(cells, 2, 0, 1);
        } };";
    for _ in 0..4 {
        let code = Code::bundle("main.mjs", [("main.mjs", main), ("count.mjs", count)]);
        let agent = cluster.spawn(code, options("counter")).unwrap();
        assert!(agent.receive().wait().unwrap().get::<bool>().unwrap());
        agent.terminate();
        assert_eq!(agent.join().wait(), stopped());
    }
}

#[test]
fn callbacks_of_the_host_may_use_the_agent_that_calls_them() {
    let cluster = Cluster::new().unwrap();
    let told = Arc::new(AtomicU32::new(0));
    let text = "onmessage = ({ data }) => { if (data < 100) postMessage(data + 1); else throw new Error('enough'); };";
    let agent = Arc::new(cluster.spawn(Code::source("x.mjs", text), options("reentered")).unwrap());
    let (weak, count, inner) = (Arc::downgrade(&agent), told.clone(), cluster.clone());
    agent.on_message(move |message| {
        // On the agent's thread: posts, asks, spawns, and lets go.
        let Some(agent) = weak.upgrade() else { return };
        count.fetch_add(1, Ordering::Relaxed);
        drop(agent.eval::<u32>("1"));
        if message.get::<u32>().is_ok_and(|n| n % 50 == 0) {
            let other = inner.spawn(Code::source("y.mjs", "export const f = () => 2;"), options("reentered")).unwrap();
            assert_eq!(other.call::<u32>("f", &()).wait(), Ok(2));
        }
        agent.post(&message.get::<u32>().unwrap()).unwrap();
    });
    let weak = Arc::downgrade(&agent);
    agent.on_error(move |thrown| {
        assert_eq!(thrown.message, "enough");
        if let Some(agent) = weak.upgrade() {
            agent.on_error(|_| {});
            agent.terminate();
            assert!(!agent.has_ended());
        }
    });
    agent.post(&0).unwrap();
    let handle = loop {
        if agent.has_ended() {
            break Arc::into_inner(agent);
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(handle.map(AgentHandle::join).map(|join| join.wait()), Some(stopped()));
    assert_eq!(told.load(Ordering::Relaxed), 100);
}
