//! `Atomics.Mutex`, `Atomics.Condition` and `ThreadLocal`, from scripts and from Rust, on the same words.

use std::thread;
use std::time::Duration;

use peristyle_agents::{
    AgentHandle, AgentOptions, Cluster, Code, Exit, LockError, SharedBuffer, SharedCondition, SharedMutex,
};
use serde_json::{Value, json};

fn spawn(cluster: &Cluster, text: &str) -> AgentHandle {
    cluster.spawn(Code::source("main.ts", text), AgentOptions::default()).unwrap()
}

#[track_caller]
fn posted(text: &str) -> Value {
    let agent = spawn(&Cluster::new().unwrap(), text);
    let message = agent.receive().wait_timeout(Duration::from_secs(60));
    message.unwrap_or_else(|error| panic!("{error}: {:?}", agent.join().wait_timeout(Duration::ZERO))).get().unwrap()
}

#[test]
fn tokens_unlock_once_and_are_used_again() {
    let text = "
      const log = [];
      const mutex = new Atomics.Mutex();
      const token = Atomics.Mutex.lock(mutex);
      log.push(token instanceof Atomics.Mutex.UnlockToken, token.locked, token.unlock(), token.locked, token.unlock());
      log.push(Atomics.Mutex.lock(mutex, token) === token, token.locked);
      try { Atomics.Mutex.lock(new Atomics.Mutex(), token); } catch (error) { log.push(error.name); }
      log.push(token[Symbol.dispose](), token.locked);
      { using held = Atomics.Mutex.lock(mutex, token); log.push(held.locked); }
      log.push(token.locked, Atomics.Mutex.lockIfAvailable(mutex, 0).unlock());
      for (const bad of [{}, 1, null, undefined, new Atomics.Condition(), Atomics.Mutex.prototype]) {
        try { Atomics.Mutex.lock(bad); log.push('locked'); } catch (error) { log.push(error.name); }
      }
      try { Atomics.Mutex.lock(mutex, {}); } catch (error) { log.push(error.name); }
      log.push(Object.prototype.toString.call(mutex), Object.keys(mutex).length);
      postMessage(log);";
    let wrong = "TypeError";
    assert_eq!(
        posted(text),
        json!([
            true,
            true,
            true,
            false,
            false,
            true,
            true,
            wrong,
            null,
            false,
            true,
            false,
            true,
            wrong,
            wrong,
            wrong,
            wrong,
            wrong,
            wrong,
            wrong,
            "[object Atomics.Mutex]",
            0
        ])
    );
}

#[test]
fn a_lock_is_not_had_twice() {
    let text = "
      const mutex = new Atomics.Mutex(), same = structuredClone(mutex), log = [];
      const token = Atomics.Mutex.lock(mutex);
      for (const again of [
        () => Atomics.Mutex.lock(mutex),
        () => Atomics.Mutex.lock(same),
        () => Atomics.Mutex.lockIfAvailable(same, 0),
        () => Atomics.Mutex.lockIfAvailable(same, 5),
      ]) {
        try { again(); log.push('locked'); } catch (error) { log.push(error.name); }
      }
      token.unlock();
      log.push(Atomics.Mutex.lock(same).unlock());
      postMessage(log);";
    let twice = "InvalidStateError";
    assert_eq!(posted(text), json!([twice, twice, twice, twice, true]));
}

/// Agents and threads of Rust add one to a plain number, each time under the lock.
#[test]
fn agents_and_rust_exclude_each_other() {
    let cluster = Cluster::new().unwrap();
    let (mutex, memory) = (cluster.shared_mutex().unwrap(), cluster.shared_buffer(8).unwrap());
    let text = "
      export const add = (mutex, buffer, times) => {
        const cells = new Int32Array(buffer), token = new Atomics.Mutex.UnlockToken();
        for (let i = 0; i < times; i++) {
          using _ = Atomics.Mutex.lock(mutex, token);
          cells[0] = cells[0] + 1;
        }
      };";
    const TIMES: i32 = 20_000;
    let agents: Vec<_> = (0..3).map(|_| spawn(&cluster, text)).collect();
    let calls: Vec<_> = agents.iter().map(|agent| agent.call::<()>("add", &(&mutex, &memory, TIMES))).collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let cell = memory.i32(0).unwrap();
                for _ in 0..TIMES {
                    let _guard = mutex.lock().unwrap();
                    // Not one step: only the lock makes it so.
                    let now = cell.load(std::sync::atomic::Ordering::Relaxed);
                    cell.store(now + 1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    for call in calls {
        call.wait().unwrap();
    }
    assert_eq!(memory.i32(0).unwrap().load(std::sync::atomic::Ordering::Relaxed), 5 * TIMES);
}

#[test]
fn conditions_wake_agents_and_rust() {
    let cluster = Cluster::new().unwrap();
    let (mutex, condition) = (cluster.shared_mutex().unwrap(), cluster.shared_condition().unwrap());
    let turn = cluster.shared_buffer(4).unwrap();
    // Rust and an agent take turns: even numbers are Rust's.
    let text = "
      export const play = (mutex, condition, buffer, rounds) => {
        const turn = new Int32Array(buffer), token = Atomics.Mutex.lock(mutex);
        for (let i = 0; i < rounds; i++) {
          while (turn[0] % 2 === 0) Atomics.Condition.wait(condition, token);
          turn[0]++;
          Atomics.Condition.notify(condition);
        }
        return token.unlock();
      };";
    let agent = spawn(&cluster, text);
    const ROUNDS: i32 = 500;
    let call = agent.call::<bool>("play", &(&mutex, &condition, &turn, ROUNDS));
    let cell = turn.i32(0).unwrap();
    let mut guard = mutex.lock().unwrap();
    for _ in 0..ROUNDS {
        while cell.load(std::sync::atomic::Ordering::Relaxed) % 2 == 1 {
            guard = condition.wait(guard).unwrap();
        }
        cell.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        condition.notify_all();
    }
    drop(guard);
    assert!(call.wait().unwrap());
    assert_eq!(cell.load(std::sync::atomic::Ordering::Relaxed), 2 * ROUNDS);
    // Nobody notifies: the guard comes back, and says so.
    let (guard, notified) = condition.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(2)).unwrap();
    assert!(!notified);
    assert_eq!(mutex.try_lock().err(), Some(LockError::Recursive));
    drop(guard);
    assert!(mutex.try_lock().unwrap().is_some());
    assert_eq!(condition.notify(7), 0);
}

#[test]
fn conditions_time_out_and_ask_their_predicate() {
    let text = "
      const log = [], mutex = new Atomics.Mutex(), condition = new Atomics.Condition();
      const token = Atomics.Mutex.lock(mutex);
      log.push(Atomics.Condition.waitFor(condition, token, 1), token.locked);
      let asked = 0;
      log.push(Atomics.Condition.waitFor(condition, token, Infinity, () => { asked++; return token.locked; }), asked);
      log.push(Atomics.Condition.waitFor(condition, token, 3, () => false), token.locked);
      log.push(Atomics.Condition.notify(condition), Atomics.Condition.notify(condition, 0));
      token.unlock();
      for (const bad of [
        () => Atomics.Condition.wait(condition, token),
        () => Atomics.Condition.wait(condition, {}),
        () => Atomics.Condition.wait(mutex, token),
        () => Atomics.Condition.waitFor(condition, token, 1, 1),
        () => Atomics.Condition.notify({}),
      ]) {
        try { bad(); log.push('worked'); } catch (error) { log.push(error.name); }
      }
      postMessage(log);";
    let wrong = "TypeError";
    assert_eq!(posted(text), json!([false, true, true, 1, false, true, 0, 0, wrong, wrong, wrong, wrong, wrong]));
}

#[test]
fn notify_wakes_as_many_as_it_says_first_come_first() {
    let cluster = Cluster::new().unwrap();
    let (mutex, condition) = (cluster.shared_mutex().unwrap(), cluster.shared_condition().unwrap());
    let text = "
      export const wait = (mutex, condition, name) => {
        const token = Atomics.Mutex.lock(mutex);
        postMessage(name);
        Atomics.Condition.wait(condition, token);
        token.unlock();
        postMessage(`${name} again`);
      };";
    let agents: Vec<_> = (0..3).map(|_| spawn(&cluster, text)).collect();
    let calls: Vec<_> = agents
        .iter()
        .enumerate()
        .map(|(at, agent)| {
            let call = agent.call::<()>("wait", &(&mutex, &condition, at.to_string()));
            assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), at.to_string());
            // It gives the lock back only when it waits.
            drop(mutex.lock().unwrap());
            call
        })
        .collect();
    assert_eq!(condition.notify(2), 2);
    let mut calls = calls.into_iter();
    calls.next().unwrap().wait().unwrap();
    calls.next().unwrap().wait().unwrap();
    let last = calls.next().unwrap().wait_timeout(Duration::from_millis(10)).unwrap_err();
    assert_eq!(condition.notify_all(), 1);
    last.wait().unwrap();
}

#[test]
fn waiting_without_blocking() {
    let text = "
      const log = [], mutex = new Atomics.Mutex(), condition = new Atomics.Condition();
      const first = Atomics.Mutex.lockAsync(mutex, async () => { log.push('first'); await 0; log.push('first ends'); return 1; });
      const second = Atomics.Mutex.lockAsync(structuredClone(mutex), () => { log.push('second'); throw new RangeError('x'); });
      log.push(await first, await second.catch((error) => error.name));
      // One waits for a condition that another one notifies.
      let ready = false;
      const waits = Atomics.Mutex.lockAsync(mutex, async () => {
        while (!ready) await Atomics.Condition.waitAsync(condition, mutex);
        log.push('ready');
        try { Atomics.Mutex.lock(mutex); } catch (error) { log.push(error.name); }
      });
      await Atomics.Mutex.lockAsync(mutex, () => { ready = true; log.push(Atomics.Condition.notify(condition)); });
      await waits;
      try { await Atomics.Condition.waitAsync(condition, mutex); } catch (error) { log.push(error.name); }
      try { await Atomics.Mutex.lockAsync(mutex); } catch (error) { log.push(error.name); }
      log.push(Atomics.Mutex.lock(mutex).unlock());
      postMessage(log);";
    assert_eq!(
        posted(text),
        json!([
            "first",
            "first ends",
            "second",
            1,
            "RangeError",
            1,
            "ready",
            "InvalidStateError",
            "TypeError",
            "TypeError",
            true
        ])
    );
}

#[test]
fn async_waiters_are_woken_by_rust_and_keep_their_agent() {
    let cluster = Cluster::new().unwrap();
    let mutex = cluster.shared_mutex().unwrap();
    let agent = spawn(
        &cluster,
        "onmessage = ({ data }) => { onmessage = null; Atomics.Mutex.lockAsync(data, () => postMessage('locked')); postMessage('asks'); };",
    );
    let guard = mutex.lock().unwrap();
    agent.post(&mutex).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "asks");
    agent.finish();
    assert_eq!(
        agent.receive().wait_timeout(Duration::from_millis(10)).unwrap_err().to_string(),
        "nothing came in time"
    );
    drop(guard);
    assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "locked");
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn an_agent_that_must_not_block_does_not() {
    let text = "
      const log = [], mutex = new Atomics.Mutex(), condition = new Atomics.Condition();
      const token = Atomics.Mutex.lockIfAvailable(mutex, 0);
      for (const blocks of [
        () => Atomics.Mutex.lock(new Atomics.Mutex()),
        () => Atomics.Mutex.lockIfAvailable(new Atomics.Mutex(), 1),
        () => Atomics.Condition.wait(condition, token),
        () => Atomics.Condition.waitFor(condition, token, 1),
      ]) {
        try { blocks(); log.push('blocked'); } catch (error) { log.push(error.name); }
      }
      log.push(token.locked, token.unlock());
      await Atomics.Mutex.lockAsync(mutex, () => log.push('later'));
      postMessage(log);";
    let cluster = Cluster::new().unwrap();
    let options = AgentOptions { may_block: false, ..AgentOptions::default() };
    let agent = cluster.spawn(Code::source("main.ts", text), options).unwrap();
    let wrong = "TypeError";
    assert_eq!(
        agent.receive().wait().unwrap().get::<Value>().unwrap(),
        json!([wrong, wrong, wrong, wrong, true, true, "later"])
    );
}

#[test]
fn whoever_waits_for_a_lock_or_a_condition_is_terminated() {
    let cluster = Cluster::new().unwrap();
    let (mutex, condition) = (cluster.shared_mutex().unwrap(), cluster.shared_condition().unwrap());
    let held = mutex.lock().unwrap();
    for text in [
        "onmessage = ({ data }) => { postMessage(0); Atomics.Mutex.lock(data[0]); };",
        "onmessage = ({ data }) => { postMessage(0); Atomics.Mutex.lockIfAvailable(data[0], 1e9); };",
        "onmessage = ({ data }) => { postMessage(0); Atomics.Condition.wait(data[1], Atomics.Mutex.lock(new Atomics.Mutex())); };",
        "onmessage = ({ data }) => { postMessage(0); for (;;) Atomics.Condition.waitFor(data[1], Atomics.Mutex.lock(new Atomics.Mutex()), 0.01); };",
        "onmessage = ({ data }) => { postMessage(0); Atomics.Mutex.lockAsync(data[0], () => {}); };",
    ] {
        for round in 0..20 {
            let agent = spawn(&cluster, text);
            agent.post(&(&mutex, &condition)).unwrap();
            agent.receive().wait().unwrap();
            thread::sleep(Duration::from_micros(round * 50));
            agent.terminate();
            assert_eq!(agent.join().wait(), Exit::Terminated("terminated".into()), "{text}");
        }
    }
    drop(held);
    // Who was to be woken and ended instead took nobody's turn.
    drop(mutex.lock().unwrap());
    assert_eq!(condition.notify_all(), 0);
}

#[test]
fn a_lock_whose_owner_ends_is_abandoned() {
    let cluster = Cluster::new().unwrap();
    let mutex = cluster.shared_mutex().unwrap();
    let holder =
        spawn(&cluster, "onmessage = ({ data }) => { Atomics.Mutex.lock(data); postMessage('has it'); for (;;); };");
    holder.post(&mutex).unwrap();
    holder.receive().wait().unwrap();
    let text = "
      onmessage = ({ data }) => {
        postMessage('asks');
        try { Atomics.Mutex.lock(data); } catch (error) { postMessage(error.name); }
      };";
    let waiter = spawn(&cluster, text);
    let later = "onmessage = ({ data }) => { Atomics.Mutex.lockAsync(data, () => {}).catch((error) => postMessage(error.name)); postMessage('asks'); };";
    let later = spawn(&cluster, later);
    for agent in [&waiter, &later] {
        agent.post(&mutex).unwrap();
        assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "asks");
    }
    thread::scope(|scope| {
        let rust = scope.spawn(|| mutex.lock().map(drop));
        thread::sleep(Duration::from_millis(5));
        holder.terminate();
        assert_eq!(rust.join().unwrap(), Err(LockError::Abandoned));
    });
    for agent in [&waiter, &later] {
        assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "OperationError");
    }
    // For good, and for those that come later.
    assert_eq!(mutex.try_lock().err(), Some(LockError::Abandoned));
    // So is that of a thread which ends.
    let other = cluster.shared_mutex().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(other.lock().unwrap()));
    });
    assert_eq!(other.lock().err(), Some(LockError::Abandoned));
}

#[test]
fn locks_and_memory_keep_what_they_are_on_every_way() {
    let cluster = Cluster::new().unwrap();
    let memory = cluster.shared_buffer(16).unwrap();
    let (mutex, condition) = (SharedMutex::at(&memory, 8).unwrap(), SharedCondition::at(&memory, 12).unwrap());
    // Back from an agent, by a worker, in one message with the memory, each twice.
    let code = Code::bundle(
        "main.ts",
        [
            (
                "main.ts",
                "const worker = new Worker('./echo.ts');
                 worker.onmessage = ({ data }) => { postMessage(data); worker.terminate(); };
                 onmessage = ({ data }) => { onmessage = null; worker.postMessage(data); };",
            ),
            (
                "echo.ts",
                "onmessage = ({ data }) => {
                   const [memory, mutex, again, condition] = data;
                   if (!(mutex instanceof Atomics.Mutex && condition instanceof Atomics.Condition && memory.byteLength === 16)) throw new TypeError('lost');
                   Atomics.Mutex.lock(again).unlock();
                   postMessage([memory, mutex, mutex, condition, condition, { after: 1 }]);
                 };",
            ),
        ],
    );
    let agent = cluster.spawn(code, AgentOptions::default()).unwrap();
    agent.post(&(&memory, &mutex, &mutex, &condition)).unwrap();
    let back = agent.receive().wait().unwrap();
    type Back = (SharedBuffer, SharedMutex, SharedMutex, SharedCondition, SharedCondition, Value);
    let (memory_again, one, two, three, four, after): Back = back.get().unwrap();
    assert_eq!((&memory_again, &one, &two), (&memory, &mutex, &mutex));
    assert_eq!((three, four, after), (condition.clone(), condition.clone(), json!({ "after": 1 })));
    let guard = one.lock().unwrap();
    assert_eq!(two.try_lock().err(), Some(LockError::Recursive));
    drop(guard);
    // Nowhere else: not into JSON, not as another kind.
    assert!(serde_json::to_string(&mutex).unwrap_err().to_string().contains("shared memory crosses to agents"));
    assert!(serde_json::from_value::<SharedMutex>(json!(1)).is_err());
    assert!(back.get::<(SharedMutex, Value, Value, Value, Value, Value)>().is_err());
    assert!(back.get::<(Vec<u8>, Value, Value, Value, Value, Value)>().is_ok_and(|back| back.0.len() == 16));
    assert!(SharedMutex::at(&memory, 16).is_err() && SharedMutex::at(&memory, 2).is_err());
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn thread_locals_have_a_value_in_each_agent() {
    let code = Code::bundle(
        "main.ts",
        [
            (
                "main.ts",
                "const local = new ThreadLocal('main'), other = new ThreadLocal();
                 const worker = new Worker('./worker.ts');
                 const said = new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data); });
                 worker.postMessage([local, other, local]);
                 const [values, back] = await said;
                 worker.terminate();
                 const same = structuredClone(local);
                 const log = [values, local.value, other.value, back.value, back === local, back instanceof ThreadLocal];
                 same.value = 'changed';
                 log.push(local.value, back.value);
                 try { ThreadLocal.prototype.value; } catch (error) { log.push(error.name); }
                 postMessage(log);
                 try { postMessage(local); } catch (error) { postMessage(error.name); }",
            ),
            (
                "worker.ts",
                "onmessage = ({ data: [local, other, again] }) => {
                   const before = [local.value, other.value, local === again];
                   local.value = 'worker';
                   postMessage([[...before, again.value, other.value], local]);
                 };",
            ),
        ],
    );
    let agent = Cluster::new().unwrap().spawn(code, AgentOptions::default()).unwrap();
    let next = || agent.receive().wait().unwrap().get::<Value>().unwrap();
    assert_eq!(
        next(),
        json!([
            [null, null, true, "worker", null],
            "main",
            null,
            "main",
            false,
            true,
            "changed",
            "changed",
            "TypeError"
        ])
    );
    assert_eq!(next(), json!("DataCloneError"));
}

#[test]
fn an_agent_without_shared_memory_has_no_locks() {
    let cluster = Cluster::new().unwrap();
    let options = AgentOptions { shared_memory: false, ..AgentOptions::default() };
    let text = "
      onmessageerror = () => postMessage('refused');
      onmessage = () => postMessage('got it');
      postMessage([typeof Atomics, typeof ThreadLocal, new ThreadLocal(1).value]);";
    let agent = cluster.spawn(Code::source("main.ts", text), options).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<Value>().unwrap(), json!(["undefined", "function", 1]));
    agent.post(&cluster.shared_mutex().unwrap()).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), "refused");
}
