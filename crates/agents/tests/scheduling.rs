//! What ARCHITECTURE.md says about the order of tasks, a test for each sentence that `event_loop.rs` does not cover.

use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, Cluster, Code, Deterministic, Exit};
use serde_json::{Value, json};

fn spawn<const N: usize>(modules: [(&str, &str); N]) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::bundle("main.ts", modules), AgentOptions::default()).unwrap()
}

#[track_caller]
fn posted<const N: usize>(modules: [(&str, &str); N]) -> Value {
    let agent = spawn(modules);
    let message = agent.receive().wait_timeout(Duration::from_secs(60));
    message.unwrap_or_else(|error| panic!("{error}: {:?}", agent.join().wait_timeout(Duration::ZERO))).get().unwrap()
}

#[test]
fn rejections_are_told_after_the_microtasks_of_their_task_and_before_the_next_one() {
    let text = "
      const log = [];
      onunhandledrejection = (event) => {
        event.preventDefault();
        log.push(`unhandled ${event.reason}`);
        // What telling leaves behind runs before the next task, too.
        queueMicrotask(() => log.push('after telling'));
      };
      setTimeout(() => {
        Promise.reject('late');
        const handled = Promise.reject('handled');
        Promise.resolve().then(() => log.push('microtask')).then(() => handled.catch(() => log.push('handled in time')));
        log.push('task');
      }, 0);
      setTimeout(() => { log.push('next task'); postMessage(log); }, 0);";
    assert_eq!(
        posted([("main.ts", text)]),
        json!(["task", "microtask", "handled in time", "unhandled late", "after telling", "next task"])
    );
}

#[test]
fn a_timer_of_no_time_and_a_message_run_in_the_order_of_asking() {
    let text = "
      const log = [];
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => log.push(data);
      setTimeout(() => {
        port2.postMessage('message first');
        setTimeout(() => log.push('then a timer'), 0);
        port2.postMessage('then a message');
        setTimeout(() => postMessage(log), 0);
      }, 0);";
    assert_eq!(posted([("main.ts", text)]), json!(["message first", "then a timer", "then a message"]));
}

#[test]
fn ports_are_first_in_first_out_and_several_are_one_queue() {
    let text = "
      const log = [];
      const channels = [0, 1, 2].map(() => new MessageChannel());
      channels.forEach(({ port1 }, at) => { port1.onmessage = ({ data }) => log.push([at, data]); });
      let n = 0;
      for (const at of [2, 0, 0, 1, 2, 1, 0]) channels[at].port2.postMessage(n++);
      setTimeout(() => postMessage(log), 0);";
    assert_eq!(posted([("main.ts", text)]), json!([[2, 0], [0, 1], [0, 2], [1, 3], [2, 4], [1, 5], [0, 6]]));
    let main = "
      const worker = new Worker('./worker.ts');
      let expected = 0;
      worker.onmessage = ({ data }) => {
        if (data !== expected++) postMessage(`${data} out of order`);
        else if (expected === 20000) postMessage('in order');
      };";
    let worker = "for (let i = 0; i < 20000; i++) postMessage(i); close();";
    assert_eq!(posted([("main.ts", main), ("worker.ts", worker)]), json!("in order"));
}

#[test]
fn what_lies_in_a_port_becomes_runnable_when_somebody_listens() {
    let text = "
      const log = [];
      const { port1, port2 } = new MessageChannel();
      port2.postMessage('posted first');
      port2.postMessage('and second');
      setTimeout(() => log.push('timer'), 0);
      port1.onmessage = ({ data }) => { log.push(data); if (data === 'posted after') postMessage(log); };
      port2.postMessage('posted after');";
    assert_eq!(posted([("main.ts", text)]), json!(["timer", "posted first", "and second", "posted after"]));
}

#[test]
fn wake_ups_by_others_are_tasks_in_the_queue_and_by_the_agent_itself_microtasks() {
    let main = "
      const log = [], cells = new Int32Array(new SharedArrayBuffer(12)), mutex = new Atomics.Mutex();
      const worker = new Worker('./worker.ts');
      const token = new Atomics.Mutex.UnlockToken();
      worker.onmessage = ({ data }) => {
        if (data === 'ready') {
          Atomics.waitAsync(cells, 0, 0).value.then(() => log.push('woken'));
          Atomics.Mutex.lockAsync(mutex, () => log.push('locked'));
          // Goes to the worker, which has the lock, and answers while this agent is busy here.
          worker.postMessage('go');
          Atomics.wait(cells, 1, 0);
          return;
        }
        log.push(data);
        if (data !== 'third') return;
        Atomics.waitAsync(cells, 2, 0).value.then(() => log.push('own wake-up'));
        setTimeout(() => { log.push('next task'); postMessage(log); }, 0);
        Atomics.notify(cells, 2);
        log.push('own notify');
      };
      worker.postMessage([cells, mutex]);";
    let worker = "
      let cells, token;
      onmessage = ({ data }) => {
        if (data !== 'go') {
          cells = data[0];
          token = Atomics.Mutex.lock(data[1]);
          postMessage('ready');
          return;
        }
        postMessage('first');
        Atomics.notify(cells, 0);
        postMessage('second');
        token.unlock();
        postMessage('third');
        Atomics.store(cells, 1, 1);
        Atomics.notify(cells, 1);
        close();
      };";
    assert_eq!(
        posted([("main.ts", main), ("worker.ts", worker)]),
        json!(["first", "woken", "second", "locked", "third", "own notify", "own wake-up", "next task"])
    );
}

#[test]
fn what_blocks_blocks_its_agent_alone_and_what_came_meanwhile_runs_in_order() {
    let main = "
      const log = [], cells = new Int32Array(new SharedArrayBuffer(8));
      const worker = new Worker('./worker.ts');
      worker.onmessage = ({ data }) => {
        if (data !== 'ready') { log.push(data); return; }
        setTimeout(() => log.push('5 ms'), 5);
        setTimeout(() => { log.push('20 ms'); postMessage(log); }, 20);
        queueMicrotask(() => log.push('microtask'));
        worker.postMessage(cells);
        // The worker posts after 10 ms.
        log.push(Atomics.wait(cells, 0, 0), Atomics.wait(cells, 1, 0, 25));
      };";
    let worker = "
      postMessage('ready');
      onmessage = ({ data: cells }) => {
        Atomics.wait(cells, 1, 0, 10);
        postMessage('while it blocked');
        Atomics.store(cells, 0, 1);
        Atomics.notify(cells, 0);
        close();
      };";
    // In virtual time, where times are exact on a busy machine, too.
    let cluster = Cluster::deterministic(Deterministic::seed(0)).unwrap();
    let code = Code::bundle("main.ts", [("main.ts", main), ("worker.ts", worker)]);
    let agent = cluster.spawn(code, AgentOptions::default()).unwrap();
    assert_eq!(
        agent.receive().wait().unwrap().get::<Value>().unwrap(),
        json!(["ok", "timed-out", "microtask", "5 ms", "while it blocked", "20 ms"])
    );
}

#[test]
fn calls_of_rust_are_tasks_that_begin_when_the_main_module_is_evaluated() {
    let text = "
      export const log = [];
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => log.push(data);
      port2.postMessage('message while it is evaluated');
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push('evaluated');
      export const told = (what) => { log.push(what); queueMicrotask(() => log.push(`after ${what}`)); return log; };";
    let agent = spawn([("main.ts", text)]);
    let calls = [agent.call::<Value>("told", &("one",)), agent.call::<Value>("told", &("two",))];
    let [_, last] = calls.map(|call| call.wait().unwrap());
    let expected = ["message while it is evaluated", "evaluated", "one", "after one", "two"];
    assert_eq!(last.as_array().unwrap()[..5], expected.map(Value::from));
}

#[test]
fn closing_ends_an_agent_after_the_task_and_its_microtasks() {
    let text = "
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => postMessage('never');
      setTimeout(() => {
        port2.postMessage(null);
        setTimeout(() => postMessage('never'), 0);
        queueMicrotask(() => postMessage('microtask'));
        close();
        postMessage('task');
      }, 0);";
    let agent = spawn([("main.ts", text)]);
    for expected in ["task", "microtask"] {
        assert_eq!(agent.receive().wait().unwrap().get::<String>().unwrap(), expected);
    }
    assert!(agent.receive().wait().is_err());
    assert_eq!(agent.join().wait(), Exit::Closed);
}

#[test]
fn intervals_are_set_again_before_their_callback_runs() {
    // In virtual time: a task that takes long does not exist there, so the times are exact.
    let cluster = Cluster::deterministic(Deterministic::seed(0)).unwrap();
    let text = "
      const log = [];
      const cells = new Int32Array(new SharedArrayBuffer(4));
      const id = setInterval(() => {
        log.push(performance.now());
        if (log.length === 3) { clearInterval(id); postMessage(log); }
        Atomics.wait(cells, 0, 0, 3);
      }, 10);";
    let agent = cluster.spawn(Code::source("main.ts", text), AgentOptions::default()).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<Value>().unwrap(), json!([10, 20, 30]));
}
