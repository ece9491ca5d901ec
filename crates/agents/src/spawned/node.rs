//! Node's modules and manners in spawned agents.
//!
//! `node:worker_threads` and its like are scripts of ours, one file a module in `node/`, run when they are first imported.
//! With [`NodeOptions`] an agent also has Node's globals (`process`, timers as objects, `console` as Node prints) and Node's
//! rules of ending: an error that nothing handles ends it with code 1, `process.exit` with any code.
//!
//! # Rules
//! - The table [`MODULES`] is all there is: an import of another `node:` module fails and lists it.
//! - An imported module is an ES module of a few lines that exports, by name and by default, what its script returned.
//! - Scripts reach the system by [`host`] alone, which checks what is allowed. Nothing is unless [`NodeOptions`] says so.
//! - A worker's options are those of its parent; it can be given less, never more.

mod host;
mod natives;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mozjs::context::JSContext;
use mozjs::gc::RootedGuard;
use mozjs::jsapi::{Heap, JSTracer};
use mozjs::jsval::{JSVal, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::Trace;

use super::convert::text_to_js;
use super::realm::{Realm, Tool};
use super::scripts::Script;
use super::{AgentOptions, Exit};
use crate::AgentError;
use crate::agent::string;
use crate::source::{Kind, Source};

pub(super) use self::natives::define;

/// What of a kind scripts may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allowed<T> {
    /// None of it.
    #[default]
    Nothing,
    /// What the list names.
    These(Vec<T>),
    /// All of it.
    Everything,
}

/// Which stream a script writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// `process.stdout`
    Stdout,
    /// `process.stderr`
    Stderr,
}

/// Takes what scripts write to `process.stdout` and `process.stderr`, on the agent's thread.
pub type OutputHook = Arc<dyn Fn(Stream, &str) + Send + Sync>;

#[doc = include_str!("../../docs/node.md")]
#[derive(Clone, Default)]
pub struct NodeOptions {
    /// `process.argv` after the program and the script.
    pub arguments: Vec<String>,
    /// Variables of the environment in `process.env`. What scripts change there the process does not see.
    pub env: Allowed<String>,
    /// What `node:fs` reads: files, and directories with all in them.
    pub read: Allowed<PathBuf>,
    /// How a user allows reading: the option that errors name. `NodeOptions::read` if empty.
    pub read_option: String,
    /// Takes what is written to `process.stdout` and `process.stderr`; the process's own unless told.
    pub output: Option<OutputHook>,
}

impl std::fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeOptions")
            .field("arguments", &self.arguments)
            .field("env", &self.env)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

/// The built-in modules, by name without `node:`.
pub(crate) const MODULES: [(&str, &CStr, &str); 16] = [
    ("assert", c"peristyle:node/assert", include_str!("node/assert.js")),
    ("buffer", c"peristyle:node/buffer", include_str!("node/buffer.js")),
    ("events", c"peristyle:node/events", include_str!("node/events.js")),
    ("fs", c"peristyle:node/fs", include_str!("node/fs.js")),
    ("fs/promises", c"peristyle:node/fs/promises", include_str!("node/fs_promises.js")),
    ("module", c"peristyle:node/module", include_str!("node/module.js")),
    ("os", c"peristyle:node/os", include_str!("node/os.js")),
    ("path", c"peristyle:node/path", include_str!("node/path.js")),
    ("perf_hooks", c"peristyle:node/perf_hooks", include_str!("node/perf_hooks.js")),
    ("process", c"peristyle:node/process", include_str!("node/process.js")),
    ("timers", c"peristyle:node/timers", include_str!("node/timers.js")),
    ("timers/promises", c"peristyle:node/timers/promises", include_str!("node/timers_promises.js")),
    ("url", c"peristyle:node/url", include_str!("node/url.js")),
    ("util", c"peristyle:node/util", include_str!("node/util.js")),
    ("v8", c"peristyle:node/v8", include_str!("node/v8.js")),
    ("worker_threads", c"peristyle:node/worker_threads", include_str!("node/worker_threads.js")),
];

/// What the modules share; also makes an agent one of Node's manner.
pub(crate) const BOOT: (&CStr, &str) = (c"peristyle:node/boot", include_str!("node/boot.js"));

/// Whether a specifier names a built-in module, there or not: its name.
///
/// Without `node:` only modules that are there are built in.
pub(crate) fn builtin(specifier: &str) -> Option<&str> {
    match specifier.strip_prefix("node:") {
        Some(name) => Some(name),
        None => MODULES.iter().any(|(name, ..)| *name == specifier).then_some(specifier),
    }
}

/// Why there is no such module.
pub(crate) fn unknown(name: &str) -> String {
    let names: Vec<_> = MODULES.iter().map(|(name, ..)| format!("node:{name}")).collect();
    format!("there is no built-in module \"node:{name}\"; there are {}", names.join(", "))
}

/// The environment that an agent sees.
pub(crate) type Env = Arc<Mutex<BTreeMap<String, String>>>;

/// How an agent came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Origin {
    /// Spawned from Rust.
    #[default]
    Rust,
    /// By the web's `Worker`.
    WebWorker,
    /// By the `Worker` of `node:worker_threads`: its first message says what it starts with.
    NodeWorker,
}

/// Where an agent stands among those of its program.
#[derive(Clone, Default)]
pub(crate) struct Seat {
    pub(crate) origin: Origin,
    /// `threadId`; 0 for an agent that Rust spawned.
    pub(crate) thread: u64,
    pub(crate) env: Env,
}

impl Seat {
    /// The seat of an agent that Rust spawns.
    pub(crate) fn of(options: &AgentOptions) -> Seat {
        let allowed = options.node.as_ref().map_or(&Allowed::Nothing, |node| &node.env);
        // What is not Unicode has no JavaScript string.
        let all = || {
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        };
        let env = match allowed {
            Allowed::Nothing => BTreeMap::new(),
            Allowed::These(names) => all().filter(|(name, _)| names.contains(name)).collect(),
            Allowed::Everything => all().collect(),
        };
        Seat { env: Arc::new(Mutex::new(env)), ..Seat::default() }
    }
}

/// A function of `boot.js` that Rust calls; its place in the list that it hands over.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
enum NodeTool {
    /// The text of a built-in module, by name.
    Text,
    /// What a built-in module exports, by name.
    Exports,
    /// Loads a CommonJS module, by path, and gives what it exports.
    Common,
    /// Runs what `process.nextTick` was given.
    Ticks,
    /// Nothing is left to do.
    Idle,
    Count,
}

/// What a realm keeps for Node's modules.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) seat: Seat,
    tools: [Heap<JSVal>; NodeTool::Count as usize],
    ready: Cell<bool>,
    /// Whether `process.nextTick` has work.
    ticks: Cell<bool>,
    /// The code with which the script ended its agent.
    pub(crate) exit: Cell<Option<i32>>,
}

impl State {
    pub(crate) fn new(seat: Seat) -> State {
        State { seat, ..State::default() }
    }
}

// SAFETY: every `Heap` in the struct is traced.
unsafe impl Trace for State {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        for tool in &self.tools {
            // SAFETY: the engine's tracer, handed on.
            unsafe { tool.trace(tracer) };
        }
    }
}

/// Runs `boot.js`, once.
pub(crate) fn boot(cx: &mut JSContext, realm: &Realm) -> Result<(), AgentError> {
    if realm.node.ready.replace(true) {
        return Ok(());
    }
    // SAFETY: handed to roots that are dropped here.
    rooted!(in(unsafe { cx.raw_cx() }) let mut part = UndefinedValue());
    // SAFETY: as above.
    rooted!(in(unsafe { cx.raw_cx() }) let mut nothing = UndefinedValue());
    let boot = Script::of_node(MODULES.len());
    // SAFETY: the context is this thread's, in the realm, which is entered.
    let made = unsafe { realm.shared.parent.scripts.run(cx, boot, &mut part) };
    let made = made.and_then(|()| realm.use_tool(cx, Tool::Part, &[part.get()], &mut nothing));
    made.map_err(|failed| {
        realm.node.ready.set(false);
        realm.failed(cx, failed)
    })
}

fn use_tool(
    cx: &mut JSContext,
    realm: &Realm,
    tool: NodeTool,
    arguments: &[JSVal],
    result: &mut RootedGuard<'_, JSVal>,
) -> Result<(), AgentError> {
    // SAFETY: handed to a root that is dropped here.
    rooted!(in(unsafe { cx.raw_cx() }) let function = realm.node.tools[tool as usize].get());
    realm.call(cx, &function, arguments, result).map_err(|failed| realm.failed(cx, failed))
}

/// The ES module that stands for a built-in one; nothing if there is none of that name.
pub(crate) fn module(cx: &mut JSContext, realm: &Realm, name: &str) -> Result<Option<Arc<Source>>, AgentError> {
    if MODULES.iter().all(|(known, ..)| *known != name) {
        return Ok(None);
    }
    boot(cx, realm)?;
    // SAFETY: handed to roots that are dropped here.
    rooted!(in(unsafe { cx.raw_cx() }) let mut text = UndefinedValue());
    tool_of_text(cx, realm, NodeTool::Text, name, &mut text)?;
    let url = format!("node:{name}");
    let c_name = CString::new(url.as_str()).unwrap_or_default();
    let text = string(cx, text.get());
    Ok(Some(Arc::new(Source { path: PathBuf::from(&url), name: c_name, url, text, kind: Kind::Builtin })))
}

/// The ES module that stands for a CommonJS one.
pub(crate) const COMMON: &str = "export default import.meta.load();";

/// What `import.meta` has in a module that stands for another: a property's name and its value.
pub(crate) fn meta(
    cx: &mut JSContext,
    realm: &Realm,
    source: &Source,
    value: &mut RootedGuard<'_, JSVal>,
) -> Result<Option<&'static CStr>, AgentError> {
    match source.kind {
        Kind::Builtin => {
            let name = source.url.strip_prefix("node:").unwrap_or_default();
            tool_of_text(cx, realm, NodeTool::Exports, name, value)?;
            Ok(Some(c"exports"))
        }
        Kind::Common => {
            boot(cx, realm)?;
            tool_of_text(cx, realm, NodeTool::Common, &source.path.to_string_lossy(), value)?;
            Ok(Some(c"load"))
        }
        Kind::Script | Kind::Json => Ok(None),
    }
}

fn tool_of_text(
    cx: &mut JSContext,
    realm: &Realm,
    tool: NodeTool,
    text: &str,
    result: &mut RootedGuard<'_, JSVal>,
) -> Result<(), AgentError> {
    // SAFETY: the context is this thread's, in the realm; the value is rooted.
    unsafe {
        rooted!(in(cx.raw_cx()) let mut argument = UndefinedValue());
        let made = text_to_js(cx.raw_cx(), text, &mut argument);
        made.map_err(|failed| realm.failed(cx, failed))?;
        use_tool(cx, realm, tool, &[argument.get()], result)
    }
}

/// The main module's code ran up to its first `await`: ticks come before microtasks then, if it is CommonJS. `false` if the
/// agent was stopped.
pub(crate) fn begun(cx: &mut JSContext, realm: &Realm) -> bool {
    realm.library.main.kind != Kind::Common || run_ticks(cx, realm)
}

/// Runs what `process.nextTick` was given; `false` if the agent was stopped.
pub(crate) fn run_ticks(cx: &mut JSContext, realm: &Realm) -> bool {
    !realm.node.ticks.replace(false) || run(cx, realm, NodeTool::Ticks)
}

/// Whether `process.nextTick` has work.
pub(crate) fn has_ticks(realm: &Realm) -> bool {
    realm.node.ticks.get()
}

/// Nothing is left to do: tells the script, whose code may be another than 0.
pub(crate) fn idle(cx: &mut JSContext, realm: &Realm) -> Exit {
    if realm.node.ready.get() && !run(cx, realm, NodeTool::Idle) {
        return realm.ended();
    }
    Exit::Finished
}

fn run(cx: &mut JSContext, realm: &Realm, tool: NodeTool) -> bool {
    // SAFETY: handed to a root that is dropped here.
    rooted!(in(unsafe { cx.raw_cx() }) let mut nothing = UndefinedValue());
    match use_tool(cx, realm, tool, &[], &mut nothing) {
        Ok(()) => true,
        Err(AgentError::Threw { name, message, stack }) => {
            realm.uncaught(super::Thrown { name, message, stack });
            !realm.is_stopped()
        }
        Err(_) => false,
    }
}

/// The code of an end, as Node counts.
pub(crate) fn exit_code(exit: &Exit) -> i32 {
    match exit {
        Exit::Finished | Exit::Closed => 0,
        Exit::Exited(code) => *code,
        Exit::Failed(AgentError::Unsettled { .. }) => 13,
        Exit::Terminated(_) | Exit::OutOfMemory { .. } | Exit::Failed(_) => 1,
    }
}

fn lock(env: &Env) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
    env.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a canonical path is allowed by a list.
fn is_within(allowed: &[PathBuf], path: &Path) -> bool {
    // What cannot be found names nothing.
    allowed.iter().filter_map(|root| std::fs::canonicalize(root).ok()).any(|root| path.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_modules_are_named_with_and_without_their_scheme() {
        assert_eq!(builtin("node:fs/promises"), Some("fs/promises"));
        assert_eq!(builtin("worker_threads"), Some("worker_threads"));
        assert_eq!(builtin("node:http"), Some("http"));
        assert_eq!(builtin("http"), None);
        let why = unknown("http");
        let lists = why.contains("node:worker_threads, ") || why.ends_with("node:worker_threads");
        assert!(why.contains("\"node:http\"") && lists, "{why}");
    }

    #[test]
    fn codes_are_those_of_node() {
        assert_eq!(exit_code(&Exit::Finished), 0);
        assert_eq!(exit_code(&Exit::Exited(7)), 7);
        assert_eq!(exit_code(&Exit::Terminated("x".into())), 1);
        assert_eq!(exit_code(&Exit::Failed(AgentError::Unsettled { path: "x".into() })), 13);
    }
}
