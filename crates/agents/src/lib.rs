//! JavaScript agents: jobs in JavaScript, TypeScript and WebAssembly, run by SpiderMonkey on the world's own memory.
//!
//! A [`Cluster`] makes [`JsJob`]s from module files, and [`WasmJob`]s from [kernels](#kernels). A job is a [`JobRunner`](peristyle_jobs::JobRunner): any lane runs it.
//! Each lane's thread gets an agent when it first prepares or runs a job: a child runtime of one parent that outlives it,
//! with a realm of its own.
//!
//! # A job
//!
//! ```ts
//! // move.job.ts
//! export function handle({ snap, dt }) {
//!   const { x } = snap.comps.Position.fields;
//!   const { dx } = snap.comps.Velocity.fields;
//!   for (let i = 0; i < snap.rows; i++) x[i] += dx[i] * dt;
//! }
//! ```
//!
//! `handle({ snap, dt, time, extra })`, or the default export, is called once per range of rows, with
//!
//! | `snap.` | is |
//! |---|---|
//! | `rows` | the number of rows |
//! | `comps[id]`, `comps[name]` | `{ fields, changed }`: one typed array per field; the bits to mark, or that were marked, or undefined. Of an opaque component also `values`: a list of plain values, one a row, made when first asked for |
//! | `despawn` | bits to set, if the job declared that it despawns |
//! | `res[name]` | the fields of a columnar resource |
//! | `eids` | entity indices, an `Int32Array`: a copy, made when first asked for |
//! | `entity(i)` | the entity handle of row `i` |
//! | `shared` | `false`; `true` in a [shared job](#shared-jobs) |
//!
//! A job that its system declares to take *parts* is called once for all chunks. It gets `parts` instead: an array with
//! one object for each chunk, which has the `rows`, `comps`, `despawn`, `eids` and `entity` of that chunk; `snap.rows`
//! counts the rows of all, and `res` is as above. The objects are the same from call to call, their views are not. One
//! that is declared to be *whole* is called once too, and sees the rows of all chunks as if they were one.
//!
//! Beside `snap` it gets `extra`, the system's own value, parsed from JSON and frozen. Bit `i` of a bitset is
//! `1 << (i & 7)` of byte `i >> 3`. `bool` columns are `Uint8Array`, `i64` and `u64` ones `BigInt64Array` and `BigUint64Array`.
//!
//! Columns are lent: each typed array lies on an `ArrayBuffer` over just the call's rows of that column, in place. When
//! the call has settled they are detached; a view that a job keeps is empty. A column that was declared as read can be
//! written all the same: it must not be.
//!
//! `values` of an opaque component are copies that the job may keep and change: nothing comes of that. A patch that the job
//! returns (`{ kind: "set", eid, cid, value }`) carries a new value back. Integers that are not safe are `BigInt`s, in both
//! directions; what JSON has no numbers for is `null`.
//!
//! `handle` may be `async`: the call settles when its promise does, at the latest when nothing is left to run. A promise
//! that is then still pending fails the call: a job has no timers, no messages and no input, and modules that it imports
//! are evaluated at once, so nothing could settle it later. So do a rejection, and one that nobody handles.
//!
//! # Shared jobs
//!
//! A world can lie on a memory that the engine made: `World::on(cluster.memory(max_bytes)?)`. There a job can be *shared*
//! ([`Cluster::shared_job`]): its views are cached `SharedArrayBuffer` views, by agent, place and number of rows, that
//! nothing takes back, and it has `Atomics`. Such a call costs about half of one that is lent four columns, which shows in
//! ranges of few rows. To ask for it is `unsafe`, as a job that keeps a view can write at any time.
//!
//! # Kernels
//!
//! A kernel is a WebAssembly module whose memory is the world's: it imports `env.memory` (shared, at most 65 536 pages) and
//! exports `handle(descriptor: i32)`. Its argument is the offset of a [descriptor](peristyle_layout::descriptor) of fixed
//! layout that says where the columns and bits of the call lie. `peristyle-kernel` writes them in Rust, its C header in C.
//!
//! Each agent has instances of its own, one for each shape. An instance has a stack of its own of 256 KiB in the memory, one
//! of 512 there ([`JobError::NoStack`](peristyle_jobs::JobError::NoStack)), for which the module imports
//! `env.__stack_pointer` or exports it, and a block for static data if it is position-independent (it imports
//! `env.__memory_base` and has a section `dylink.0`). Nothing else is offered, thread-locals neither. A module with static data at fixed
//! addresses, with a stack pointer that cannot be set, or with other imports is [refused](KernelError).
//!
//! A trap fails its call as [`JobError::Threw`](peristyle_jobs::JobError::Threw). A stack that overflows is found after the
//! call, or traps at the end of addresses; it may spoil what other instances have on their stacks, never a column.
//!
//! # What a job has
//!
//! ECMAScript with `Intl` and `Temporal`, ES modules (files named by relative or absolute paths: `.ts`, `.mts`, `.js`,
//! `.mjs`, and `.json` with `{ type: "json" }`), `import()`, top-level `await`, `import.meta.url`, and a `console` of
//! `debug`, `log`, `info`, `warn` and `error`. Types are erased in place, so errors name the line and column of the
//! TypeScript; what cannot be erased (enums, namespaces, parameter properties, `<T>x` for `x as T`) is refused, and
//! so are decorators, which the engine lacks.
//!
//! A job is a pure function of what it is given. `Math.random`, `Date.now`, `Date()`, `new Date()` without arguments,
//! `Temporal.Now` and `Intl.DateTimeFormat` without a date throw. `WeakRef` and `FinalizationRegistry` are not there:
//! what they show depends on the collector. Nor are timers, `fetch`, files and `WebAssembly`; `SharedArrayBuffer` and
//! `Atomics`, without what waits, are there in shared jobs only. The time zone and the locale of the host show through `Date` and `Intl`; state that a module keeps between
//! calls is its agent's own, and which calls an agent sees is not defined: neither is kept from a job, both should be.
//!
//! # Spawned agents
//!
//! [`Cluster::spawn`] starts an agent on a thread of its own, with an event loop: one task at a time, microtasks after each.
//!
//! ```
//! use peristyle_agents::{AgentOptions, Cluster, Code, Exit};
//!
//! let cluster = Cluster::new()?;
//! let code = Code::source("adder.ts", "
//!     export async function add(a: number, b: number) { return a + b; }
//!     onmessage = ({ data }) => postMessage(`got ${data}`);
//! ");
//! let agent = cluster.spawn(code, AgentOptions::default())?;
//! assert_eq!(agent.call::<f64>("add", &(1, 2)).wait()?, 3.0);
//! agent.post("a message")?;
//! assert_eq!(agent.receive().wait()?.get::<String>()?, "got a message");
//! assert_eq!(agent.join().wait(), Exit::Finished);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It has all of ECMAScript, clocks, randomness and shared memory included, `WebAssembly`, and from the web:
//! `postMessage` and its events, `MessageChannel`, `MessagePort`, `BroadcastChannel` (one for all agents of a cluster), `Worker`
//! (modules, nested; its URL is relative to the module that starts it), `structuredClone`, timers, `queueMicrotask`,
//! `performance.now`, `console`, `reportError`, `close`, `EventTarget` and events, `AbortController` and `AbortSignal`,
//! `TextEncoder` and `TextDecoder` (all encodings of the web), `URL` and `URLSearchParams`, `atob` and `btoa`, `DOMException`
//! and `navigator.hardwareConcurrency`.
//!
//! Messages between agents hold all that the standard's structured clone knows without a document, compiled
//! `WebAssembly.Module`s and shared memory included. One that is too large for its port leaves its sender all that it lists
//! for transfer.
//!
//! Modules are files, parts of a bundle, `data:` URLs, JSON `with { type: "json" }`, and what the host's [`ModuleLoader`] gives;
//! an [`ImportMap`] says what specifiers stand for. Nothing is fetched from a network. What cannot be imported is a `TypeError`
//! or a `SyntaxError` that names the place; an `import()` that fails harms nothing else.
//!
//! A [`Port`] is Rust's end of a `MessagePort`. Values cross between Rust and scripts by serde:
//!
//! | Rust | JavaScript |
//! |---|---|
//! | `()`, `None` | `null`; `undefined` too, from there |
//! | `bool`, strings, `char` | boolean, string |
//! | floats, safe integers | number |
//! | other integers of 64 bits | BigInt |
//! | bytes | `Uint8Array`; any view or buffer, from there |
//! | sequences, tuples | array; a `Set` too, from there |
//! | structs, maps with string keys | object |
//! | other maps | `Map` |
//! | enums | as `serde_json` has them |
//!
//! Node's modules can be imported, `node:worker_threads` first; [`NodeOptions`] says which, and makes an agent one of Node's
//! manner.
//!
//! Functions, symbols, proxies and cycles cannot cross to Rust: that is a `DataCloneError` in the script.
//!
//! Structured clones as bytes, for files and other processes, are made by [`AgentHandle::eval_to_clone`], and read by
//! [`AgentHandle::read_clone`] and [`AgentHandle::call_with_clone`], whatever the bytes are.
//!
//! An agent ends when nothing is left to do, by `close()`, when its main module fails, and by [`AgentHandle::terminate`].
//! A listening port keeps it while its other end is open; its handle does until it is joined, finished or dropped.
//!
//! # Objects of the host's
//!
//! [`AgentOptions::host_objects`] gives scripts functions that make objects of Rust's: their methods take and give numbers
//! ([`HostObject`]). A call allocates nothing; what it refuses, and a panic, are exceptions. An object lives on its agent's
//! thread until no script reaches it or one of its methods. It may lend a whole memory of the engine's ([`LentMemory`]).
//!
//! # Shared memory
//!
//! A [`SharedBuffer`] is the memory of a `SharedArrayBuffer`, made by Rust or by an agent. It crosses as a value, inside of
//! others too; Rust reaches it by atomics. [`Cluster::wait`] and [`Cluster::notify`] are `Atomics.wait` and `Atomics.notify`
//! for threads of Rust's.
//!
//! `Atomics.Mutex` and `Atomics.Condition` are there as the structs proposal of TC39 names them, `lockAsync` and `waitAsync`
//! included; so is `ThreadLocal`, an object with a `value` in each agent. They are cloned by `postMessage` and `structuredClone`:
//! a clone is about the same lock. [`SharedMutex`] and [`SharedCondition`] are the same locks for Rust:
//!
//! ```
//! use peristyle_agents::{AgentOptions, Cluster, Code};
//!
//! let cluster = Cluster::new()?;
//! let (mutex, memory) = (cluster.shared_mutex()?, cluster.shared_buffer(4)?);
//! let code = Code::source("counter.ts", "
//!     export function add(mutex, buffer: SharedArrayBuffer) {
//!         using held = Atomics.Mutex.lock(mutex);
//!         new Int32Array(buffer)[0] += 1;
//!     }
//! ");
//! let agent = cluster.spawn(code, AgentOptions::default())?;
//! let call = agent.call::<()>("add", &(&mutex, &memory));
//! {
//!     let _held = mutex.lock()?;
//!     let cell = memory.i32(0)?;
//!     cell.store(cell.load(std::sync::atomic::Ordering::Relaxed) + 1, std::sync::atomic::Ordering::Relaxed);
//! }
//! call.wait()?;
//! assert_eq!(memory.i32(0)?.load(std::sync::atomic::Ordering::Relaxed), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | in a script | is |
//! |---|---|
//! | `lock` of a lock that the agent has | `InvalidStateError` |
//! | a lock whose owner ended without unlocking it | `OperationError`, for good ([`LockError::Abandoned`]) |
//! | waiting in an agent that must not block | `TypeError`; `lockAsync` and a timeout of 0 work |
//!
//! # Deterministic clusters
//!
//! In a [deterministic](Cluster::deterministic) cluster agents take turns, by a seed and in virtual time: the same program does
//! the same in the same order on every run, and another seed tries another order. One agent runs at a time, until its task
//! ends or blocks; time moves when nobody can go on. Agents run while Rust waits: in [`Cluster::run`], or in the
//! `wait` of a [`Call`], a [`Join`] or [`AgentHandle::receive`]. Awaiting these as futures lets nobody run; nor does a [`Port`].
//!
//! ```
//! use peristyle_agents::{AgentOptions, Cluster, Code, Deterministic};
//!
//! let log = |seed| {
//!     let cluster = Cluster::deterministic(Deterministic::seed(seed))?;
//!     let code = Code::source("main.ts", "
//!         for (const name of ['a', 'b', 'c']) {
//!             const worker = new Worker('data:text/javascript,postMessage(performance.now()); close();', { name });
//!             worker.onmessage = () => setTimeout(() => {}, Math.random() * 3600000);
//!         }
//!     ");
//!     cluster.spawn(code, AgentOptions::default())?.join().wait();
//!     Ok::<_, Box<dyn std::error::Error>>(cluster.interleaving()?)
//! };
//! assert_eq!(log(7)?, log(7)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Math.random`, `Date`, `Temporal.Now`, `performance.now` and timers follow the seed and virtual time. What blocks for ever is a
//! [`RunError::Deadlock`] that names who waits for what; a turn that does not end, or turns without end at one time, are
//! [`RunError::Spins`]. Not covered: what depends on collections (`WeakRef`, `FinalizationRegistry`), `Intl.DateTimeFormat`
//! without a date, two compilations of WebAssembly at once, and threads of Rust's that post or lock while agents run.
//!
//! # Limits
//! Recursion ends in a catchable `InternalError` before the thread's stack does. [`Cluster::interrupt_all`] stops what
//! runs; [`Limits`] stop a call that outgrows its heap or its time. What was stopped cannot catch it, and its agent goes on.
//!
//! A spawned agent that outgrows its [`heap_bytes`](AgentOptions::heap_bytes) ends alone, with [`Exit::OutOfMemory`], before
//! it has a quarter more. [`AgentHandle::terminate`] stops loops, waits, microtasks, WebAssembly and workers within a
//! fraction of a millisecond; not built-ins that never look (`indexOf`, `JSON.parse`, `replaceAll`, `normalize`, `split`,
//! structured clones, compilation, large BigInts): these end first. What they take grows with what they are given, which
//! `heap_bytes` and [`PortLimits::message_bytes`] bound.
//!
//! # Threads
//! What Rust has of an agent is `Send` and `Sync`, and owns what it points to. What belongs to one thread cannot leave it:
//! the realm and all that the engine owns have no public type.
//!
//! ```
//! fn crosses<T: Send + Sync>() {}
//! crosses::<peristyle_agents::Cluster>();
//! crosses::<peristyle_agents::AgentHandle>();
//! crosses::<peristyle_agents::Port>();
//! crosses::<peristyle_agents::Message>();
//! ```
//!
//! A wait borrows its port, so it ends before the port goes to another agent:
//!
//! ```compile_fail,E0505
//! # fn send(port: peristyle_agents::Port, other: &peristyle_agents::Port) {
//! let next = port.receive();
//! other.post_with(&(), vec![port]);
//! next.wait();
//! # }
//! ```
//!
//! A handle that was joined asks nothing more:
//!
//! ```compile_fail,E0382
//! # fn end(agent: peristyle_agents::AgentHandle) {
//! let end = agent.join();
//! agent.post(&1);
//! # }
//! ```
//!
//! A callback runs on the agent's thread, so it takes nothing that must stay on this one:
//!
//! ```compile_fail,E0277
//! # fn listen(agent: peristyle_agents::AgentHandle) {
//! let count = std::rc::Rc::new(std::cell::Cell::new(0));
//! agent.on_message(move |_| count.set(count.get() + 1));
//! # }
//! ```
//!
//! # Rules
//! - This is the only crate that names the engine; no type of it is public.
//! - A job's call allocates nothing on the Rust heap once its job is bound in its agent.
//! - Where its lane records spans, an agent's collections are among them, also slice by slice.
//! - Handles, lanes and jobs may be dropped in any order, and threads may end first.
//!
//! # Not here
//! Worlds and scheduling. Sharing compiled kernels between agents: each compiles its own, which
//! for what a kernel is takes some milliseconds at most.
#![warn(missing_docs)]

mod agent;
mod attach;
mod cluster;
mod collections;
mod console;
mod doors;
mod engine;
mod error;
mod host;
mod job;
mod kernel;
mod lend;
mod memory;
mod modules;
mod patches;
mod source;
mod spawned;
mod values;

pub use cluster::{Cluster, Limits};
pub use console::Level;
pub use error::AgentError;
pub use job::JsJob;
pub use kernel::{KernelError, WasmJob};
#[cfg(feature = "test262")]
pub use spawned::test262;
pub use spawned::{
    AgentHandle, AgentOptions, Allowed, BufferError, Call, CallError, Code, Deterministic, ErrorHook, Exit, ExitHook,
    Expected, HostContext, HostError, HostFunction, HostObject, ImportMap, ImportMapError, Join, LentMemory, LoadError,
    LoadedModule, LockError, MakeHostObject, Message, ModuleFormat, ModuleLoader, NodeOptions, OutputHook, Port,
    PortEvent, PortLimits, PostError, Receive, ReceiveError, RunError, SharedBuffer, SharedCondition, SharedGuard,
    SharedMutex, StartHook, Stream, Thrown, Turn, ValueError, Waited,
};
