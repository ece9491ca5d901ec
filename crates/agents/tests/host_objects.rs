//! Objects of the host's: calls, what they refuse, who keeps them, and the memory that they lend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use peristyle_agents::{
    AgentHandle, AgentOptions, Cluster, Code, Exit, HostContext, HostError, HostFunction, HostObject, LentMemory,
    MakeHostObject,
};
use peristyle_memory::{Block, Memory};

/// Counts, and counts the counters that live.
struct Counter {
    sum: f64,
    lives: Arc<AtomicU32>,
}

const FUNCTIONS: [HostFunction; 4] = [
    HostFunction { name: "add", arguments: 2 },
    HostFunction { name: "sum", arguments: 0 },
    HostFunction { name: "fail", arguments: 1 },
    HostFunction { name: "panic", arguments: 0 },
];

impl HostObject for Counter {
    fn functions(&self) -> &[HostFunction] {
        &FUNCTIONS
    }

    fn call(&mut self, function: usize, arguments: &[f64]) -> Result<f64, HostError> {
        match (function, arguments) {
            (0, [one, other]) => {
                self.sum += one + other;
                Ok(self.sum)
            }
            (1, []) => Ok(self.sum),
            (2, [code]) => Err(HostError(format!("no such thing: {code}"))),
            _ => panic!("called {function} with {arguments:?}"),
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.lives.fetch_sub(1, SeqCst);
    }
}

fn counters() -> (MakeHostObject, Arc<AtomicU32>) {
    let lives = Arc::new(AtomicU32::new(0));
    let counted = lives.clone();
    let make = move |_: &HostContext, arguments: &[f64]| match arguments {
        [sum] => {
            counted.fetch_add(1, SeqCst);
            Ok(Box::new(Counter { sum: *sum, lives: counted.clone() }) as Box<dyn HostObject>)
        }
        _ => Err(HostError("a counter begins at one number".into())),
    };
    (Arc::new(make), lives)
}

fn spawn(cluster: &Cluster, make: MakeHostObject, text: &str) -> AgentHandle {
    let options = AgentOptions { host_objects: [("counter".to_owned(), make)].into(), ..AgentOptions::default() };
    cluster.spawn(Code::source("main.ts", text), options).unwrap()
}

fn eval(agent: &AgentHandle, script: &str) -> String {
    agent.eval::<String>(&format!("try {{ String({script}) }} catch (error) {{ `${{error}}` }}")).wait().unwrap()
}

#[test]
fn scripts_call_rust_with_numbers() {
    let (make, _) = counters();
    let cluster = Cluster::new().unwrap();
    let agent = spawn(&cluster, make, "globalThis.one = counter(1); globalThis.other = counter(0.5);");
    assert_eq!(eval(&agent, "one.add(2, 3)"), "6");
    assert_eq!(eval(&agent, "other.add(1e10, -0)"), "10000000000.5");
    assert_eq!(eval(&agent, "one.sum()"), "6", "each has its own");
    assert_eq!(eval(&agent, "(0, one.add)(1, 1, 'ignored')"), "8", "a function knows whose it is");
    assert_eq!(eval(&agent, "Object.is(counter(-0).sum(), -0)"), "true");
    assert_eq!(eval(&agent, "Number.isNaN(one.add(NaN, 0))"), "true");
    assert_eq!(eval(&agent, "Object.keys(one) + ' ' + one.add.name + one.add.length"), "add,sum,fail,panic add2");
}

#[test]
fn what_is_wrong_is_an_exception_and_the_object_goes_on() {
    let (make, _) = counters();
    let cluster = Cluster::new().unwrap();
    let agent = spawn(&cluster, make, "globalThis.one = counter(1);");
    assert_eq!(eval(&agent, "one.add(1)"), "TypeError: add takes 2 numbers: argument 2 is none");
    assert_eq!(eval(&agent, "one.add(1n, 1)"), "TypeError: add takes 2 numbers: argument 1 is none");
    assert_eq!(eval(&agent, "one.fail(7)"), "Error: no such thing: 7");
    assert!(eval(&agent, "one.panic()").contains("the host panicked: called 3 with []"));
    assert_eq!(eval(&agent, "counter()"), "Error: a counter begins at one number");
    assert_eq!(eval(&agent, "counter('1')"), "TypeError: counter takes 1 numbers: argument 1 is none");
    assert_eq!(eval(&agent, "one.sum()"), "1");
    assert_eq!(eval(&agent, "structuredClone(one)").split(':').next(), Some("DataCloneError"));
}

#[test]
fn workers_make_objects_of_their_own_and_all_go_with_their_agents() {
    let (make, lives) = counters();
    let cluster = Cluster::new().unwrap();
    let text = r#"
      const worker = new Worker("data:text/javascript,const c = counter(4); postMessage(c.add(1, 1)); close();");
      export const answer = await new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
      const { sum } = counter(answer);
      export const of_the_function = () => sum();
      for (let i = 0; i < 100; i++) counter(i);"#;
    let agent = spawn(&cluster, make, text);
    assert_eq!(agent.call::<f64>("of_the_function", &()).wait(), Ok(6.0), "a function keeps its object");
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert_eq!(lives.load(SeqCst), 0);
}

/// Cannot be dropped without a panic.
struct Stubborn(Arc<AtomicU32>);

impl HostObject for Stubborn {
    fn functions(&self) -> &[HostFunction] {
        &[]
    }

    fn call(&mut self, _: usize, _: &[f64]) -> Result<f64, HostError> {
        Ok(0.0)
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        panic!("stays");
    }
}

#[test]
fn a_panic_at_the_end_of_an_object_goes_no_further() {
    let dropped = Arc::new(AtomicU32::new(0));
    let counted = dropped.clone();
    let make: MakeHostObject = Arc::new(move |_, _| Ok(Box::new(Stubborn(counted.clone()))));
    let cluster = Cluster::new().unwrap();
    let agent = spawn(&cluster, make, "for (let i = 0; i < 3; i++) counter();");
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert_eq!(dropped.load(SeqCst), 3);
}

#[test]
fn objects_are_made_in_a_full_heap_or_not_at_all() {
    let (make, lives) = counters();
    let cluster = Cluster::new().unwrap();
    let text = "
      export const fill = () => {
        const made = [], kept = [];
        for (let i = 0; ; i++) {
          try {
            made.push(counter(i));
            kept.push(new Array(1000).fill(i), { i });
          } catch {
            break;
          }
          if (made.length % 64 === 0 && made.some((one, at) => one.sum() !== at)) return 'another object';
        }
        return 'full';
      };";
    let options = AgentOptions {
        host_objects: [("counter".to_owned(), make)].into(),
        heap_bytes: 16 << 20,
        ..AgentOptions::default()
    };
    let agent = cluster.spawn(Code::source("main.ts", text), options).unwrap();
    // Its end, or an exception before.
    let end = agent.call::<String>("fill", &()).wait();
    assert_ne!(end, Ok("another object".into()));
    agent.terminate();
    agent.join().wait();
    assert_eq!(lives.load(SeqCst), 0);
}

/// A block of the engine's memory.
struct Lender {
    memory: Memory,
    block: Block,
}

impl HostObject for Lender {
    fn functions(&self) -> &[HostFunction] {
        &[HostFunction { name: "offset", arguments: 0 }, HostFunction { name: "read", arguments: 0 }]
    }

    fn call(&mut self, function: usize, _: &[f64]) -> Result<f64, HostError> {
        let start = self.memory().ok_or(HostError("another memory".into()))?.start().addr().get();
        match function {
            0 => Ok((self.block.ptr().addr().get() - start) as f64),
            // SAFETY: the block has at least four bytes, and the script does not write while it calls.
            _ => Ok(unsafe { self.block.ptr().cast::<u32>().read() }.into()),
        }
    }

    fn memory(&self) -> Option<LentMemory> {
        // SAFETY: Rust reads the block as a number, while the script waits.
        unsafe { LentMemory::new(&self.memory) }
    }
}

#[test]
fn a_memory_is_shared_with_scripts_and_their_workers() {
    let cluster = Cluster::new().unwrap();
    let (memory, other) = (cluster.memory(1 << 20).unwrap(), Memory::reserve(1 << 20).unwrap());
    let make: MakeHostObject = Arc::new(move |_, _| {
        let block = memory.allocate(64).map_err(|error| HostError(error.to_string()))?;
        Ok(Box::new(Lender { memory: memory.clone(), block }))
    });
    let text = r#"
      const lender = counter();
      const at = lender.offset() / 4;
      new Uint32Array(lender.memory.buffer)[at] = 41;
      const worker = new Worker("data:text/javascript,onmessage = ({ data: [memory, at] }) => {"
        + "postMessage(Atomics.add(new Uint32Array(memory.buffer), at, 1)); close(); }");
      worker.postMessage([lender.memory, at]);
      export const before = await new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
      export const read = () => [before, lender.read(), lender.memory.buffer instanceof SharedArrayBuffer];"#;
    // What the engine shares counts for its agents.
    let options = AgentOptions {
        host_objects: [("counter".to_owned(), make)].into(),
        heap_bytes: 1 << 30,
        ..AgentOptions::default()
    };
    let agent = cluster.spawn(Code::source("main.ts", text), options).unwrap();
    assert_eq!(agent.call::<(f64, f64, bool)>("read", &()).wait(), Ok((41.0, 42.0, true)));
    // SAFETY: nothing is lent.
    assert!(unsafe { LentMemory::new(&other) }.is_none(), "only the engine's memories can be lent");
}
