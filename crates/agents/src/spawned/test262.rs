//! Single tests of test262, the conformance suite of ECMAScript, each in an agent of its own.
//!
//! [`Cluster::run_test`] spawns an agent whose global object is bare but for `$262`, `print` and `setTimeout`
//! (`test262.js`), evaluates the harness and the test in it, and tells how that ended. Everything else is the same as for
//! any other spawned agent: thread, event loop, modules, teardown; so what fails here by the host's fault fails there, too.
//! `$262.agent.start` spawns further agents of the same kind, which are workers of the first.
//!
//! # Rules
//! - Whatever a test does, its agents are gone when `run_test` returns: it stops them, and what of ours blocks (`broadcast`,
//!   `receiveBroadcast`, `sleep`, `start`) looks at the stop every few milliseconds.
//! - The first word about how a test ended counts, but for a test that says that it is done and then throws.
//!
//! # Not here
//! Files, front matter, what is expected: `peristyle-test262`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::{HandleValue, RootedGuard};
use mozjs::jsapi as ja;
use mozjs::jsapi::{CallArgs, JSClass, JSClassOps, JSObject, PromiseState, Value as RawValue};
use mozjs::jsval::{BooleanValue, DoubleValue, JSVal, NullValue, ObjectValue, UndefinedValue};
use mozjs::rust::{CompileOptionsWrapper, RealmOptions, SIMPLE_GLOBAL_CLASS, transform_str_to_source_text};
use mozjs::{glue, rooted};

use super::control::Control;
use super::convert::{Converted, Pending, done, text_to_js};
use super::event_loop::{self, Life, Program, WorkerEvent, launch};
use super::host_modules::HostModules;
use super::inbox::{Inbox, Task};
use super::loader::{self, Library};
use super::message::Packet;
use super::natives::{self, Native, native};
use super::node::Seat;
use super::port::End;
use super::realm::{Phase, Realm, Tool};
use super::reply::reply;
use super::{AgentHooks, AgentOptions, Code, Exit, Thrown, clone, synthetic};
use crate::agent::throw;
use crate::cluster::Shared;
use crate::{AgentError, Cluster};

const SCRIPT: &str = include_str!("test262.js");
const SCRIPT_NAME: &CStr = c"peristyle:test262";
/// The specifier that the suite wants to name a module with a source.
pub(super) const MODULE_SOURCE: &str = "<module source>";
/// Heap of a test's agents, in bytes: tests of limits fill large arrays.
const HEAP_BYTES: u64 = 2 << 30;
/// How often what blocks looks whether its agent was stopped.
const LOOK: Duration = Duration::from_millis(4);
/// Sleeps from this length on wait for agents.
const LONG_SLEEP: Duration = Duration::from_millis(50);
/// What an agent that does not rest, as it spins, must have run in a sleep: far more than it takes to begin to wait.
const SHARE_NS: u64 = 5_000_000;
/// How much longer than it was asked to a sleep waits for agents.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long agents may take to end once they were told to.
const GRACE: Duration = Duration::from_secs(10);
/// What asynchronous tests print.
const DONE: &str = "Test262:AsyncTestComplete";
const FAILED: &str = "Test262:AsyncTestFailure:";

/// A script or module of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What stacks show.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a test is evaluated as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// A script.
    Script,
    /// A module.
    Module,
}

/// One test, in one mode.
#[derive(Debug, Clone)]
pub struct Test {
    /// Scripts that are evaluated first, in this order.
    pub harness: Vec<Script>,
    /// The file: what it imports is relative to it.
    pub path: PathBuf,
    /// What is evaluated. A module may be imported by others under its path, with this text.
    pub text: String,
    /// What it is evaluated as.
    pub goal: Goal,
    /// Whether it says by `print` that it is done.
    pub is_async: bool,
    /// Whether its agent may block. Those that it starts always may.
    pub may_block: bool,
    /// Wall time after which it is stopped.
    pub time_limit: Duration,
}

/// When a test threw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestPhase {
    /// While the harness was evaluated.
    Harness,
    /// While its source was parsed, early errors included.
    Parse,
    /// While what it imports was loaded or linked.
    Resolution,
    /// While it ran.
    Runtime,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TestEnd {
    /// It was evaluated, and said that it is done if it is asynchronous.
    Completed,
    /// It threw, or rejected as a module.
    Threw {
        /// When.
        phase: TestPhase,
        /// The name of the error's constructor, or the type of a value that is no object.
        name: String,
        /// The error's message.
        message: String,
    },
    /// It is asynchronous and printed that it failed.
    Failed(String),
    /// Nothing was left to do, and it had not said that it is done, or its module was still being evaluated.
    Silent,
    /// It took longer than its limit.
    TimedOut,
    /// It took longer than its limit and could not be stopped: its thread is left behind, and its process is to end.
    Stuck,
    /// Its agent outgrew its heap, or could not be made; why.
    Broken(String),
}

impl Cluster {
    /// Runs a test of test262 in an agent of its own and waits for its end, which comes at the latest soon after its limit.
    ///
    /// Modules are read once per cluster; use a cluster per test.
    pub fn run_test(&self, test: Test) -> TestEnd {
        run(&self.0.shared, test).unwrap_or_else(|error| TestEnd::Broken(error.to_string()))
    }
}

/// What all agents of a test share.
struct Course {
    is_async: bool,
    end: Mutex<Option<TestEnd>>,
    reports: Mutex<VecDeque<String>>,
    /// Agents that the test started.
    started: Mutex<Vec<Arc<Mailbox>>>,
    /// What agents that it started threw: shown if the test fails.
    complaints: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an agent gets what is broadcast.
#[derive(Default)]
struct Mailbox {
    state: Mutex<Mail>,
    changed: Condvar,
}

#[derive(Default)]
struct Mail {
    packets: VecDeque<Packet>,
    /// The agent's script is about to run.
    running: bool,
    /// What the system calls its thread.
    thread: Option<i32>,
    /// The agent has ended: nothing is delivered any more.
    closed: bool,
}

impl Mailbox {
    fn change<R>(&self, change: impl FnOnce(&mut Mail) -> R) -> R {
        let result = change(&mut lock(&self.state));
        self.changed.notify_all();
        result
    }

    /// Waits until `ready` gives something; nothing if the agent that waits is stopped.
    fn wait<R>(&self, realm: &Realm, mut ready: impl FnMut(&mut Mail) -> Option<R>) -> Option<R> {
        let mut mail = lock(&self.state);
        loop {
            if let Some(result) = ready(&mut mail) {
                return Some(result);
            }
            if realm.is_stopped() {
                return None;
            }
            mail = self.changed.wait_timeout(mail, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What natives of this thread belong to.
struct Here {
    course: Arc<Course>,
    /// That of an agent which a test started.
    mailbox: Option<Arc<Mailbox>>,
}

thread_local!(static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) });

fn here() -> Option<Rc<Here>> {
    HERE.with_borrow(Option::clone)
}

impl Course {
    /// The test has ended in this way, unless it ended before; its agent's loop may end, too.
    fn finish(&self, realm: &Realm, end: TestEnd) {
        let mut known = lock(&self.end);
        match &*known {
            None => *known = Some(end),
            Some(TestEnd::Completed) if end != TestEnd::Completed => *known = Some(end),
            Some(_) => {}
        }
        realm.phase.set(Phase::Closing);
    }
}

fn run(shared: &Arc<Shared>, test: Test) -> Result<TestEnd, AgentError> {
    let course = Arc::new(Course {
        is_async: test.is_async,
        end: Mutex::default(),
        reports: Mutex::default(),
        started: Mutex::default(),
        complaints: Mutex::default(),
    });
    let code = match test.goal {
        // What a script imports by its own name is the file, as it is.
        Goal::Script => Code::File(test.path.clone()),
        Goal::Module => Code::Source { name: test.path.to_string_lossy().into_owned(), text: test.text.clone() },
    };
    let library = Arc::new(Library::new(shared, code, HostModules::new(None, None))?);
    let inbox = Arc::new(Inbox::new(None));
    let control = Control::new(inbox.clone());
    let (limit, may_block) = (test.time_limit, test.may_block);
    let hooks = {
        let course = course.clone();
        AgentHooks::new(move |thrown: &Thrown| {
            // SAFETY: called on the agent's thread, in the middle of a task; without a realm there is none to finish.
            if let Some(realm) = unsafe { Realm::here() } {
                course.finish(realm, threw(TestPhase::Runtime, thrown));
            }
        })
    };
    let program: Program = {
        let course = course.clone();
        // SAFETY: programs are called on the agent's thread, in its realm, with its context.
        Box::new(move |cx, realm| unsafe { begin(cx, realm, course, None, |cx, realm| evaluate(cx, realm, &test)) })
    };
    let options = AgentOptions { heap_bytes: HEAP_BYTES, may_block, ..AgentOptions::default() };
    let (_, port) = End::pair(options.ports);
    let life = Life {
        shared: shared.clone(),
        library,
        options,
        hooks: Arc::new(hooks),
        inbox,
        control: control.clone(),
        port,
        seat: Seat::default(),
        program: Some(program),
    };
    let (answer, exit) = reply();
    let thread = launch(life, |exit| answer.send(exit))?;
    let exit = match exit.wait_timeout(limit) {
        Ok(exit) => exit,
        Err(()) => {
            control.stop("its time is over");
            match exit.wait_timeout(GRACE) {
                // What it said before it was stopped counts.
                Ok(_) if lock(&course.end).is_some() => Some(Exit::Closed),
                Ok(_) => return Ok(TestEnd::TimedOut),
                Err(()) => return Ok(TestEnd::Stuck),
            }
        }
    };
    let _ = thread.join();
    let end = match (lock(&course.end).take(), exit) {
        (Some(end), _) => end,
        (None, Some(Exit::Finished | Exit::Closed)) => TestEnd::Silent,
        (None, Some(Exit::Terminated(why))) => TestEnd::Broken(why),
        (None, Some(Exit::Failed(error))) => TestEnd::Broken(error.to_string()),
        (None, None) => TestEnd::Broken("its thread panicked".into()),
        (None, Some(Exit::OutOfMemory { heap_bytes })) => {
            TestEnd::Broken(format!("it outgrew its limit of {heap_bytes} bytes"))
        }
        (None, Some(Exit::Exited(code))) => TestEnd::Broken(format!("it ended with code {code}")),
    };
    let complaints = lock(&course.complaints).join("; ");
    Ok(match end {
        TestEnd::Threw { phase, name, message } if !complaints.is_empty() => {
            TestEnd::Threw { phase, name, message: format!("{message} (in agents: {complaints})") }
        }
        TestEnd::Failed(message) if !complaints.is_empty() => {
            TestEnd::Failed(format!("{message} (in agents: {complaints})"))
        }
        other => other,
    })
}

fn threw(phase: TestPhase, thrown: &Thrown) -> TestEnd {
    TestEnd::Threw { phase, name: thrown.name.clone(), message: thrown.message.clone() }
}

/// Makes the realm that of a test, or of an agent that a test started, and runs `body` in it.
///
/// # Safety
/// `cx` is this thread's context, in the realm.
unsafe fn begin(
    cx: &mut JSContext,
    realm: &Realm,
    course: Arc<Course>,
    mailbox: Option<Arc<Mailbox>>,
    body: impl FnOnce(&mut JSContext, &Realm) -> Converted<()>,
) -> Result<(), AgentError> {
    let failed = |cx: &mut JSContext, failed: Pending| match realm.failure(cx, failed) {
        Some(thrown) => AgentError::from(thrown),
        None => AgentError::Terminated(realm.why()),
    };
    let is_started = mailbox.is_some();
    HERE.set(Some(Rc::new(Here { course, mailbox })));
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut tools = UndefinedValue());
        if let Err(pending) = make_host(cx, realm, is_started, &mut tools) {
            return Err(failed(cx, pending));
        }
        if let Err(pending) = set_tools(raw, realm, &tools) {
            return Err(failed(cx, pending));
        }
    }
    event_loop::is_running(realm);
    body(cx, realm).map_err(|pending| failed(cx, pending))
}

/// Evaluates our script in the context's realm; `tools` is what it gives.
///
/// # Safety
/// As for [`begin`].
unsafe fn make_host(
    cx: &mut JSContext,
    realm: &Realm,
    is_started: bool,
    tools: &mut RootedGuard<'_, JSVal>,
) -> Converted<()> {
    const NATIVES: [(&CStr, Native, u32); 16] = [
        (c"print", print, 1),
        (c"createRealm", create_realm, 0),
        (c"detach", detach, 1),
        (c"evalScript", eval_script, 1),
        (c"gc", collect, 0),
        (c"htmlDda", html_dda, 0),
        (c"abstractModuleSource", abstract_module_source, 0),
        (c"start", start, 1),
        (c"broadcast", broadcast, 1),
        (c"getReport", get_report, 0),
        (c"receive", receive, 0),
        (c"report", report, 1),
        (c"leaving", leaving, 0),
        (c"sleep", sleep, 1),
        (c"now", now, 0),
        (c"setTimer", natives::set_timer, 2),
    ];
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut table = ptr::null_mut::<JSObject>());
        natives::define(raw, &NATIVES, &mut table)?;
        rooted!(in(raw) let mut make = UndefinedValue());
        execute(cx, SCRIPT, SCRIPT_NAME, &mut make).map_err(|(_, pending)| pending)?;
        realm.call(cx, &make, &[ObjectValue(table.get()), BooleanValue(is_started)], tools)
    }
}

/// Gives the realm its tools; those that a test has no use for do nothing.
///
/// # Safety
/// As for [`begin`].
unsafe fn set_tools(raw: *mut RawJSContext, realm: &Realm, tools: &RootedGuard<'_, JSVal>) -> Converted<()> {
    unsafe extern "C" fn nothing(_: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
        // SAFETY: the engine calls natives with their arguments.
        unsafe { CallArgs::from_vp(vp, argc).rval().set(UndefinedValue()) };
        true
    }
    // SAFETY: as the caller answers; values are rooted, and tools are traced once they are set.
    unsafe {
        let function = ja::JS_NewFunction(raw, Some(nothing), 0, 0, ptr::null());
        done(!function.is_null())?;
        rooted!(in(raw) let unused = ObjectValue(ja::JS_GetFunctionObject(function)));
        rooted!(in(raw) let tools = if tools.is_object() { tools.to_object() } else { return Err(Pending) });
        rooted!(in(raw) let mut describe = UndefinedValue());
        rooted!(in(raw) let mut timer = UndefinedValue());
        let (names, tools) = ((c"describe".as_ptr(), c"timer".as_ptr()), tools.handle().into());
        done(ja::JS_GetProperty(raw, tools, names.0, describe.handle_mut().into()))?;
        done(ja::JS_GetProperty(raw, tools, names.1, timer.handle_mut().into()))?;
        realm.set_tools(&[(Tool::Describe, describe.get()), (Tool::Timer, timer.get())], unused.get());
    }
    Ok(())
}

/// Compiles and runs a script in the context's realm; the error says which of both failed.
///
/// # Safety
/// As for [`begin`].
unsafe fn execute(
    cx: &mut JSContext,
    text: &str,
    name: &CStr,
    value: &mut RootedGuard<'_, JSVal>,
) -> Result<(), (TestPhase, Pending)> {
    let options = CompileOptionsWrapper::new(cx, name.to_owned(), 1);
    // SAFETY: as the caller answers; options and text live until the call returns, which copies the text.
    unsafe {
        let raw = cx.raw_cx();
        let mut text = transform_str_to_source_text(text);
        rooted!(in(raw) let script = ja::Compile1(raw, options.ptr, &mut text));
        done(!script.is_null()).map_err(|pending| (TestPhase::Parse, pending))?;
        let run = ja::JS_ExecuteScript(raw, script.handle().into(), value.handle_mut().into());
        done(run).map_err(|pending| (TestPhase::Runtime, pending))
    }
}

/// Evaluates the harness and the test.
///
/// # Safety
/// As for [`begin`].
unsafe fn evaluate(cx: &mut JSContext, realm: &Realm, test: &Test) -> Converted<()> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        rooted!(in(cx.raw_cx()) let mut value = UndefinedValue());
        for Script { name, text } in &test.harness {
            if let Err((_, failed)) = execute(cx, text, &file_name(name), &mut value) {
                return threw_pending(cx, realm, TestPhase::Harness, failed);
            }
        }
        match test.goal {
            Goal::Script => {
                let name = file_name(&test.path.to_string_lossy());
                if let Err((phase, failed)) = execute(cx, &test.text, &name, &mut value) {
                    return threw_pending(cx, realm, phase, failed);
                }
                if !test.is_async {
                    finish(realm, TestEnd::Completed);
                }
                Ok(())
            }
            Goal::Module => evaluate_module(cx, realm),
        }
    }
}

fn file_name(name: &str) -> CString {
    CString::new(name.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// Loads, links and evaluates the main module.
///
/// # Safety
/// As for [`begin`].
unsafe fn evaluate_module(cx: &mut JSContext, realm: &Realm) -> Converted<()> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        let main = realm.library.main.clone();
        rooted!(in(raw) let mut module = ptr::null_mut::<JSObject>());
        match loader::find_or_compile(cx, realm, &main) {
            Ok(found) => module.set(found),
            Err(_) => return threw_pending(cx, realm, TestPhase::Parse, Pending),
        }
        rooted!(in(raw) let mut promise = ptr::null_mut::<JSObject>());
        rooted!(in(raw) let mut value = UndefinedValue());
        let undefined = ja::UndefinedHandleValue;
        if !ja::LoadRequestedModules1(raw, module.handle().into(), undefined, promise.handle_mut().into()) {
            return threw_pending(cx, realm, TestPhase::Resolution, Pending);
        }
        // The loader answers at once.
        if ja::GetPromiseState(promise.handle().into()) != PromiseState::Fulfilled {
            glue::JS_GetPromiseResult(promise.handle().into(), value.handle_mut().into());
            threw_value(cx, realm, TestPhase::Resolution, value.handle());
            return Ok(());
        }
        if !ja::ModuleLink(raw, module.handle().into()) {
            return threw_pending(cx, realm, TestPhase::Resolution, Pending);
        }
        if !ja::ModuleEvaluate(raw, module.handle().into(), value.handle_mut().into()) || !value.is_object() {
            return threw_pending(cx, realm, TestPhase::Runtime, Pending);
        }
        promise.set(value.to_object());
        let function = |native| {
            let function = ja::JS_NewFunction(raw, Some(native), 1, 0, ptr::null());
            if function.is_null() { ptr::null_mut() } else { ja::JS_GetFunctionObject(function) }
        };
        rooted!(in(raw) let evaluated = function(evaluated as unsafe extern "C" fn(_, _, _) -> _));
        rooted!(in(raw) let rejected = function(rejected));
        done(!evaluated.is_null() && !rejected.is_null())?;
        let (promise, evaluated, rejected) = (promise.handle(), evaluated.handle(), rejected.handle());
        done(ja::AddPromiseReactions(raw, promise.into(), evaluated.into(), rejected.into()))
    }
}

/// The main module was evaluated.
unsafe extern "C" fn evaluated(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if here().is_some_and(|here| !here.course.is_async) {
            finish(call.realm, TestEnd::Completed);
        }
        Ok(())
    })
}

/// The main module threw.
unsafe extern "C" fn rejected(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let reason = call.get(0));
        threw_value(cx, call.realm, TestPhase::Runtime, reason.handle());
        Ok(())
    })
}

/// The test ended with the pending exception; an error if the agent was stopped instead.
fn threw_pending(cx: &mut JSContext, realm: &Realm, phase: TestPhase, failed: Pending) -> Converted<()> {
    // SAFETY: the context is this thread's, in the realm; the value is rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut value = UndefinedValue());
        if !ja::JS_IsExceptionPending(raw) || !ja::JS_GetPendingException(raw, value.handle_mut().into()) {
            return Err(failed);
        }
        ja::JS_ClearPendingException(raw);
        threw_value(cx, realm, phase, value.handle());
    }
    Ok(())
}

fn threw_value(cx: &mut JSContext, realm: &Realm, phase: TestPhase, value: HandleValue<'_>) {
    let thrown = realm.describe(cx, value);
    finish(realm, threw(phase, &thrown));
}

fn finish(realm: &Realm, end: TestEnd) {
    if let Some(here) = here() {
        here.course.finish(realm, end);
    }
}

/// `print(text)`: how asynchronous tests say that they are done.
unsafe extern "C" fn print(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let text = call.text(cx, 0);
        let of_test = here().is_some_and(|here| here.course.is_async && here.mailbox.is_none());
        if of_test && text == DONE {
            finish(call.realm, TestEnd::Completed);
        } else if let Some(why) = text.strip_prefix(FAILED).filter(|_| of_test) {
            finish(call.realm, TestEnd::Failed(why.trim().to_owned()));
        }
        Ok(())
    })
}

/// `createRealm()`: the `$262` of a new realm, which lies in the same compartment: no wrappers stand between them.
unsafe extern "C" fn create_realm(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let is_started = here().is_some_and(|here| here.mailbox.is_some());
        // SAFETY: the context is in one of the agent's realms; values are rooted.
        unsafe {
            let mut options = RealmOptions::default();
            options.creationOptions_.compSpec_ = ja::CompartmentSpecifier::ExistingCompartment;
            options.creationOptions_.__bindgen_anon_1.comp_ = compartment(raw);
            options.creationOptions_.sharedMemoryAndAtomics_ = true;
            options.creationOptions_.defineSharedArrayBufferConstructor_ = true;
            let hook = ja::OnNewGlobalHookOption::FireOnNewGlobalHook;
            let global = ja::JS_NewGlobalObject(raw, &SIMPLE_GLOBAL_CLASS, ptr::null_mut(), hook, &*options);
            rooted!(in(raw) let global = global);
            done(!global.is_null())?;
            rooted!(in(raw) let mut host = UndefinedValue());
            {
                let _realm = ja::JSAutoRealm::new(raw, global.get());
                make_host(cx, call.realm, is_started, &mut host)?;
                let name = c"$262".as_ptr();
                done(ja::JS_GetProperty(raw, global.handle().into(), name, host.handle_mut().into()))?;
            }
            call.give(host.get());
        }
        Ok(())
    })
}

/// The one compartment of this thread's scripts.
///
/// # Safety
/// `raw` is this thread's context, in a realm of the agent.
unsafe fn compartment(raw: *mut RawJSContext) -> *mut ja::Compartment {
    unsafe extern "C" fn look(
        _: *mut RawJSContext,
        found: *mut std::ffi::c_void,
        compartment: *mut ja::Compartment,
    ) -> ja::CompartmentIterResult {
        // SAFETY: the engine calls back with what it was given, and with a compartment.
        unsafe {
            if ja::js::IsSystemCompartment(compartment) {
                return ja::CompartmentIterResult::KeepGoing;
            }
            found.cast::<*mut ja::Compartment>().write(compartment);
        }
        ja::CompartmentIterResult::Stop
    }
    let mut found: *mut ja::Compartment = ptr::null_mut();
    // SAFETY: as the caller answers; the callback is called before this returns.
    unsafe { ja::JS_IterateCompartments(raw, (&raw mut found).cast(), Some(look)) };
    found
}

/// `detach(buffer)`
unsafe extern "C" fn detach(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let buffer = call.object(0).unwrap_or(ptr::null_mut()));
        // SAFETY: the context is in one of the agent's realms; the object is rooted.
        unsafe {
            if buffer.is_null() || !ja::IsArrayBufferObject(buffer.get()) {
                throw(cx, "only an ArrayBuffer can be detached");
                return Err(Pending);
            }
            done(ja::DetachArrayBuffer(raw, buffer.handle().into()))
        }
    })
}

/// `evalScript(text)`: in the realm of the function.
unsafe extern "C" fn eval_script(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let text = call.text(cx, 0);
        rooted!(in(raw) let mut value = UndefinedValue());
        // SAFETY: the context is in one of the agent's realms.
        unsafe { execute(cx, &text, c"evalScript", &mut value) }.map_err(|(_, failed)| failed)?;
        call.give(value.get());
        Ok(())
    })
}

/// `gc()`
unsafe extern "C" fn collect(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, _| {
        // SAFETY: the context is alive; nothing here holds anything of the engine that is not rooted.
        unsafe { ja::JS_GC(raw, ja::GCReason::API) };
        Ok(())
    })
}

static DDA_OPERATIONS: JSClassOps = JSClassOps {
    addProperty: None,
    delProperty: None,
    enumerate: None,
    newEnumerate: None,
    resolve: None,
    mayResolve: None,
    finalize: None,
    call: Some(call_dda),
    construct: None,
    trace: None,
};

static DDA_CLASS: JSClass = JSClass {
    name: c"IsHTMLDDA".as_ptr(),
    flags: ja::JSCLASS_EMULATES_UNDEFINED,
    cOps: &DDA_OPERATIONS,
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};

unsafe extern "C" fn call_dda(_: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    // SAFETY: the engine calls natives with their arguments.
    unsafe { CallArgs::from_vp(vp, argc).rval().set(NullValue()) };
    true
}

/// `htmlDda()`: an object with an [[IsHTMLDDA]] slot, as `document.all` has.
unsafe extern "C" fn html_dda(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        // SAFETY: the context is in one of the agent's realms; the class is static.
        unsafe {
            let object = ja::JS_NewObject(raw, &DDA_CLASS);
            done(!object.is_null())?;
            call.give(ObjectValue(object));
        }
        Ok(())
    })
}

/// `abstractModuleSource()`: the intrinsic constructor of that name.
unsafe extern "C" fn abstract_module_source(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        // SAFETY: the context is in one of the agent's realms; the object is rooted.
        unsafe {
            rooted!(in(raw) let mut constructor = ptr::null_mut::<JSObject>());
            let key = ja::JSProtoKey::JSProto_AbstractModuleSource;
            done(ja::JS_GetClassObject(raw, key, constructor.handle_mut().into()))?;
            call.give(ObjectValue(constructor.get()));
        }
        Ok(())
    })
}

/// A module with a source: an empty WebAssembly module. Nothing in agents that run no test.
pub(super) fn module_source(cx: &mut JSContext, realm: &Realm) -> Option<Result<*mut JSObject, AgentError>> {
    /// The magic word and the version: a module without sections.
    static EMPTY: [u8; 8] = *b"\0asm\x01\0\0\0";
    /// `mozilla::Vector<uint8_t>`: begin, length, capacity; where the engine checks itself, what is reserved, and whether it
    /// is in use.
    #[repr(C)]
    struct Bytes(*const u8, usize, usize, usize, usize);
    here()?;
    let path = PathBuf::from(MODULE_SOURCE);
    if let Some(known) = loader::module_named(cx, realm, &path) {
        return Some(Ok(known));
    }
    let options = CompileOptionsWrapper::new(cx, c"<module source>".to_owned(), 1);
    let mut bytes = Bytes(EMPTY.as_ptr(), EMPTY.len(), EMPTY.len(), EMPTY.len(), 0);
    // SAFETY: the context is in one of the agent's realms; the engine reads the bytes before it returns, and neither
    // grows nor frees the vector, whose layout is that above.
    let module = unsafe { ja::CompileWasmModuleAsSource(cx.raw_cx(), options.ptr, (&raw mut bytes).cast()) };
    Some(synthetic::keep(realm, path, module))
}

/// `start(script)`: starts an agent, and waits until its script is about to run.
unsafe extern "C" fn start(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(here) = here() else { return Err(Pending) };
        let (realm, text) = (call.realm, call.text(cx, 0));
        let mailbox = Arc::new(Mailbox::default());
        if let Err(error) = launch_started(realm, &here.course, mailbox.clone(), text) {
            throw(cx, &error.to_string());
            return Err(Pending);
        }
        lock(&here.course.started).push(mailbox.clone());
        mailbox.wait(realm, |mail| (mail.running || mail.closed).then_some(())).ok_or(Pending)
    })
}

fn launch_started(realm: &Realm, course: &Arc<Course>, mailbox: Arc<Mailbox>, text: String) -> Result<(), AgentError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let inbox = Arc::new(Inbox::new(None));
    let control = Control::new(inbox.clone());
    let complain = {
        let course = course.clone();
        move |thrown: &Thrown| lock(&course.complaints).push(format!("{}: {}", thrown.name, thrown.message))
    };
    let options = AgentOptions { may_block: true, ..realm.options.clone() };
    let (_, port) = End::pair(options.ports);
    let program: Program = {
        let (course, mailbox) = (course.clone(), mailbox.clone());
        let body = move |cx: &mut JSContext, _: &Realm| {
            if let Some(here) = here() {
                here.mailbox.as_ref().inspect(|mailbox| {
                    mailbox.change(|mail| {
                        mail.running = true;
                        mail.thread = thread_id();
                    })
                });
            }
            // SAFETY: called by `begin`, in the realm; the value is rooted.
            unsafe {
                rooted!(in(cx.raw_cx()) let mut value = UndefinedValue());
                execute(cx, &text, c"agent", &mut value).map_err(|(_, failed)| failed)
            }
        };
        // SAFETY: programs are called on the agent's thread, in its realm, with its context.
        Box::new(move |cx, realm| unsafe { begin(cx, realm, course, Some(mailbox), body) })
    };
    let life = Life {
        shared: realm.shared.clone(),
        library: realm.library.clone(),
        options,
        hooks: Arc::new(AgentHooks::new(complain)),
        inbox,
        control: control.clone(),
        port,
        seat: Seat::default(),
        program: Some(program),
    };
    let (parent, course) = (realm.inbox.clone(), course.clone());
    let thread = launch(life, move |exit| {
        match &exit {
            Exit::Failed(AgentError::Threw { name, message, .. }) => {
                lock(&course.complaints).push(format!("{name}: {message}"));
            }
            Exit::Failed(error) => lock(&course.complaints).push(error.to_string()),
            _ => {}
        }
        let unread = mailbox.change(|mail| {
            mail.closed = true;
            std::mem::take(&mut mail.packets)
        });
        drop(unread);
        drop(parent.push(Task::Worker(id, WorkerEvent::Exit(Exit::Finished))));
    })?;
    event_loop::adopt(realm, id, control, thread);
    Ok(())
}

/// `broadcast(message)`: to all agents; waits until each has it, or has ended.
unsafe extern "C" fn broadcast(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(here) = here() else { return Err(Pending) };
        let started = lock(&here.course.started).clone();
        rooted!(in(raw) let message = call.get(0));
        rooted!(in(raw) let nothing = UndefinedValue());
        for mailbox in &started {
            // SAFETY: the context is in one of the agent's realms; values are rooted.
            let packet = unsafe { clone::write(cx, call.realm, &message, &nothing, None)? };
            mailbox.change(|mail| {
                if !mail.closed {
                    mail.packets.push_back(packet);
                }
            });
        }
        for mailbox in &started {
            mailbox.wait(call.realm, |mail| mail.packets.is_empty().then_some(())).ok_or(Pending)?;
        }
        Ok(())
    })
}

/// `receive()`: the next broadcast, when it comes.
unsafe extern "C" fn receive(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(mailbox) = here().and_then(|here| here.mailbox.clone()) else { return Err(Pending) };
        let packet = mailbox.wait(call.realm, |mail| mail.packets.pop_front()).ok_or(Pending)?;
        mailbox.changed.notify_all();
        rooted!(in(raw) let mut value = UndefinedValue());
        rooted!(in(raw) let mut ports = UndefinedValue());
        // SAFETY: the context is in one of the agent's realms; values are rooted.
        unsafe { natives::open(cx, call.realm, packet, &mut value, &mut ports)? };
        call.give(value.get());
        Ok(())
    })
}

/// `report(text)`
unsafe extern "C" fn report(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(here) = here() else { return Err(Pending) };
        let text = call.text(cx, 0);
        lock(&here.course.reports).push_back(text);
        Ok(())
    })
}

/// `getReport()`: the oldest report, or null.
unsafe extern "C" fn get_report(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let Some(here) = here() else { return Err(Pending) };
        let report = lock(&here.course.reports).pop_front();
        rooted!(in(raw) let mut value = NullValue());
        if let Some(report) = report {
            // SAFETY: the context is in one of the agent's realms.
            unsafe { text_to_js(raw, &report, &mut value)? };
        }
        call.give(value.get());
        Ok(())
    })
}

/// `leaving()`: the agent ends after its task.
unsafe extern "C" fn leaving(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.realm.phase.set(Phase::Closing);
        Ok(())
    })
}

/// `sleep(milliseconds)`: a test sleeps to let its agents come to where they wait, so one that sleeps for long goes on only
/// once they rest, or had their share of a processor. On a busy machine that may take longer than it thinks.
unsafe extern "C" fn sleep(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        // A cast saturates, and takes what is no number for 0.
        let total = Duration::from_nanos((call.number(0) * 1e6) as u64);
        let started = match here() {
            Some(here) if here.mailbox.is_none() && total >= LONG_SLEEP => lock(&here.course.started).clone(),
            _ => Vec::new(),
        };
        let ran: Vec<_> = started.iter().map(|mailbox| mailbox.ran_ns()).collect();
        let came_far =
            || started.iter().zip(&ran).all(|(mailbox, ran)| mailbox.rests() || mailbox.ran_ns() >= ran + SHARE_NS);
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            let passed = begun.elapsed();
            let left = total.saturating_sub(passed);
            if left.is_zero() {
                looks = if came_far() { looks + 1 } else { 0 };
                if started.is_empty() || looks == 2 || passed > total + PATIENCE {
                    return Ok(());
                }
            }
            if call.realm.is_stopped() {
                return Err(Pending);
            }
            std::thread::sleep(if left.is_zero() { Duration::from_millis(1) } else { left.min(LOOK) });
        }
    })
}

/// The calling thread, as `/proc` has it; nothing on other systems.
fn thread_id() -> Option<i32> {
    #[cfg(target_os = "linux")]
    // SAFETY: takes nothing and gives a number.
    return Some(unsafe { libc::gettid() });
    #[cfg(not(target_os = "linux"))]
    None
}

impl Mailbox {
    /// What the system says of the agent's thread; nothing if there is none, or where there is no `/proc`.
    fn thread_file(&self, name: &str) -> Option<String> {
        let mail = lock(&self.state);
        let thread = mail.thread.filter(|_| !mail.closed)?;
        std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}")).ok()
    }

    /// Whether the agent's thread neither runs nor wants to.
    fn rests(&self) -> bool {
        // The state follows the name, which stands in parentheses.
        let status = self.thread_file("stat");
        status.is_none_or(|status| status.rsplit_once(") ").is_none_or(|(_, rest)| !rest.starts_with('R')))
    }

    /// Nanoseconds for which the agent's thread has run.
    fn ran_ns(&self) -> u64 {
        self.thread_file("schedstat").and_then(|times| times.split(' ').next()?.parse().ok()).unwrap_or(0)
    }
}

/// `now()`: milliseconds on a clock that all agents share.
unsafe extern "C" fn now(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    native(raw, argc, vp, |_, call| {
        call.give(DoubleValue(ORIGIN.elapsed().as_secs_f64() * 1e3));
        Ok(())
    })
}
