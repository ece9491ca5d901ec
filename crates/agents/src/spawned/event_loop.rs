//! The life of an agent, on its thread: set-up, one task after the other, teardown.
//!
//! After each task its microtasks are drained, then rejections that nobody handled are told, then weak references may lapse.
//! A stop ends the loop wherever it is; so do `close()` and a main module that fails.
//!
//! # Rules
//! - Teardown: take nothing any more; stop and join workers; give the engine its dispatches back and cancel what it still
//!   does; drop what is traced; then the runtime goes, and only then the end is told.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::JSObject;
use mozjs::jsval::{DoubleValue, JSVal, ObjectValue, UndefinedValue};
use mozjs::rust::CustomAutoRooter;
use mozjs::{glue, rooted};

use super::clone::port_of;
use super::control::Control;
use super::convert::{Pending, done, text_to_js, to_js};
use super::inbox::{Dispatch, Inbox, Next, Task};
use super::loader::{self, Library};
use super::natives;
use super::port::End;
use super::realm::{Phase, Realm, Tool};
use super::reply::Answer;
use super::value::Value;
use super::{AgentHooks, AgentOptions, CallError, Exit, Thrown};
use crate::AgentError;
use crate::agent::drain;
use crate::cluster::Shared;
use crate::doors::Guarded;
use crate::host::Host;

/// What Rust asks an agent for.
pub(crate) struct CallTask {
    pub(crate) what: What,
    pub(crate) asked: Asked,
}

pub(crate) enum What {
    Export { name: String, arguments: Vec<Value> },
    Eval { text: String },
}

/// An answer that is owed. Dropped without one, it says that the agent has ended.
pub(crate) struct Asked {
    answer: Answer<Result<Value, CallError>>,
    _hold: Hold,
}

impl Asked {
    pub(crate) fn new(answer: Answer<Result<Value, CallError>>, inbox: &Arc<Inbox>) -> Asked {
        Asked { answer, _hold: Hold::new(inbox) }
    }

    pub(crate) fn answer(self, answer: Result<Value, CallError>) {
        self.answer.send(answer);
    }
}

/// Keeps an agent from being idle while it lives.
pub(crate) struct Hold(Arc<Inbox>);

impl Hold {
    pub(crate) fn new(inbox: &Arc<Inbox>) -> Hold {
        inbox.hold();
        Hold(inbox.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// What a worker tells the agent that started it.
pub(crate) enum WorkerEvent {
    Error(Thrown),
    Exit(Exit),
}

/// A worker that an agent started.
pub(crate) struct WorkerThread {
    pub(crate) control: Arc<Control>,
    thread: JoinHandle<()>,
    _hold: Hold,
}

/// What an agent is made of.
pub(crate) struct Life {
    pub(crate) shared: Arc<Shared>,
    pub(crate) library: Arc<Library>,
    pub(crate) options: AgentOptions,
    pub(crate) hooks: Arc<AgentHooks>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) control: Arc<Control>,
    /// The agent's end of the channel to whoever spawned it.
    pub(crate) port: End,
}

/// Starts an agent's thread. `ended` runs there, last.
pub(crate) fn launch(life: Life, ended: impl FnOnce(Exit) + Send + 'static) -> Result<JoinHandle<()>, AgentError> {
    let name = if life.options.name.is_empty() { "peristyle-agent" } else { life.options.name.as_str() };
    // A thread's name cannot hold a NUL.
    let builder = thread::Builder::new().name(name.replace('\0', "\u{fffd}")).stack_size(life.options.stack_bytes);
    let body = move || {
        let exit = catch_unwind(AssertUnwindSafe(|| live(life)));
        ended(exit.unwrap_or_else(|_| Exit::Failed(AgentError::Engine("the agent's thread panicked".into()))));
    };
    builder.spawn(body).map_err(|error| AgentError::Engine(format!("no thread for the agent: {error}")))
}

fn live(life: Life) -> Exit {
    let Life { shared, library, options, hooks, inbox, control, port } = life;
    let host = match Host::of_this_thread(&shared.parent) {
        Ok(host) => host,
        Err(error) => {
            drop(inbox.close());
            return Exit::Failed(error);
        }
    };
    control.attach(host.remote());
    let realm = Realm::new(inbox.clone(), control, shared, library, options, hooks);
    let entered = Realm::enter(&realm);
    // SAFETY: no other context wrapper of this thread is in use; the context is alive until the host is dropped, below.
    // Callbacks are static functions that never unwind and find their state by the realm that is entered, or by the inbox,
    // which outlives the runtime.
    let exit = unsafe {
        let mut cx = host.context();
        let cx = &mut cx;
        let raw = cx.raw_cx();
        set_callbacks(raw, &realm);
        match realm.make_global(raw) {
            Err(error) => {
                drop(inbox.close());
                Exit::Failed(error)
            }
            Ok(()) => {
                let _realm = ja::JSAutoRealm::new(raw, realm.global());
                let exit = if realm.meter.start(raw) {
                    let _guarded = Guarded::by(&realm.meter);
                    work(cx, &realm, port)
                } else {
                    drop(realm.inbox.close());
                    Exit::Failed(AgentError::Engine("its counters are not known".into()))
                };
                realm.meter.stop();
                realm.control.detach();
                tear_down(cx, &realm);
                exit
            }
        }
    };
    drop(entered);
    drop(realm);
    drop(host);
    drop(inbox);
    exit
}

/// # Safety
/// `raw` is this thread's context, alive; the realm's inbox outlives the runtime.
unsafe fn set_callbacks(raw: *mut RawJSContext, realm: &Realm) {
    // SAFETY: as the caller answers.
    unsafe {
        // Hosts compile kernels well at once; what scripts compile may be large, and is to start soon.
        (*ja::ContextOptionsRef(raw)).set_wasmBaseline_(true);
        ja::JS_AddInterruptCallback(raw, Some(interrupted));
        ja::SetPromiseRejectionTrackerCallback(raw, Some(rejected), ptr::null_mut());
        let runtime = ja::JS_GetRuntime(raw);
        ja::SetModuleLoadHook(runtime, Some(loader::load_hook));
        ja::SetModuleMetadataHook(runtime, Some(loader::meta_hook));
        let inbox = Arc::as_ptr(&realm.inbox).cast_mut().cast();
        ja::InitAsyncTaskCallbacks(
            raw,
            Some(dispatch),
            Some(dispatch_later),
            Some(task_started),
            Some(task_ended),
            inbox,
        );
        if realm.options.may_block {
            ja::JS_SetFutexCanWait(raw);
        }
    }
}

/// Evaluates the main module, then runs tasks until there is no reason to go on.
///
/// # Safety
/// `cx` is this thread's context, in the realm.
unsafe fn work(cx: &mut JSContext, realm: &Realm, port: End) -> Exit {
    let terminated = || match realm.meter.is_full() {
        true => Exit::OutOfMemory { heap_bytes: realm.options.heap_bytes },
        false => Exit::Terminated(realm.why()),
    };
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        if realm.is_stopped() {
            return terminated();
        }
        if let Err(error) = realm.set_up(cx, port) {
            return if realm.is_stopped() { terminated() } else { Exit::Failed(error) };
        }
        rooted!(in(cx.raw_cx()) let mut promise = UndefinedValue());
        if let Err(error) = loader::begin(cx, realm, &mut promise) {
            return if realm.is_stopped() { terminated() } else { Exit::Failed(error) };
        }
        if !realm.run_tool(cx, Tool::Started, &[promise.get()]) || !checkpoint(cx, realm) {
            return terminated();
        }
        while realm.phase.get() != Phase::Closing {
            match realm.inbox.next() {
                Next::Task(task) => {
                    if !run(cx, realm, task) || !checkpoint(cx, realm) {
                        return terminated();
                    }
                }
                Next::Stop => return terminated(),
                Next::Idle if realm.phase.get() == Phase::Starting => {
                    return Exit::Failed(AgentError::Unsettled { path: realm.library.main.path.clone() });
                }
                Next::Idle => return Exit::Finished,
            }
        }
        realm.failure.take().map_or(Exit::Closed, Exit::Failed)
    }
}

/// What follows each task; `false` if the agent was terminated.
///
/// # Safety
/// As for [`work`].
unsafe fn checkpoint(cx: &mut JSContext, realm: &Realm) -> bool {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        loop {
            if !drain(cx) || !realm.meter.decide() || realm.is_stopped() {
                return false;
            }
            rooted!(in(raw) let mut promise = ptr::null_mut::<JSObject>());
            let unhandled = {
                let mut unhandled = realm.unhandled.borrow_mut();
                if unhandled.is_empty() { None } else { Some(unhandled.remove(0)) }
            };
            let Some(unhandled) = unhandled else { break };
            promise.set(unhandled.get());
            drop(unhandled);
            rooted!(in(raw) let mut reason = UndefinedValue());
            glue::JS_GetPromiseResult(promise.handle().into(), reason.handle_mut().into());
            if !realm.run_tool(cx, Tool::Rejected, &[ObjectValue(promise.get()), reason.get()]) {
                return false;
            }
        }
        ja::ClearKeptObjects(raw);
    }
    true
}

/// Runs one task; `false` if the agent was terminated.
///
/// # Safety
/// As for [`work`].
unsafe fn run(cx: &mut JSContext, realm: &Realm, task: Task) -> bool {
    realm.meter.begin();
    match task {
        // SAFETY: as the caller answers.
        Task::Port(id) => unsafe { deliver(cx, realm, id) },
        Task::Timer(id) => {
            realm.timers.borrow_mut().remove(&id);
            realm.run_tool(cx, Tool::Timer, &[DoubleValue(id.into())])
        }
        Task::Engine(dispatch) => {
            // SAFETY: as the caller answers; the dispatch is run once, here.
            unsafe { run_dispatch(cx.raw_cx(), dispatch, ja::Dispatchable_MaybeShuttingDown::NotShuttingDown) };
            true
        }
        Task::Call(call) => {
            if realm.phase.get() == Phase::Starting {
                realm.early.borrow_mut().push_back(call);
                return true;
            }
            // SAFETY: as the caller answers.
            unsafe { answer(cx, realm, call) }
        }
        // SAFETY: as the caller answers.
        Task::Worker(id, event) => unsafe { worker_said(cx, realm, id, event) },
    }
}

/// # Safety
/// As for [`work`]; the dispatch is the engine's, and ours.
unsafe fn run_dispatch(raw: *mut RawJSContext, dispatch: Dispatch, state: ja::Dispatchable_MaybeShuttingDown) {
    // SAFETY: as the caller answers. The engine frees the box as C++ does, which is `free` for memory of `malloc`.
    unsafe {
        let slot = libc::malloc(size_of::<glue::DispatchablePointer>()).cast::<glue::DispatchablePointer>();
        if slot.is_null() {
            std::process::abort();
        }
        slot.write(glue::DispatchablePointer { ptr: dispatch.0 as u64 });
        glue::DispatchableRun(raw, slot, state);
    }
}

/// The main module was evaluated: calls that waited for it are tasks now.
pub(crate) fn is_running(realm: &Realm) {
    realm.phase.set(Phase::Running);
    let early = realm.early.take();
    for call in early {
        drop(realm.inbox.push(Task::Call(call)));
    }
}

/// Delivers a port's oldest message, or the word that its other end is gone.
///
/// # Safety
/// As for [`work`].
unsafe fn deliver(cx: &mut JSContext, realm: &Realm, id: u64) -> bool {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        let known = realm.ports.borrow().get(&id).map(|port| port.get());
        let Some(known) = known else { return true };
        rooted!(in(raw) let port = known);
        let Some(found) = port_of(port.get()) else { return true };
        match found.end.take() {
            Some(packet) => {
                rooted!(in(raw) let mut value = UndefinedValue());
                rooted!(in(raw) let mut ports = UndefinedValue());
                match natives::open(cx, realm, packet, &mut value, &mut ports) {
                    Ok(()) => realm.run_tool(cx, Tool::Deliver, &[ObjectValue(port.get()), value.get(), ports.get()]),
                    Err(failed) => {
                        realm.failure(cx, failed).is_some()
                            && realm.run_tool(cx, Tool::DeliverError, &[ObjectValue(port.get())])
                    }
                }
            }
            None if found.end.is_over() => {
                found.closed.set(true);
                realm.forget_port(found);
                realm.run_tool(cx, Tool::Closed, &[ObjectValue(port.get())])
            }
            None => true,
        }
    }
}

/// Calls an export, or evaluates a script, for Rust.
///
/// # Safety
/// As for [`work`].
unsafe fn answer(cx: &mut JSContext, realm: &Realm, call: CallTask) -> bool {
    let number = realm.asked_before.get().wrapping_add(1);
    realm.asked_before.set(number);
    let CallTask { what, asked } = call;
    realm.asked.borrow_mut().insert(number, asked);
    let answer_with = |answer: Result<Value, CallError>| {
        let asked = realm.asked.borrow_mut().remove(&number);
        if let Some(asked) = asked {
            asked.answer(answer);
        }
    };
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        let id = DoubleValue(number.into());
        rooted!(in(raw) let mut result = UndefinedValue());
        let failed = match what {
            What::Export { name, arguments } => {
                rooted!(in(raw) let mut text = UndefinedValue());
                rooted!(in(raw) let mut list = UndefinedValue());
                let called =
                    text_to_js(raw, &name, &mut text).and_then(|()| arguments_to_js(raw, &arguments, &mut list));
                let called = called.and_then(|()| {
                    let namespace = ObjectValue(realm.namespace.get());
                    realm.use_tool(cx, Tool::Call, &[namespace, text.get(), list.get(), id], &mut result)
                });
                if called.is_ok() && result.is_boolean() && !result.to_boolean() {
                    answer_with(Err(CallError::NoExport { name }));
                }
                called.err().map(|failed| realm.failure(cx, failed).map(AgentError::from))
            }
            What::Eval { text } => match realm.evaluate(cx, &text, c"eval", &mut result) {
                Ok(()) => {
                    let settled = realm.run_tool(cx, Tool::Settle, &[result.get(), id]);
                    if settled { None } else { Some(None) }
                }
                Err(AgentError::Terminated(_)) => Some(None),
                Err(error) => Some(Some(error)),
            },
        };
        match failed {
            None => true,
            Some(Some(error)) => {
                answer_with(Err(error.into()));
                true
            }
            Some(None) => false,
        }
    }
}

/// # Safety
/// As for [`to_js`].
unsafe fn arguments_to_js(
    raw: *mut RawJSContext,
    arguments: &[Value],
    out: &mut RootedGuard<'_, JSVal>,
) -> Result<(), Pending> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        rooted!(in(raw) let list = ja::NewArrayObject1(raw, arguments.len()));
        done(!list.is_null())?;
        rooted!(in(raw) let mut value = UndefinedValue());
        for (at, argument) in arguments.iter().enumerate() {
            to_js(raw, argument, &mut value)?;
            let flags = ja::JSPROP_ENUMERATE as u32;
            done(ja::JS_DefineElement(raw, list.handle().into(), at as u32, value.handle().into(), flags))?;
        }
        out.set(ObjectValue(list.get()));
    }
    Ok(())
}

/// Starts a worker of this agent; its number, and our end of the channel to it.
pub(crate) fn spawn_worker(realm: &Realm, specifier: &str, name: String) -> Result<(u64, End), AgentError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let library = realm.library.entered_at(&realm.shared, specifier);
    let library = Arc::new(library.map_err(|reason| AgentError::Import {
        importer: realm.library.main.path.clone(),
        line: 1,
        column: 1,
        specifier: specifier.chars().take(256).collect(),
        reason,
    })?);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (ours, theirs) = End::pair(realm.options.ports);
    let inbox = Arc::new(Inbox::new());
    let control = Arc::new(Control::new(inbox.clone()));
    let parent = realm.inbox.clone();
    let hooks = AgentHooks::new(move |thrown: &Thrown| {
        drop(parent.push(Task::Worker(id, WorkerEvent::Error(thrown.clone()))));
    });
    let options = AgentOptions { name, on_error: None, may_block: true, ..realm.options.clone() };
    let parent = realm.inbox.clone();
    let life = Life {
        shared: realm.shared.clone(),
        library,
        options,
        hooks: Arc::new(hooks),
        inbox,
        control: control.clone(),
        port: theirs,
    };
    let thread = launch(life, move |exit| drop(parent.push(Task::Worker(id, WorkerEvent::Exit(exit)))))?;
    realm.control.adopt(&control);
    let worker = WorkerThread { control, thread, _hold: Hold::new(&realm.inbox) };
    realm.workers.borrow_mut().insert(id, worker);
    Ok((id, ours))
}

/// Tells the script what a worker said.
///
/// # Safety
/// As for [`work`].
unsafe fn worker_said(cx: &mut JSContext, realm: &Realm, id: u64, event: WorkerEvent) -> bool {
    let over = matches!(event, WorkerEvent::Exit(_));
    if over {
        let worker = realm.workers.borrow_mut().remove(&id);
        if let Some(worker) = worker {
            // It has nothing left to do but to end; a panic there was reported by the panic hook.
            let _ = worker.thread.join();
        }
    }
    let thrown = match event {
        WorkerEvent::Error(error) => Some(error),
        WorkerEvent::Exit(Exit::Failed(AgentError::Threw { name, message, stack })) => {
            Some(Thrown { name, message, stack })
        }
        WorkerEvent::Exit(Exit::Failed(other)) => Some(Thrown::new("Error", &other.to_string(), "")),
        WorkerEvent::Exit(Exit::OutOfMemory { heap_bytes }) => {
            let message = format!("the worker outgrew its limit of {heap_bytes} bytes");
            Some(Thrown::new("RangeError", &message, ""))
        }
        WorkerEvent::Exit(Exit::Finished | Exit::Closed | Exit::Terminated(_)) => None,
    };
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        let mut tell = |kind: &str, thrown: Option<Thrown>| {
            let thrown = thrown.unwrap_or_else(|| Thrown::new("", "", ""));
            let texts = [kind, &thrown.name, &thrown.message, &thrown.stack];
            let mut rooter = CustomAutoRooter::new(vec![DoubleValue(id as f64)]);
            let mut arguments = rooter.root(raw);
            for text in texts {
                rooted!(in(raw) let mut part = UndefinedValue());
                if text_to_js(raw, text, &mut part).is_err() {
                    ja::JS_ClearPendingException(raw);
                    return true;
                }
                arguments.push(part.get());
            }
            realm.run_tool(cx, Tool::Worker, &arguments)
        };
        if let Some(thrown) = thrown
            && !tell("error", Some(thrown))
        {
            return false;
        }
        !over || tell("exit", None)
    }
}

/// Ends what the agent began. No script runs here.
///
/// # Safety
/// As for [`work`].
unsafe fn tear_down(cx: &mut JSContext, realm: &Realm) {
    let tasks = realm.inbox.close();
    let workers = realm.workers.take();
    for worker in workers.values() {
        worker.control.stop("its parent ended");
    }
    for (_, worker) in workers {
        let _ = worker.thread.join();
    }
    // SAFETY: as the caller answers; each dispatch is run once.
    unsafe {
        let raw = cx.raw_cx();
        for task in tasks {
            if let Task::Engine(dispatch) = task {
                run_dispatch(raw, dispatch, ja::Dispatchable_MaybeShuttingDown::ShuttingDown);
            }
        }
        ja::CancelAsyncTasks(raw);
        ja::ShutdownAsyncTasks(raw);
        crate::agent::discard_tasks(cx);
    }
    drop((realm.asked.take(), realm.early.take()));
    // Listening ports hold inboxes, and the realm holds this one.
    let ports: Vec<_> = realm.ports.borrow().values().map(|port| port.get()).collect();
    for port in ports {
        // SAFETY: traced until this line, and nothing here collects.
        if let Some(port) = unsafe { port_of(port) } {
            port.end.close();
        }
    }
}

/// The engine has something to run on the agent's thread. Called on any thread, with locks of the engine held.
unsafe extern "C" fn dispatch(inbox: *mut c_void, dispatchable: *mut u8) -> bool {
    // SAFETY: the closure is the inbox, which outlives the runtime; the other is the address of a `UniquePtr`, a word, which
    // is emptied only if the task is taken, or else by giving it back.
    unsafe {
        let (inbox, slot) = (&*inbox.cast::<Inbox>(), dispatchable.cast::<usize>());
        let taken = take_dispatch(slot, inbox.push(Task::Engine(Dispatch(slot.read()))).is_ok());
        if !taken {
            release_failed_task(slot);
        }
        taken
    }
}

unsafe extern "C" {
    /// `JS::Dispatchable::ReleaseFailedTask`, which the bindings leave out: who refuses a task must give it to its runtime.
    /// Left where it is, it is destroyed under the locks that its destructor takes, and the process hangs: seen when an
    /// agent was notified (`Atomics.waitAsync`) while it was torn down.
    #[link_name = "_ZN2JS12Dispatchable17ReleaseFailedTaskEOSt10unique_ptrIS0_NS_12DeletePolicyIS0_EEE"]
    fn release_failed_task(slot: *mut usize);
}

/// As [`dispatch`], not before some time has passed.
unsafe extern "C" fn dispatch_later(inbox: *mut c_void, dispatchable: *mut u8, delay_ms: u32) -> bool {
    // SAFETY: as in `dispatch`.
    unsafe {
        let (inbox, slot) = (&*inbox.cast::<Inbox>(), dispatchable.cast::<usize>());
        let task = Task::Engine(Dispatch(slot.read()));
        take_dispatch(slot, inbox.push_in(u64::from(delay_ms) * 1_000_000, task).is_ok())
    }
}

/// # Safety
/// `slot` can be written to.
unsafe fn take_dispatch(slot: *mut usize, taken: bool) -> bool {
    if taken {
        // SAFETY: as the caller answers.
        unsafe { slot.write(0) };
    }
    taken
}

unsafe extern "C" fn task_started(inbox: *mut c_void, _: *mut ja::Dispatchable) {
    // SAFETY: as in `dispatch`.
    unsafe { &*inbox.cast::<Inbox>() }.hold();
}

unsafe extern "C" fn task_ended(inbox: *mut c_void, _: *mut ja::Dispatchable) {
    // SAFETY: as in `dispatch`.
    unsafe { &*inbox.cast::<Inbox>() }.release();
}

/// The engine's question whether to go on.
unsafe extern "C" fn interrupted(_: *mut RawJSContext) -> bool {
    // SAFETY: called by the engine on the agent's thread, where scripts run and it may collect.
    unsafe { Realm::here().is_none_or(|realm| realm.meter.decide() && !realm.is_stopped()) }
}

/// Keeps the promises that are rejected without a handler.
unsafe extern "C" fn rejected(
    _: *mut RawJSContext,
    _: bool,
    promise: ja::HandleObject,
    state: ja::PromiseRejectionHandlingState,
    _: *mut c_void,
) {
    // SAFETY: called by the engine on the agent's thread, with a rooted promise.
    let Some(realm) = (unsafe { Realm::here() }) else { return };
    let mut unhandled = realm.unhandled.borrow_mut();
    match state {
        ja::PromiseRejectionHandlingState::Unhandled => unhandled.push(ja::Heap::boxed(promise.get())),
        ja::PromiseRejectionHandlingState::Handled => unhandled.retain(|known| known.get() != promise.get()),
    }
}
