//! Spawned agents: JavaScript on a thread of its own, with an event loop.
//!
//! ```text
//!  Rust                                        the agent's thread
//!  AgentHandle ── call, eval ─▶ inbox ─▶ one task, its microtasks, the next ...
//!      │  Port ◀── messages ──▶ End │            │ postMessage, onmessage
//!      └── terminate ─▶ control ────┴─ interrupt ┘
//! ```
//!
//! An agent ends when nothing is left that could give it a task (see [`inbox`]), when its script calls `close()`, when its
//! main module fails, or when it is terminated. Its handle keeps it until it is dropped, finished or joined.
//!
//! # Order
//! One task at a time, in the order in which tasks became runnable: a message or a call when it arrived, a timer when it was
//! due; microtasks are drained after each. Messages of one port stay in order. What blocks (`Atomics.wait`) blocks its agent
//! alone, tasks included. In a deterministic cluster one agent runs at a time; see [`turns`].
//!
//! # Rules
//! - Nothing of the engine leaves the agent's thread. What crosses are [`Value`](value::Value)s, structured clones and ports.
//! - Handles are `Send` and `Sync`, and may be dropped in any order and at any time.

mod bell;
mod broadcast;
mod clock;
mod clone;
mod control;
pub(crate) mod convert;
mod encoding;
mod event_loop;
mod exception;
mod foreign;
mod global;
mod host_modules;
mod host_objects;
mod import_map;
mod inbox;
mod loader;
mod lock;
mod locks;
mod lot;
mod message;
mod meter;
mod natives;
mod node;
mod pool;
mod port;
mod quiet;
mod realm;
mod reply;
mod scripts;
mod shared;
mod synthetic;
#[cfg(feature = "test262")]
pub mod test262;
mod turns;
mod url;
pub(crate) mod value;
mod wasm_module;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::broadcast::Broadcasts;
pub use self::host_modules::{LoadError, LoadedModule, ModuleFormat, ModuleLoader};
pub use self::host_objects::{HostContext, HostError, HostFunction, HostObject, LentMemory, MakeHostObject};
pub use self::import_map::{ImportMap, ImportMapError};
pub use self::lock::LockError;
pub use self::message::Message;
pub use self::node::{Allowed, NodeOptions, OutputHook, Stream};
pub(crate) use self::pool::Pool;
pub use self::port::{Port, PortEvent, PortLimits, PostError, Receive, ReceiveError};
pub(crate) use self::scripts::Compiled;
pub(crate) use self::shared::Helper;
pub use self::shared::{BufferError, Expected, SharedBuffer, SharedCondition, SharedGuard, SharedMutex, Waited};
pub(crate) use self::turns::Turns;
pub use self::turns::{Deterministic, RunError, Turn};
pub use self::value::ValueError;

use self::control::Control;
use self::event_loop::{Asked, CallTask, Form, Hold, Life, What, WorkerThread, launch};
use self::host_modules::HostModules;
use self::inbox::{Inbox, Task};
use self::loader::Library;
use self::node::Seat;
use self::port::End;
use self::reply::{Reply, reply};
use self::value::Value;
use crate::cluster::Shared;
use crate::console::Level;
use crate::{AgentError, Cluster};

/// The code of an agent: TypeScript or JavaScript, by the extension of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// A module file; what it imports are files, too.
    File(PathBuf),
    /// A module that is no file. Relative imports start at the working directory.
    Source {
        /// What errors show.
        name: String,
        /// The module.
        text: String,
    },
    /// Modules in memory, that import each other by their names and nothing else.
    Bundle {
        /// The name of the module to start with.
        main: String,
        /// All modules, by name.
        modules: BTreeMap<String, String>,
    },
}

impl Code {
    /// A module file.
    pub fn file(path: impl Into<PathBuf>) -> Code {
        Code::File(path.into())
    }

    /// A module that is no file.
    pub fn source(name: impl Into<String>, text: impl Into<String>) -> Code {
        Code::Source { name: name.into(), text: text.into() }
    }

    /// Modules in memory, by name; `main` is the one to start with.
    pub fn bundle<N: Into<String>, T: Into<String>>(
        main: impl Into<String>,
        modules: impl IntoIterator<Item = (N, T)>,
    ) -> Code {
        let modules = modules.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        Code::Bundle { main: main.into(), modules }
    }
}

/// A function that is told of errors.
pub type ErrorHook = Arc<dyn Fn(&Thrown) + Send + Sync>;
/// A function that is told that an agent starts, with the agent's name.
pub type StartHook = Arc<dyn Fn(&str) + Send + Sync>;
/// A function that is told how an agent ended.
pub type ExitHook = Arc<dyn Fn(&Exit) + Send + Sync>;

/// How an agent is spawned.
#[derive(Clone)]
pub struct AgentOptions {
    /// `self.name` in the agent, and the name of its thread. Empty unless told.
    pub name: String,
    /// Bytes that it may have in use, garbage apart: its collected heap, and what that holds outside (elements, characters,
    /// contents of buffers, shared or not, memories of WebAssembly, texts of modules). Beyond, it ends with
    /// [`Exit::OutOfMemory`]; a single request of more than half of it that does not fit is refused. 256 MiB unless told.
    pub heap_bytes: u64,
    /// Bytes of its thread's stack. Recursion throws a quarter of a MiB before its end. 8 MiB unless told.
    pub stack_bytes: usize,
    /// Whether `Atomics.wait`, locks and conditions may block it. True unless told; its workers may always.
    pub may_block: bool,
    /// Whether it has `SharedArrayBuffer`, and can exchange shared memory. True unless told.
    pub shared_memory: bool,
    /// Modules in memory that all its modules can import by name, and its workers' too. None unless told.
    pub modules: Arc<BTreeMap<String, String>>,
    /// Limits of its ports.
    pub ports: PortLimits,
    /// What specifiers stand for; its workers have the same.
    pub import_map: Option<Arc<ImportMap>>,
    /// Asked for modules that are neither files nor in memory; its workers have the same. Without one, only `data:` URLs,
    /// files and modules in memory are imported.
    pub loader: Option<Arc<dyn ModuleLoader>>,
    /// Functions of the global object, by name, that give the script objects of the host's; its workers have the same. None
    /// unless told.
    pub host_objects: BTreeMap<String, MakeHostObject>,
    /// Called on the agent's thread, before its main module is evaluated. Hooks are not called for the agent's workers, and
    /// may post, spawn and terminate; they must not wait for what their own agent is to do.
    pub on_start: Option<StartHook>,
    /// Called on the agent's thread as the last of all, before [`AgentHandle::join`] tells; not if there was no thread.
    pub on_exit: Option<ExitHook>,
    /// Told of errors that nothing handled, from the start; see [`AgentHandle::on_error`].
    pub on_error: Option<ErrorHook>,
    /// Makes it an agent in Node's manner; its workers are, too. None unless told: `node:` modules can be imported all the
    /// same, but have nothing of the system.
    pub node: Option<NodeOptions>,
    /// Told, on the agent's thread, of promises that were rejected without a handler, after the script's own event
    /// `unhandledrejection`. Without one, `on_error` is.
    pub on_unhandled_rejection: Option<ErrorHook>,
}

impl Default for AgentOptions {
    fn default() -> AgentOptions {
        AgentOptions {
            name: String::new(),
            heap_bytes: 256 << 20,
            stack_bytes: 8 << 20,
            may_block: true,
            shared_memory: true,
            modules: Arc::default(),
            ports: PortLimits::default(),
            import_map: None,
            loader: None,
            host_objects: BTreeMap::new(),
            on_start: None,
            on_exit: None,
            on_error: None,
            node: None,
            on_unhandled_rejection: None,
        }
    }
}

impl fmt::Debug for AgentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentOptions")
            .field("name", &self.name)
            .field("heap_bytes", &self.heap_bytes)
            .field("stack_bytes", &self.stack_bytes)
            .field("may_block", &self.may_block)
            .field("shared_memory", &self.shared_memory)
            .field("ports", &self.ports)
            .field("node", &self.node)
            .field("import_map", &self.import_map)
            .finish_non_exhaustive()
    }
}

/// What a script threw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thrown {
    /// The error's `name`, or the type of a value that is no error.
    pub name: String,
    /// The error's message, or the value as text.
    pub message: String,
    /// The stack, one frame a line, innermost first; may be empty.
    pub stack: String,
}

impl Thrown {
    /// Keeps the frames of a stack in V8's format, without those of our own scripts.
    fn new(name: &str, message: &str, stack: &str) -> Thrown {
        let frames = stack.lines().filter_map(|line| line.trim_start().strip_prefix("at "));
        let frames: Vec<_> = frames.filter(|frame| !frame.contains("peristyle:")).collect();
        Thrown { name: name.into(), message: message.into(), stack: frames.join("\n") }
    }

    /// File, line and column (both from 1, the column in UTF-16 units) of the innermost frame.
    pub fn place(&self) -> Option<(&str, u32, u32)> {
        let frame = self.stack.lines().next()?;
        let place = frame.rsplit_once('(').map_or(frame, |(_, place)| place.trim_end_matches(')'));
        let (rest, column) = place.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        Some((file, line.parse().ok()?, column.parse().ok()?))
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)?;
        self.stack.lines().try_for_each(|line| write!(f, "\n    at {line}"))
    }
}

impl From<AgentError> for Thrown {
    /// As the exception that a script would see, where the error is.
    fn from(error: AgentError) -> Thrown {
        let message = error.to_string();
        let (name, stack) = match &error {
            AgentError::Threw { name, message, stack } => {
                return Thrown { name: name.clone(), message: message.clone(), stack: stack.clone() };
            }
            AgentError::Syntax { path, line, column, .. } => {
                ("SyntaxError", format!("{}:{line}:{column}", path.display()))
            }
            AgentError::Import { importer, line, column, .. } => {
                ("TypeError", format!("{}:{line}:{column}", importer.display()))
            }
            AgentError::Missing { .. } | AgentError::Unreadable { .. } => ("TypeError", String::new()),
            _ => ("Error", String::new()),
        };
        Thrown { name: name.into(), message, stack }
    }
}

impl From<Thrown> for AgentError {
    fn from(Thrown { name, message, stack }: Thrown) -> AgentError {
        AgentError::Threw { name, message, stack }
    }
}

/// Why a call gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The script threw, or its promise was rejected; or the result cannot cross to Rust (a `DataCloneError`).
    #[error("{0}")]
    Threw(Thrown),
    /// The script that was to be evaluated has no meaning.
    #[error(transparent)]
    Script(AgentError),
    /// The main module exports no such function.
    #[error("the agent's main module exports no function {name:?}")]
    NoExport {
        /// The name.
        name: String,
    },
    /// The bytes are no structured clone that another process wrote.
    #[error("the bytes are no structured clone: {reason}")]
    NoClone {
        /// What is wrong with them.
        reason: String,
    },
    /// An argument cannot cross, or the result is not of the type asked for.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The agent ended, or was terminated, before it gave an answer.
    #[error("the agent has ended")]
    Ended,
    /// The agents of its deterministic cluster cannot go on.
    #[error(transparent)]
    Run(RunError),
}

impl From<Thrown> for CallError {
    fn from(thrown: Thrown) -> CallError {
        CallError::Threw(thrown)
    }
}

impl From<AgentError> for CallError {
    fn from(error: AgentError) -> CallError {
        match error {
            AgentError::Threw { name, message, stack } => CallError::Threw(Thrown { name, message, stack }),
            other => CallError::Script(other),
        }
    }
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// Nothing was left to do.
    Finished,
    /// Its script called `close()`.
    Closed,
    /// Its script ended it with this code, as Node's do: by `process.exit`, `process.exitCode`, or an error that nothing
    /// handled in an agent with [`NodeOptions`].
    Exited(i32),
    /// It was terminated; why.
    Terminated(String),
    /// It outgrew its [`heap_bytes`](AgentOptions::heap_bytes).
    OutOfMemory {
        /// The limit, in bytes.
        heap_bytes: u64,
    },
    /// Its main module failed, or it could not be started.
    Failed(AgentError),
}

/// Who is told of an agent's errors.
pub(crate) struct AgentHooks(RwLock<Option<ErrorHook>>);

impl AgentHooks {
    fn new(on_error: impl Fn(&Thrown) + Send + Sync + 'static) -> AgentHooks {
        AgentHooks(RwLock::new(Some(Arc::new(on_error))))
    }

    /// An error that nothing handled; without a hook it is printed.
    fn error(&self, shared: &Shared, agent: &str, thrown: Thrown) {
        let hook = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match hook {
            Some(hook) => hook(&thrown),
            None if agent.is_empty() => shared.console.print(Level::Error, &format!("Uncaught {thrown}")),
            None => shared.console.print(Level::Error, &format!("Uncaught in {agent}: {thrown}")),
        }
    }
}

impl Cluster {
    /// Sets agents up in advance: from now on, `count` of them wait to be spawned, each a thread with a runtime and a realm
    /// (some 1 MiB), and a spawn whose options have the same `heap_bytes`, `stack_bytes` and `shared_memory` takes one. What is
    /// taken is replaced in the background. Returns when they are there, which takes about 1 ms each; 0 lets all go.
    ///
    /// # Errors
    /// [`AgentError::Engine`] if one cannot be set up; those that were stay.
    pub fn keep_warm(&self, count: usize, options: AgentOptions) -> Result<(), AgentError> {
        self.0.shared.pool.keep(&self.0.shared, count, options)
    }

    /// How many agents wait, set up in advance.
    pub fn warm_agents(&self) -> usize {
        self.0.shared.pool.count()
    }

    /// Spawns an agent. Its main module, or all of a bundle, is read and its types are stripped here; it is compiled and
    /// evaluated on the agent's thread, where failing ends the agent with [`Exit::Failed`].
    ///
    /// # Errors
    /// [`AgentError::Missing`], [`AgentError::Unreadable`] and [`AgentError::Syntax`] of what is read here;
    /// [`AgentError::Engine`] if there is no thread.
    pub fn spawn(&self, code: Code, options: AgentOptions) -> Result<AgentHandle, AgentError> {
        self.spawn_in(code, options, self.0.shared.turns.as_ref())
    }

    fn spawn_in(
        &self,
        code: Code,
        options: AgentOptions,
        turns: Option<&Arc<Turns>>,
    ) -> Result<AgentHandle, AgentError> {
        let shared = self.0.shared.clone();
        let host = HostModules::new(options.import_map.clone(), options.loader.clone());
        let mut library = Library::new(&shared, code, host)?;
        library.add(&shared, &options.modules)?;
        let library = Arc::new(library);
        let (ours, theirs) = End::pair(options.ports);
        let inbox = Arc::new(Inbox::new(turns.map(|turns| turns.sit(&options.name))));
        let control = Control::new(inbox.clone());
        let hooks = Arc::new(AgentHooks(RwLock::new(options.on_error.clone())));
        let name = options.name.clone();
        let (answer, exit) = reply();
        let port = Port::new(ours);
        let hold = Hold::new(&inbox);
        let life = Life {
            shared,
            library,
            seat: Seat::of(&options),
            options,
            hooks: hooks.clone(),
            inbox: inbox.clone(),
            control: control.clone(),
            port: theirs,
            program: None,
        };
        let thread = launch(life, |exit| answer.send(exit))?;
        Ok(AgentHandle {
            name,
            port,
            inbox,
            control,
            hooks,
            exit,
            hold: Mutex::new(Some(hold)),
            is_known_ended: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        })
    }
}

/// A spawned agent, seen from Rust. Dropping it lets the agent finish what it has to do, unwatched.
pub struct AgentHandle {
    name: String,
    port: Port,
    inbox: Arc<Inbox>,
    control: Arc<Control>,
    hooks: Arc<AgentHooks>,
    exit: Reply<Exit>,
    hold: Mutex<Option<Hold>>,
    is_known_ended: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AgentHandle {
    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The other end of the agent's global `postMessage` and `onmessage`.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Posts a message to the agent's global object.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn post<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), PostError> {
        self.port.post(value)
    }

    /// The next message that the agent posts: a future, or [`Receive::wait`].
    pub fn receive(&self) -> Receive<'_> {
        Receive { port: &self.port, turns: self.inbox.turns().cloned() }
    }

    /// Hands what the agent posts to `callback`, on the agent's thread; what was posted before comes first, here.
    pub fn on_message(&self, callback: impl Fn(Message) + Send + Sync + 'static) {
        self.port.on_message(callback);
    }

    /// Tells `callback`, on the agent's thread, of errors that nothing handled from now on. Without one they are printed.
    pub fn on_error(&self, callback: impl Fn(&Thrown) + Send + Sync + 'static) {
        *self.hooks.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(callback));
    }

    /// Calls a function that the main module exports. `arguments` is a list: a tuple, an array, a `Vec`.
    ///
    /// The call waits until the main module is evaluated, and for the promise that the function may return. It goes out even
    /// if the result is dropped.
    pub fn call<R: DeserializeOwned>(&self, name: &str, arguments: &(impl Serialize + ?Sized)) -> Call<R> {
        let arguments = match Value::of(arguments) {
            Ok(Value::List(arguments)) => arguments,
            Ok(Value::Null) => Vec::new(),
            Ok(_) => return Call::failed(ValueError::new("the arguments of a call are a list").into()),
            Err(error) => return Call::failed(error.into()),
        };
        self.ask(What::Export { name: name.into(), arguments }, Form::Value)
    }

    /// Evaluates a script (JavaScript, no module) in the agent's global scope and gives its value, awaited.
    pub fn eval<R: DeserializeOwned>(&self, script: &str) -> Call<R> {
        self.ask(What::Eval { text: script.into() }, Form::Value)
    }

    /// As [`AgentHandle::eval`], and gives the value as a structured clone: bytes that may leave the process. What would be
    /// shared or transferred cannot be in it.
    pub fn eval_to_clone(&self, script: &str) -> Call<Vec<u8>> {
        self.ask(What::Eval { text: script.into() }, Form::Clone)
    }

    /// Reads a structured clone that may come from outside of the process ([`AgentHandle::eval_to_clone`] makes them), in the
    /// engine's scope for such bytes, and gives its value. Bytes may be anything: what is no clone is
    /// [`CallError::NoClone`], and the agent goes on.
    pub fn read_clone<R>(&self, bytes: &[u8]) -> Call<R> {
        self.ask(What::ReadClone { bytes: bytes.into() }, Form::Value)
    }

    /// As [`AgentHandle::call`], with one argument: the value that [`AgentHandle::read_clone`] would read.
    pub fn call_with_clone<R>(&self, name: &str, bytes: &[u8]) -> Call<R> {
        self.ask(What::ExportOfClone { name: name.into(), bytes: bytes.into() }, Form::Value)
    }

    fn ask<R>(&self, what: What, form: Form) -> Call<R> {
        let (answer, reply) = reply();
        let asked = Asked::new(answer, form, &self.inbox);
        // An agent that has ended drops it, which answers.
        drop(self.inbox.push(Task::Call(CallTask { what, asked })));
        Call { state: CallState::Asked(reply), turns: self.inbox.turns().cloned(), result: PhantomData }
    }

    /// Stops the agent and its workers, whatever they do. Returns at once; [`AgentHandle::join`] tells of the end.
    pub fn terminate(&self) {
        self.control.stop("terminated");
    }

    /// Says that nothing more will be asked or posted: the agent ends once it has nothing left to do.
    pub fn finish(&self) {
        self.port.finish();
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(hold);
    }

    /// Whether the agent has ended, its thread's last steps apart.
    pub fn has_ended(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_known_ended.load(Ordering::Relaxed) || thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Lets the agent finish, and tells how it ended: a future, or [`Join::wait`]. Messages that it posts meanwhile still
    /// reach [`AgentHandle::on_message`].
    pub fn join(self) -> Join {
        self.finish();
        Join { handle: self }
    }

    fn ended(&self, exit: Option<Exit>) -> Exit {
        self.is_known_ended.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Telling the end is the last that the thread does.
        let joined = thread.is_none_or(|thread| thread.join().is_ok());
        let lost = if joined { "its end is not known" } else { "the agent's thread panicked" };
        exit.unwrap_or_else(|| Exit::Failed(AgentError::Engine(lost.into())))
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentHandle").field("name", &self.name).field("ended", &self.has_ended()).finish()
    }
}

/// The end of an agent.
#[must_use = "a future does nothing until it is awaited"]
#[derive(Debug)]
pub struct Join {
    handle: AgentHandle,
}

impl Join {
    /// Waits for it.
    ///
    /// In a deterministic cluster, an agent that cannot go on is terminated, as somebody waits for its end.
    pub fn wait(self) -> Exit {
        if let Some(turns) = self.handle.inbox.turns() {
            let is_over = || self.handle.exit.is_over();
            if let Err(error) = turns.drive(is_over) {
                self.handle.control.stop(&error.to_string());
                // What else cannot go on is not asked for here.
                let _ = turns.drive(is_over);
            }
        }
        let exit = self.handle.exit.wait();
        self.handle.ended(exit)
    }

    /// Waits for it, but no longer than this.
    ///
    /// # Errors
    /// Gives the handle back if the agent still runs.
    pub fn wait_timeout(self, limit: Duration) -> Result<Exit, Box<AgentHandle>> {
        if let Some(turns) = self.handle.inbox.turns() {
            // Whoever wants to know why it still runs asks `Cluster::run`.
            let _ = turns.run(None);
        }
        match self.handle.exit.wait_timeout(limit) {
            Ok(exit) => Ok(self.handle.ended(exit)),
            Err(()) => Err(Box::new(self.handle)),
        }
    }
}

impl Future for Join {
    type Output = Exit;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exit> {
        self.handle.exit.poll(cx).map(|exit| self.handle.ended(exit))
    }
}

/// The answer to a call: a future, or [`Call::wait`].
#[must_use = "a call may fail"]
pub struct Call<R> {
    state: CallState,
    /// Agents that run only while somebody waits.
    turns: Option<Arc<Turns>>,
    result: PhantomData<fn() -> R>,
}

enum CallState {
    Asked(Reply<Result<Value, CallError>>),
    Failed(CallError),
}

impl<R> Call<R> {
    fn failed(error: CallError) -> Call<R> {
        Call { state: CallState::Failed(error), turns: None, result: PhantomData }
    }
}

impl<R: DeserializeOwned> Call<R> {
    /// Waits for it.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn wait(self) -> Result<R, CallError> {
        match self.state {
            CallState::Asked(reply) => {
                if let Some(turns) = &self.turns {
                    turns.drive(|| reply.is_over()).map_err(CallError::Run)?;
                }
                result(reply.wait())
            }
            CallState::Failed(error) => Err(error),
        }
    }

    /// Waits for it, but no longer than this; the call goes on.
    ///
    /// # Errors
    /// Gives the call back if there is no answer yet.
    pub fn wait_timeout(self, limit: Duration) -> Result<Result<R, CallError>, Call<R>> {
        match &self.state {
            CallState::Asked(reply) => {
                if let Some(Err(error)) = self.turns.as_ref().map(|turns| turns.run(None))
                    && !reply.is_over()
                {
                    return Ok(Err(CallError::Run(error)));
                }
                reply.wait_timeout(limit).map(result).map_err(|()| self)
            }
            CallState::Failed(error) => Ok(Err(error.clone())),
        }
    }
}

fn result<R: DeserializeOwned>(answer: Option<Result<Value, CallError>>) -> Result<R, CallError> {
    Ok(answer.unwrap_or(Err(CallError::Ended))?.to()?)
}

impl<R: DeserializeOwned> Future for Call<R> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.state {
            CallState::Asked(reply) => reply.poll(cx).map(result),
            CallState::Failed(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
