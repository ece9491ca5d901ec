//! The life of an agent, on its thread: set-up, one task after the other, teardown.
//!
//! After each task its microtasks are drained, then rejections that nobody handled are told, then weak references may lapse.
//! A stop ends the loop wherever it is; so do `close()` and a main module that fails.
//!
//! # Rules
//! - Teardown: take nothing any more; stop and join workers; cancel what the engine still does and give it its dispatches
//!   back, those included that come until it has no task left; drop what is traced; then the runtime goes, and only then the
//!   end is told.

use std::ffi::c_void;
use std::iter;
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
use super::host_modules::HostModules;
use super::inbox::{Dispatch, Inbox, Next, Task};
use super::loader::{self, Library};
use super::message::Packet;
use super::natives;
use super::node::{self, Origin, Seat};
use super::pool::{Ended, Order, Waiting};
use super::port::{End, Refused};
use super::quiet::Quiet;
use super::realm::{Phase, Realm, Tool};
use super::reply::Answer;
use super::scripts::{DETERMINISTIC, EVENTS};
use super::turns::Seated;
use super::value::Value;
use super::{AgentHooks, AgentOptions, CallError, Code, Exit, Thrown, broadcast, foreign, host_objects};
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
    Export {
        name: String,
        arguments: Vec<Value>,
    },
    /// With one argument, that another process serialised.
    ExportOfClone {
        name: String,
        bytes: Vec<u8>,
    },
    /// The value that another process serialised.
    ReadClone {
        bytes: Vec<u8>,
    },
    Eval {
        text: String,
    },
}

/// What an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Value,
    /// A structured clone for another process, as bytes.
    Clone,
}

/// An answer that is owed. Dropped without one, it says that the agent has ended.
pub(crate) struct Asked {
    answer: Answer<Result<Value, CallError>>,
    pub(crate) form: Form,
    _hold: Hold,
}

impl Asked {
    pub(crate) fn new(answer: Answer<Result<Value, CallError>>, form: Form, inbox: &Arc<Inbox>) -> Asked {
        Asked { answer, form, _hold: Hold::new(inbox) }
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
    hold: Option<Hold>,
}

impl WorkerThread {
    /// Says whether it keeps the agent that started it, whose inbox this is. What is given back is to be dropped.
    pub(crate) fn keep(&mut self, inbox: &Arc<Inbox>, keeps: bool) -> Option<Hold> {
        match (keeps, &self.hold) {
            (true, None) => self.hold.replace(Hold::new(inbox)),
            (false, Some(_)) => self.hold.take(),
            _ => None,
        }
    }
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
    pub(crate) seat: Seat,
    /// What begins instead of the web's realm and the main module.
    pub(crate) program: Option<Program>,
}

/// Makes a realm that has just its global what it is to be, and begins what runs there.
pub(crate) type Program = Box<dyn FnOnce(&mut JSContext, &Realm) -> Result<(), AgentError> + Send>;

/// Starts an agent, on a thread that waits for one if there is. `ended` runs there, last.
pub(crate) fn launch(life: Life, ended: impl FnOnce(Exit) + Send + 'static) -> Result<JoinHandle<()>, AgentError> {
    let shared = life.shared.clone();
    let on_exit = life.options.on_exit.clone();
    let seated = Seated(life.inbox.seat().cloned());
    let ended = move |exit: Exit| {
        if let Some(hook) = on_exit {
            // A panic was reported by the panic hook; the agent has ended all the same.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&exit)));
        }
        ended(exit);
        drop(seated);
    };
    let order = Box::new(Order { life, ended: Box::new(ended) });
    // Spares are agents of the web, in real time.
    let fits = order.life.program.is_none() && !order.life.inbox.takes_turns();
    let taken = if fits { shared.pool.take(order) } else { Err(order) };
    match taken {
        Ok(thread) => Ok(thread),
        Err(order) => {
            let Order { life, ended } = *order;
            let (name, stack_bytes) = (life.options.name.clone(), life.options.stack_bytes);
            thread(&name, stack_bytes, move || {
                let exit = catch_unwind(AssertUnwindSafe(|| live(life, None)));
                ended(exit.unwrap_or_else(|_| panicked()));
            })
        }
    }
}

/// Starts a thread that sets an agent up and waits for an order.
pub(crate) fn spare(
    shared: &Arc<Shared>,
    options: AgentOptions,
    waiting: Waiting,
) -> Result<JoinHandle<()>, AgentError> {
    let inbox = Arc::new(Inbox::new(None));
    // Nothing of this is used, but for the options: an order replaces it.
    let life = Life {
        shared: shared.clone(),
        library: Arc::new(Library::new(shared, Code::source("nothing.mjs", ""), HostModules::default())?),
        hooks: Arc::new(AgentHooks::new(|_| {})),
        control: Control::new(inbox.clone()),
        inbox,
        port: End::pair(options.ports).0,
        seat: Seat::default(),
        program: None,
        options,
    };
    thread("", life.options.stack_bytes, move || {
        let mut told = None;
        let exit = catch_unwind(AssertUnwindSafe(|| live(life, Some((waiting, &mut told)))));
        if let Some(ended) = told {
            ended(exit.unwrap_or_else(|_| panicked()));
        }
    })
}

fn panicked() -> Exit {
    Exit::Failed(AgentError::Engine("the agent's thread panicked".into()))
}

fn thread(name: &str, stack_bytes: usize, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, AgentError> {
    let name = if name.is_empty() { "peristyle-agent" } else { name };
    // A thread's name cannot hold a NUL.
    let builder = thread::Builder::new().name(name.replace('\0', "\u{fffd}")).stack_size(stack_bytes);
    builder.spawn(body).map_err(|error| AgentError::Engine(format!("no thread for the agent: {error}")))
}

/// Names this thread, as far as the system can: 15 bytes.
fn rename(name: &str) {
    #[cfg(target_os = "linux")]
    if !name.is_empty() {
        let short: String = name
            .chars()
            .scan(0, |bytes: &mut usize, c| {
                *bytes += c.len_utf8();
                (*bytes <= 15 && c != '\0').then_some(c)
            })
            .collect();
        if let Ok(short) = std::ffi::CString::new(short) {
            // SAFETY: the thread's own handle, and a text that ends with a NUL within 16 bytes.
            unsafe { libc::pthread_setname_np(libc::pthread_self(), short.as_ptr()) };
        }
    }
}

/// Lives an agent's life. A spare first waits for it, and says whom to tell of its end.
fn live(mut life: Life, spare: Option<(Waiting, &mut Option<Ended>)>) -> Exit {
    let program = life.program.take();
    let host = match Host::of_this_thread(&life.shared.parent) {
        Ok(host) => host,
        Err(error) => {
            drop(life.inbox.close());
            return Exit::Failed(error);
        }
    };
    life.control.attach(host.remote());
    let mut realm = Realm::new(life);
    let mut entered = Realm::enter(&realm);
    // SAFETY: no other context wrapper of this thread is in use; the context is alive until the host is dropped, below.
    // Callbacks are static functions that never unwind and find their state by the realm that is entered, or by the inbox,
    // which outlives the runtime.
    let exit = unsafe {
        let mut cx = host.context();
        let cx = &mut cx;
        let raw = cx.raw_cx();
        set_callbacks(raw);
        if program.is_some() {
            realm.keep_bare();
        }
        match realm.make_global(raw) {
            Err(error) => {
                drop(realm.inbox.close());
                Exit::Failed(error)
            }
            Ok(()) => {
                let _realm = ja::JSAutoRealm::new(raw, realm.global());
                let ready = match spare {
                    None => Ok(()),
                    Some((waiting, told)) => match wait(cx, &realm, waiting) {
                        None => Err(Exit::Finished),
                        Some(order) => {
                            *told = Some(order.ended);
                            rename(&order.life.options.name);
                            order.life.control.attach(host.remote());
                            drop(entered);
                            let port = realm.begin(order.life);
                            entered = Realm::enter(&realm);
                            let begun = realm.take_over(raw, port);
                            let failed = |_| Exit::Failed(AgentError::Engine("the realm cannot be set up".into()));
                            begun.map_err(failed)
                        }
                    },
                };
                let exit = match ready {
                    Err(exit) => exit,
                    Ok(()) if realm.meter.start(raw) => {
                        let _guarded = Guarded::by(&realm.meter);
                        bind(raw, &realm);
                        work(cx, &realm, program)
                    }
                    Ok(()) => {
                        drop(realm.inbox.close());
                        Exit::Failed(AgentError::Engine("its counters are not known".into()))
                    }
                };
                realm.meter.stop();
                realm.control.detach();
                tear_down(cx, &realm);
                exit
            }
        }
    };
    let inbox = realm.inbox.clone();
    drop(entered);
    drop(realm);
    drop(host);
    drop(inbox);
    exit
}

/// Sets a spare up, and waits for an order.
///
/// # Safety
/// As for [`work`].
unsafe fn wait(cx: &mut JSContext, realm: &Realm, Waiting { ready, orders }: Waiting) -> Option<Order> {
    // SAFETY: as the caller answers.
    let set_up = unsafe { realm.run_web(cx).and_then(|_| realm.run_part(cx, EVENTS)) };
    let set_up = set_up.map(drop).map_err(|failed| match realm.failure(cx, failed) {
        Some(thrown) => thrown.into(),
        None => AgentError::Engine("the realm cannot be set up".into()),
    });
    let failed = set_up.is_err();
    // Who asked has gone if this fails, and the orders with it.
    let _ = ready.send(set_up);
    if failed { None } else { orders.recv().ok().map(|order| *order) }
}

/// # Safety
/// `raw` is this thread's context, alive.
unsafe fn set_callbacks(raw: *mut RawJSContext) {
    // SAFETY: as the caller answers.
    unsafe {
        // Hosts compile kernels well at once; what scripts compile may be large, and is to start soon.
        (*ja::ContextOptionsRef(raw)).set_wasmBaseline_(true);
        ja::JS_AddInterruptCallback(raw, Some(interrupted));
        ja::SetPromiseRejectionTrackerCallback(raw, Some(rejected), ptr::null_mut());
        ja::SetHostCleanupFinalizationRegistryCallback(raw, Some(has_cleanup), ptr::null_mut());
        let runtime = ja::JS_GetRuntime(raw);
        ja::SetModuleLoadHook(runtime, Some(loader::load_hook));
        ja::SetModuleMetadataHook(runtime, Some(loader::meta_hook));
    }
}

/// Sets what depends on how the agent is spawned; where agents take turns, waits for its first one.
///
/// # Safety
/// `raw` is this thread's context, alive; the realm's inbox outlives the runtime.
unsafe fn bind(raw: *mut RawJSContext, realm: &Realm) {
    realm.inbox.lives_here();
    if let Some(seat) = realm.inbox.seat() {
        seat.begin();
    }
    // SAFETY: as the caller answers.
    unsafe {
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
unsafe fn work(cx: &mut JSContext, realm: &Realm, program: Option<Program>) -> Exit {
    let terminated = || realm.ended();
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        if realm.is_stopped() {
            return terminated();
        }
        let begun = match program {
            Some(program) => program(cx, realm),
            None => begin(cx, realm),
        };
        if let Err(error) = begun {
            return if realm.is_stopped() { terminated() } else { Exit::Failed(error) };
        }
        // The engine takes a stop in a module's own code for a rejection.
        if realm.is_stopped() || !node::begun(cx, realm) || !checkpoint(cx, realm) {
            return terminated();
        }
        let mut quiet = Quiet::default();
        while realm.phase.get() != Phase::Closing {
            match realm.inbox.next(quiet.after()) {
                Next::Task(task) => {
                    quiet.broken();
                    let ran = run(cx, realm, task) && node::run_ticks(cx, realm);
                    if !ran || !checkpoint(cx, realm) {
                        return terminated();
                    }
                }
                Next::Quiet => {
                    quiet.give_memory_back(cx);
                }
                Next::Stop => return terminated(),
                Next::Idle if realm.phase.get() == Phase::Starting => {
                    return match node::idle(cx, realm) {
                        Exit::Finished => Exit::Failed(AgentError::Unsettled { path: realm.library.main.path.clone() }),
                        ended => ended,
                    };
                }
                Next::Idle => return node::idle(cx, realm),
            }
        }
        realm.failure.take().map_or(Exit::Closed, Exit::Failed)
    }
}

/// Makes the web's realm and begins to evaluate the main module.
///
/// # Safety
/// As for [`work`].
unsafe fn begin(cx: &mut JSContext, realm: &Realm) -> Result<(), AgentError> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        if realm.inbox.takes_turns()
            && let Err(failed) = realm.run_part(cx, DETERMINISTIC)
        {
            return Err(realm.failed(cx, failed));
        }
        // Node's globals are its own, and other than the web's of the same names.
        if realm.options.node.is_some() {
            node::boot(cx, realm)?;
        }
        if let Some(hook) = &realm.options.on_start
            && catch_unwind(AssertUnwindSafe(|| hook(&realm.options.name))).is_err()
        {
            return Err(AgentError::Engine("its hook on_start panicked".into()));
        }
        host_objects::define(cx, realm)?;
        rooted!(in(cx.raw_cx()) let mut promise = UndefinedValue());
        loader::begin(cx, realm, &mut promise)?;
        rooted!(in(cx.raw_cx()) let evaluated = if promise.is_object() { promise.to_object() } else { ptr::null_mut() });
        if !evaluated.is_null() && ja::GetPromiseState(evaluated.handle().into()) == ja::PromiseState::Fulfilled {
            is_running(realm);
            return Ok(());
        }
        let goes_on = realm.is_stopped() || realm.run_tool(cx, Tool::Started, &[promise.get()]);
        if goes_on { Ok(()) } else { Err(AgentError::Terminated(realm.why())) }
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
            let Some(unhandled) = unhandled else {
                if !node::has_ticks(realm) {
                    break;
                }
                if !node::run_ticks(cx, realm) {
                    return false;
                }
                continue;
            };
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
        Task::Woken(id) => {
            realm.locks.woken(&realm.inbox, id);
            realm.run_tool(cx, Tool::Woken, &[DoubleValue(id.into())])
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
        Task::Broadcast(delivery) => unsafe { broadcast::deliver(cx, realm, delivery) },
        // SAFETY: as the caller answers.
        Task::Worker(id, event) => unsafe { worker_said(cx, realm, id, event) },
        // SAFETY: as the caller answers.
        Task::Cleanup => unsafe { clean_up(cx, realm) },
    }
}

/// Runs what a `FinalizationRegistry` has to clean up; `false` if the agent was terminated.
///
/// # Safety
/// As for [`work`].
unsafe fn clean_up(cx: &mut JSContext, realm: &Realm) -> bool {
    let first = realm.cleanups.borrow_mut().pop_front();
    let Some(first) = first else { return true };
    // SAFETY: as the caller answers; the function is rooted before anything can collect, and called in its own realm.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let function = ObjectValue(first.get()));
        drop(first);
        let _realm = ja::JSAutoRealm::new(raw, function.to_object());
        rooted!(in(raw) let mut nothing = UndefinedValue());
        match realm.call(cx, &function, &[], &mut nothing) {
            Ok(()) => true,
            Err(failed) => match realm.failure(cx, failed) {
                Some(thrown) => {
                    realm.uncaught(thrown);
                    true
                }
                None => false,
            },
        }
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
    if realm.phase.get() != Phase::Starting {
        return;
    }
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
                rooted!(in(raw) let mut list = UndefinedValue());
                let made = arguments_to_js(raw, &arguments, &mut list)
                    .map_err(|failed| realm.failure(cx, failed).map(AgentError::from));
                made.and_then(|()| call_export(cx, realm, number, &name, &list)).err()
            }
            What::ExportOfClone { name, bytes } => {
                rooted!(in(raw) let mut list = UndefinedValue());
                match read_clone(cx, realm, &bytes, &mut result) {
                    Ok(()) => {
                        let contents = ja::HandleValueArray { length_: 1, elements_: &*result };
                        rooted!(in(raw) let array = ja::NewArrayObject(raw, &contents));
                        if !array.is_null() {
                            list.set(ObjectValue(array.get()));
                        }
                        call_export(cx, realm, number, &name, &list).err()
                    }
                    Err(Some(wrong)) => {
                        answer_with(Err(wrong));
                        None
                    }
                    Err(None) => Some(None),
                }
            }
            What::ReadClone { bytes } => match read_clone(cx, realm, &bytes, &mut result) {
                Ok(()) => {
                    let settled = realm.run_tool(cx, Tool::Settle, &[result.get(), id]);
                    if settled { None } else { Some(None) }
                }
                Err(Some(wrong)) => {
                    answer_with(Err(wrong));
                    None
                }
                Err(None) => Some(None),
            },
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

/// Calls an export for Rust; its promise settles the call of that number. The error is what was thrown, or nothing if the agent
/// was terminated.
///
/// # Safety
/// As for [`work`].
unsafe fn call_export(
    cx: &mut JSContext,
    realm: &Realm,
    number: u32,
    name: &str,
    arguments: &RootedGuard<'_, JSVal>,
) -> Result<(), Option<AgentError>> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut text = UndefinedValue());
        rooted!(in(raw) let mut result = UndefinedValue());
        let called = text_to_js(raw, name, &mut text).and_then(|()| {
            let (namespace, number) = (ObjectValue(realm.namespace.get()), DoubleValue(number.into()));
            realm.use_tool(cx, Tool::Call, &[namespace, text.get(), arguments.get(), number], &mut result)
        });
        called.map_err(|failed| realm.failure(cx, failed).map(AgentError::from))?;
        if result.is_boolean() && !result.to_boolean() {
            let asked = realm.asked.borrow_mut().remove(&number);
            if let Some(asked) = asked {
                asked.answer(Err(CallError::NoExport { name: name.into() }));
            }
        }
    }
    Ok(())
}

/// Reads what another process serialised. The error says what is wrong with it, or nothing if the agent was terminated.
///
/// # Safety
/// As for [`work`].
unsafe fn read_clone(
    cx: &mut JSContext,
    realm: &Realm,
    bytes: &[u8],
    value: &mut RootedGuard<'_, JSVal>,
) -> Result<(), Option<CallError>> {
    let max = realm.options.ports.message_bytes;
    foreign::check(bytes, max).map_err(|reason| Some(CallError::NoClone { reason }))?;
    // SAFETY: as the caller answers.
    let read = unsafe { foreign::read(cx, realm, bytes, value) };
    read.map_err(|failed| realm.failure(cx, failed).map(|thrown| CallError::NoClone { reason: thrown.message }))
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

/// What a worker starts with.
pub(crate) struct Start {
    /// Its code; what is wrong with it is told as the worker's own error, in a later task.
    pub(crate) library: Result<Library, AgentError>,
    pub(crate) options: AgentOptions,
    /// Its number is given when it starts.
    pub(crate) seat: Seat,
    /// A message that is there before it runs.
    pub(crate) first: Option<Packet>,
}

/// Starts a worker of this agent as the web's `Worker` does; its number, and our end of the channel to it.
pub(crate) fn spawn_worker(
    realm: &Realm,
    specifier: &str,
    name: String,
    caller: &str,
    place: (u32, u32),
) -> Result<(u64, End), AgentError> {
    let importer = loader::importer_called(realm, caller);
    let library = realm.library.entered_at(&realm.shared, &importer, specifier, place);
    let options = AgentOptions { name, ..realm.options.clone() };
    let seat = Seat { origin: Origin::WebWorker, ..realm.node.seat.clone() };
    start_worker(realm, Start { library, options, seat, first: None })
}

/// Starts a worker of this agent; its number, and our end of the channel to it.
pub(crate) fn start_worker(realm: &Realm, start: Start) -> Result<(u64, End), AgentError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let Start { library, options, seat, first } = start;
    let library = match library {
        Ok(library) => Arc::new(library),
        Err(error) => {
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            let (ours, _) = End::pair(realm.options.ports);
            drop(realm.inbox.push(Task::Worker(id, WorkerEvent::Exit(Exit::Failed(error)))));
            return Ok((id, ours));
        }
    };
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (ours, theirs) = End::pair(realm.options.ports);
    let parent = realm.inbox.clone();
    let hooks = AgentHooks::new(move |thrown: &Thrown| {
        drop(parent.push(Task::Worker(id, WorkerEvent::Error(thrown.clone()))));
    });
    if let Some(first) = first
        && let Err(Refused::Error(error, _)) = ours.post(first)
    {
        return Err(AgentError::Engine(error.to_string()));
    }
    // A worker tells its parent, not the host.
    let options = AgentOptions {
        may_block: true,
        on_start: None,
        on_exit: None,
        on_error: None,
        on_unhandled_rejection: None,
        ..options
    };
    let inbox = Arc::new(Inbox::new(realm.inbox.turns().map(|turns| turns.sit(&options.name))));
    let control = Control::new(inbox.clone());
    let parent = realm.inbox.clone();
    let life = Life {
        shared: realm.shared.clone(),
        library,
        options,
        hooks: Arc::new(hooks),
        inbox,
        control: control.clone(),
        port: theirs,
        seat: Seat { thread: id, ..seat },
        program: None,
    };
    let thread = launch(life, move |exit| drop(parent.push(Task::Worker(id, WorkerEvent::Exit(exit)))))?;
    adopt(realm, id, control, thread);
    Ok((id, ours))
}

/// Makes a thread that was launched a worker of this agent, which stops and joins it.
pub(crate) fn adopt(realm: &Realm, id: u64, control: Arc<Control>, thread: JoinHandle<()>) {
    realm.control.adopt(&control);
    let worker = WorkerThread { control, thread, hold: Some(Hold::new(&realm.inbox)) };
    realm.workers.borrow_mut().insert(id, worker);
}

/// Tells the script what a worker said.
///
/// # Safety
/// As for [`work`].
unsafe fn worker_said(cx: &mut JSContext, realm: &Realm, id: u64, event: WorkerEvent) -> bool {
    let (mut over, mut kind) = (None, "error");
    let thrown = match event {
        WorkerEvent::Error(error) => Some(error),
        WorkerEvent::Exit(exit) => {
            // The code is what Node calls it, the message why it was stopped.
            let why = if let Exit::Terminated(why) = &exit { why } else { "" };
            over = Some(Thrown { name: node::exit_code(&exit).to_string(), message: why.into(), stack: String::new() });
            let worker = realm.workers.borrow_mut().remove(&id);
            if let Some(worker) = worker {
                // It has nothing left to do but to end; a panic there was reported by the panic hook.
                let _ = worker.thread.join();
            }
            match exit {
                Exit::Failed(error) => Some(error.into()),
                Exit::OutOfMemory { heap_bytes } => {
                    kind = "memory";
                    let message = format!("the worker outgrew its limit of {heap_bytes} bytes");
                    Some(Thrown::new("RangeError", &message, ""))
                }
                Exit::Finished | Exit::Closed | Exit::Exited(_) | Exit::Terminated(_) => None,
            }
        }
    };
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        let mut tell = |kind: &str, thrown: Thrown| {
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
            && !tell(kind, thrown)
        {
            return false;
        }
        over.is_none_or(|code| tell("exit", code))
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
        realm.inbox.wait_for_end(worker.control.inbox());
        let _ = worker.thread.join();
    }
    // SAFETY: as the caller answers; each dispatch is run once.
    unsafe {
        let raw = cx.raw_cx();
        // First, so that what waits with a time limit dispatches nothing when it is given back.
        ja::CancelAsyncTasks(raw);
        let given_back = tasks.into_iter().filter_map(|task| match task {
            Task::Engine(dispatch) => Some(dispatch),
            _ => None,
        });
        for dispatch in given_back.chain(iter::from_fn(|| realm.inbox.late_dispatch())) {
            run_dispatch(raw, dispatch, ja::Dispatchable_MaybeShuttingDown::ShuttingDown);
        }
        ja::ShutdownAsyncTasks(raw);
        crate::agent::discard_tasks(cx);
    }
    drop((realm.asked.take(), realm.early.take(), realm.broadcasts.take()));
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
///
/// An inbox takes it also when it is closed, for the teardown to give back: a task that is refused is destroyed under the
/// locks that its destructor takes, and the process hangs.
unsafe extern "C" fn dispatch(inbox: *mut c_void, dispatchable: *mut u8) -> bool {
    // SAFETY: the closure is the inbox, which outlives the runtime; the other is the address of a `UniquePtr`, a word, which
    // is emptied only if the task is taken.
    unsafe {
        let (inbox, slot) = (&*inbox.cast::<Inbox>(), dispatchable.cast::<usize>());
        take_dispatch(slot, inbox.push(Task::Engine(Dispatch(slot.read()))).is_ok())
    }
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
    unsafe { &*inbox.cast::<Inbox>() }.engine_began();
}

unsafe extern "C" fn task_ended(inbox: *mut c_void, _: *mut ja::Dispatchable) {
    // SAFETY: as in `dispatch`.
    unsafe { &*inbox.cast::<Inbox>() }.engine_ended();
}

/// The engine's question whether to go on.
unsafe extern "C" fn interrupted(_: *mut RawJSContext) -> bool {
    // SAFETY: called by the engine on the agent's thread, where scripts run and it may collect.
    unsafe { Realm::here().is_none_or(|realm| realm.meter.decide() && !realm.is_stopped()) }
}

/// Keeps what a `FinalizationRegistry` has to clean up for a task of its own. Called by the collector, when it is done.
unsafe extern "C" fn has_cleanup(function: *mut ja::JSFunction, _: *mut JSObject, _: *mut c_void) {
    // SAFETY: called by the engine on the agent's thread.
    let Some(realm) = (unsafe { Realm::here() }) else { return };
    // SAFETY: the function is alive, and in the list, which is traced, before anything else is done.
    let function = unsafe { ja::Heap::boxed(ja::JS_GetFunctionObject(function)) };
    realm.cleanups.borrow_mut().push_back(function);
    drop(realm.inbox.push(Task::Cleanup));
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
