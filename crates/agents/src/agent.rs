//! An agent: one cluster's realm on one thread, its modules, and the jobs bound in it.
//!
//! Natives and hooks find the agent that runs by the context's private pointer, which is set while an agent is
//! [entered](Roots::enter) and null (or the outer agent's) otherwise.
//!
//! # Rules
//! - An agent is used on its own thread only, and by one call at a time.
//! - Everything of the engine that Rust keeps lies in [`Roots`] or [`BoundRoots`](crate::job::BoundRoots), which are traced.
//! - No `RefCell` of the roots is borrowed while the engine may collect: tracing borrows them.
//! - A native never unwinds into the engine ([`guarded`]).

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::conversions::jsstr_to_string;
use mozjs::error::{throw_range_error, throw_type_error};
use mozjs::gc::{Handle, HandleValue, RootedGuard};
use mozjs::jsapi as ja;
use mozjs::jsapi::{CallArgs, Heap, JSGCParamKey, JSGCStatus, JSObject, JSTracer, OnNewGlobalHookOption, Value};
use mozjs::jsval::{BooleanValue, DoubleValue, JSVal, ObjectValue, UndefinedValue};
use mozjs::rust::{
    CompileOptionsWrapper, CustomAutoRooter, RealmOptions, RootedTraceableBox, SIMPLE_GLOBAL_CLASS, Trace,
    error_info_from_exception_stack, evaluate_script,
};
use mozjs::{glue, rooted};
use peristyle_jobs::{JobCall, JobError};

use crate::AgentError;
use crate::attach::Attached;
use crate::cluster::{Control, Shared, Why};
use crate::collections::{Collections, Part};
use crate::console::Level;
use crate::host::Host;
use crate::job::Bound;
use crate::kernel::{Compiled, Instance};
use crate::memory::shared_realm_options;
use crate::modules::Module;
use crate::values::{Watched, values};

/// What an agent's realm has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RealmKind {
    /// Neither shared memory nor WebAssembly: its jobs are lent their columns.
    Lent,
    /// `SharedArrayBuffer` and `Atomics` for its jobs, WebAssembly for kernels.
    Shared,
}

/// A lane's hold on an agent, which the end of the thread may close first.
#[derive(Default)]
pub(crate) struct Slot(RefCell<Option<Agent>>);

impl Slot {
    /// Whether there is an agent.
    pub(crate) fn is_open(&self) -> bool {
        self.0.try_borrow().is_ok_and(|agent| agent.is_some())
    }

    /// Drops the agent.
    pub(crate) fn close(&self) {
        let agent = self.0.try_borrow_mut().ok().and_then(|mut agent| agent.take());
        drop(agent);
    }

    /// Runs `f` with the agent, made if there is none.
    pub(crate) fn with<R, E: From<AgentError>>(
        self: &Rc<Slot>,
        shared: &Arc<Shared>,
        kind: RealmKind,
        f: impl FnOnce(&mut Agent) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut slot = self.0.borrow_mut();
        let agent = match &mut *slot {
            Some(agent) => agent,
            empty => {
                let agent = empty.insert(Agent::new(shared, kind, true)?);
                Host::watch(self);
                agent
            }
        };
        f(agent)
    }
}

/// One cluster's realm on one thread.
pub(crate) struct Agent {
    /// Jobs bound here, by job and shape.
    pub(crate) bound: Vec<Bound>,
    /// Kernels compiled here, and instances of them.
    pub(crate) compiled: Vec<Compiled>,
    pub(crate) instances: Vec<Instance>,
    /// The engine's memories that jobs here were called on.
    pub(crate) attached: Vec<Attached>,
    pub(crate) roots: RootedTraceableBox<Roots>,
    /// Last: the runtime outlives its roots.
    pub(crate) host: Rc<Host>,
}

/// What an agent keeps of the engine, and what its natives need.
pub(crate) struct Roots {
    pub(crate) global: Heap<*mut JSObject>,
    describe: Heap<JSVal>,
    pub(crate) freeze: Heap<JSVal>,
    /// Compiles and links kernels, in a shared realm.
    pub(crate) compile: Heap<JSVal>,
    pub(crate) link: Heap<JSVal>,
    /// `snap.entity` and the function behind `snap.eids`.
    pub(crate) entity: Heap<JSVal>,
    pub(crate) eids: Heap<JSVal>,
    /// The function behind `snap.comps[id].values`.
    pub(crate) values: Heap<JSVal>,
    /// The buffer of this call's `snap.eids`, if the job asked for it.
    pub(crate) eids_buffer: Heap<*mut JSObject>,
    pub(crate) modules: RefCell<Vec<Module>>,
    /// Promises rejected without a handler in this call.
    #[expect(clippy::vec_box, reason = "the collector's barriers know a heap pointer by its address")]
    pub(crate) unhandled: RefCell<Vec<Box<Heap<*mut JSObject>>>>,
    /// The parts of the call that runs; none while none does.
    pub(crate) calls: Cell<*const [JobCall<'static>]>,
    /// What a check compares with what the job was given, and why a value could not be given to it.
    pub(crate) watched: RefCell<Vec<Watched>>,
    pub(crate) refused: RefCell<Option<JobError>>,
    /// Why loading failed, typed.
    pub(crate) failure: RefCell<Option<AgentError>>,
    pub(crate) import_depth: Cell<u32>,
    heap_full: Cell<bool>,
    pub(crate) collections: Collections,
    /// Whether `console` prints.
    audible: bool,
    pub(crate) control: Arc<Control>,
    pub(crate) shared: Arc<Shared>,
}

// SAFETY: every `Heap` in the struct is traced; the rest holds nothing of the engine.
unsafe impl Trace for Roots {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the engine's tracer, handed on.
        unsafe {
            self.global.trace(tracer);
            for value in [&self.describe, &self.freeze, &self.compile, &self.link, &self.entity, &self.eids] {
                value.trace(tracer);
            }
            self.values.trace(tracer);
            self.eids_buffer.trace(tracer);
            for watched in &*self.watched.borrow() {
                watched.trace(tracer);
            }
            for module in &*self.modules.borrow() {
                module.object.trace(tracer);
            }
            for promise in &*self.unhandled.borrow() {
                promise.trace(tracer);
            }
        }
    }
}

/// The parts of no call.
pub(crate) const NO_CALLS: *const [JobCall<'static>] = ptr::slice_from_raw_parts(ptr::null(), 0);

impl Roots {
    /// The parts of the call that runs.
    ///
    /// # Safety
    /// The result is not used after the call.
    pub(crate) unsafe fn parts(&self) -> Option<&[JobCall<'_>]> {
        // SAFETY: the pointer is null or set by `Bound::call` to parts that live until the call returned.
        unsafe { self.calls.get().as_ref() }
    }

    /// The roots of the agent that runs on this context.
    ///
    /// # Safety
    /// `raw` is this thread's context, and the result is not used after that agent was left.
    pub(crate) unsafe fn of<'a>(raw: *mut RawJSContext) -> Option<&'a Roots> {
        // SAFETY: the private pointer is null or set by `Agent::enter` to roots that live until the agent is left.
        unsafe { ja::JS_GetContextPrivate(raw).cast::<Roots>().as_ref() }
    }

    /// What was thrown, as text.
    pub(crate) fn describe(&self, cx: &mut JSContext, value: HandleValue<'_>) -> Thrown {
        let unknown = || Thrown { name: "Error".into(), message: "cannot be described".into(), stack: String::new() };
        // SAFETY: the context is alive and in this agent's realm; values are rooted.
        unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let mut described = UndefinedValue());
            let arguments = ja::HandleValueArray { length_: 1, elements_: &*value };
            let (this, function) = (ja::UndefinedHandleValue, self.describe.handle());
            if !ja::Call(raw, this, function, &arguments, described.handle_mut().into()) || !described.is_object() {
                ja::JS_ClearPendingException(raw);
                return unknown();
            }
            rooted!(in(raw) let described = described.to_object());
            let mut texts = [const { String::new() }; 3];
            for (at, text) in texts.iter_mut().enumerate() {
                rooted!(in(raw) let mut part = UndefinedValue());
                if !ja::JS_GetElement(raw, described.handle().into(), at as u32, part.handle_mut().into()) {
                    ja::JS_ClearPendingException(raw);
                    return unknown();
                }
                *text = string(cx, part.get());
            }
            let [name, message, stack] = texts;
            Thrown { name, message, stack: frames(&stack) }
        }
    }

    /// Evaluates a script of ours in this agent's realm.
    pub(crate) fn evaluate(
        &self,
        cx: &mut JSContext,
        script: &str,
        name: &'static CStr,
        value: &mut RootedGuard<'_, JSVal>,
    ) -> Result<(), Failure> {
        // SAFETY: the global is traced where it lies: in the roots, which live until after the call.
        let global = unsafe { Handle::from_raw(self.global.handle()) };
        let options = CompileOptionsWrapper::new(cx, name.to_owned(), 1);
        evaluate_script(cx, global, script, value.handle_mut(), options).map_err(|()| take_failure(cx, self))
    }

    /// Makes this agent the one that natives and hooks find, until the result is dropped.
    ///
    /// # Safety
    /// `cx` is the context of this agent's thread, which is this one, and the roots are boxed.
    pub(crate) unsafe fn enter(&self, cx: *mut RawJSContext) -> Entered<'_> {
        self.heap_full.set(false);
        self.control.begin();
        // SAFETY: the roots live until after `Entered`, which restores what was there.
        let outer = unsafe {
            let outer = ja::JS_GetContextPrivate(cx);
            ja::JS_SetContextPrivate(cx, ptr::from_ref(self).cast_mut().cast());
            outer
        };
        Entered { roots: self, outer, cx }
    }

    /// Why a promise was rejected. The engine turns a stop into a rejection without a reason where a module is evaluated.
    pub(crate) fn rejection(&self, cx: &mut JSContext, reason: HandleValue<'_>) -> Failure {
        if self.stopped() { Failure::Terminated(self.why()) } else { Failure::Threw(self.describe(cx, reason)) }
    }

    /// Whether what runs has been told to stop.
    fn stopped(&self) -> bool {
        self.heap_full.get() || self.control.must_stop()
    }

    fn why(&self) -> String {
        if self.heap_full.get() {
            return format!("its heap grew beyond {} bytes", self.shared.limits.heap_bytes);
        }
        match self.control.why() {
            Why::Asked => "interrupted".into(),
            Why::Overran => format!("it overran its deadline of {:?}", self.control.deadline()),
            Why::Killed => "its worker was killed".into(),
            Why::TooLong => format!("it ran longer than {:?}", self.shared.limits.call_time.unwrap_or_default()),
        }
    }
}

impl Agent {
    /// A new agent on this thread, whose console prints if it is `audible`.
    pub(crate) fn new(shared: &Arc<Shared>, kind: RealmKind, audible: bool) -> Result<Agent, AgentError> {
        let host = Host::of_this_thread(&shared.parent)?;
        let control = shared.register(host.remote());
        let roots = RootedTraceableBox::new(Roots {
            global: Heap::default(),
            describe: Heap::default(),
            freeze: Heap::default(),
            compile: Heap::default(),
            link: Heap::default(),
            entity: Heap::default(),
            eids: Heap::default(),
            values: Heap::default(),
            eids_buffer: Heap::default(),
            modules: RefCell::default(),
            unhandled: RefCell::default(),
            calls: Cell::new(NO_CALLS),
            watched: RefCell::default(),
            refused: RefCell::default(),
            failure: RefCell::default(),
            import_depth: Cell::new(0),
            heap_full: Cell::new(false),
            collections: Collections::new(),
            audible,
            control,
            shared: shared.clone(),
        });
        let agent =
            Agent { bound: Vec::new(), compiled: Vec::new(), instances: Vec::new(), attached: Vec::new(), roots, host };
        agent.start(kind)?;
        Ok(agent)
    }

    /// Whether this is the agent's thread.
    pub(crate) fn is_here(&self) -> Result<(), JobError> {
        if self.host.is_here() {
            return Ok(());
        }
        Err(JobError::Load("the lane left the thread of its agent".into()))
    }

    /// Makes the realm.
    fn start(&self, kind: RealmKind) -> Result<(), AgentError> {
        let failed = || AgentError::Engine("the realm cannot be made".into());
        // SAFETY: no other context wrapper of this thread is in use here.
        let mut cx = unsafe { self.host.context() };
        let cx = &mut cx;
        // SAFETY: the context is this thread's, alive; everything that may move is rooted; natives are static functions
        // that never unwind.
        unsafe {
            let raw = cx.raw_cx();
            let mut options = match kind {
                RealmKind::Lent => RealmOptions::default(),
                RealmKind::Shared => shared_realm_options(),
            };
            // Collections throw compiled code away by default: jobs would start over in the interpreter, many times a
            // minute.
            options.creationOptions_.preserveJitCode_ = true;
            let hook = OnNewGlobalHookOption::FireOnNewGlobalHook;
            rooted!(in(raw) let global =
                ja::JS_NewGlobalObject(raw, &SIMPLE_GLOBAL_CLASS, ptr::null_mut(), hook, &*options));
            if global.is_null() {
                return Err(failed());
            }
            self.roots.global.set(global.get());
            let _entered = self.roots.enter(raw);
            let _realm = ja::JSAutoRealm::new(raw, global.get());
            rooted!(in(raw) let mut value = UndefinedValue());
            // First, for it takes its intrinsics before the prelude changes some.
            rooted!(in(raw) let mut inspect = UndefinedValue());
            self.roots.evaluate(cx, include_str!("inspect.js"), c"peristyle:inspect", &mut inspect)?;
            self.roots.evaluate(cx, include_str!("prelude.js"), c"peristyle:prelude", &mut value)?;
            let native = |name: &'static CStr, native, arguments| {
                let function = ja::JS_NewFunction(raw, native, arguments, 0, name.as_ptr());
                NonNull::new(ja::JS_GetFunctionObject(function)).ok_or_else(failed)
            };
            rooted!(in(raw) let print = ObjectValue(native(c"print", Some(print), 2)?.as_ptr()));
            self.roots.entity.set(ObjectValue(native(c"entity", Some(entity), 1)?.as_ptr()));
            self.roots.eids.set(ObjectValue(native(c"eids", Some(eids), 0)?.as_ptr()));
            self.roots.values.set(ObjectValue(native(c"values", Some(values), 2)?.as_ptr()));
            let shared = BooleanValue(kind == RealmKind::Shared);
            let mut rooter = CustomAutoRooter::new(vec![print.get(), shared, inspect.get()]);
            let arguments = rooter.root(raw);
            let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
            rooted!(in(raw) let mut tools = UndefinedValue());
            let (this, function) = (ja::UndefinedHandleValue, value.handle().into());
            if !ja::Call(raw, this, function, &arguments, tools.handle_mut().into()) || !tools.is_object() {
                return Err(take_failure(cx, &self.roots).into());
            }
            rooted!(in(raw) let tools = tools.to_object());
            for (at, heap) in [&self.roots.describe, &self.roots.freeze, &self.roots.compile, &self.roots.link]
                .into_iter()
                .enumerate()
            {
                if !ja::JS_GetElement(raw, tools.handle().into(), at as u32, value.handle_mut().into()) {
                    return Err(failed());
                }
                heap.set(value.get());
            }
        }
        Ok(())
    }
}

/// While an agent runs.
pub(crate) struct Entered<'a> {
    roots: &'a Roots,
    outer: *mut c_void,
    cx: *mut RawJSContext,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: the context outlives the agent, whose host holds it.
        unsafe {
            ja::JS_SetContextPrivate(self.cx, self.outer);
            self.roots.control.end();
            if self.roots.heap_full.get() {
                ja::JS_GC(self.cx, ja::GCReason::API);
            }
        }
    }
}

/// What a job threw.
pub(crate) struct Thrown {
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) stack: String,
}

/// Why JavaScript did not finish.
pub(crate) enum Failure {
    Threw(Thrown),
    Terminated(String),
}

impl From<Failure> for AgentError {
    fn from(failure: Failure) -> AgentError {
        match failure {
            Failure::Threw(Thrown { name, message, stack }) => AgentError::Threw { name, message, stack },
            Failure::Terminated(why) => AgentError::Terminated(why),
        }
    }
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> JobError {
        match failure {
            Failure::Threw(Thrown { name, message, stack }) => JobError::Threw { name, message, stack },
            Failure::Terminated(why) => JobError::Terminated(why),
        }
    }
}

/// Takes the pending exception; without one the agent was terminated.
pub(crate) fn take_failure(cx: &mut JSContext, roots: &Roots) -> Failure {
    // SAFETY: the context is alive and in the agent's realm; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        if !ja::JS_IsExceptionPending(raw) {
            return Failure::Terminated(roots.why());
        }
        rooted!(in(raw) let mut value = UndefinedValue());
        let known = ja::JS_GetPendingException(raw, value.handle_mut().into());
        rooted!(in(raw) let mut again = UndefinedValue());
        // Only this knows where what is no `Error` was thrown.
        let place = error_info_from_exception_stack(cx, again.handle_mut());
        ja::JS_ClearPendingException(raw);
        if !known {
            return Failure::Terminated(roots.why());
        }
        let mut thrown = roots.describe(cx, value.handle());
        if let Some(place) =
            place.filter(|place| !place.filename.is_empty() && !place.filename.starts_with("peristyle:"))
            && thrown.stack.is_empty()
        {
            thrown.stack = format!("{}:{}:{}", place.filename, place.line, place.col);
        }
        Failure::Threw(thrown)
    }
}

/// Frames of a stack in V8's format, one a line, without its heading and without ours. Kernels' frames name the script
/// that compiled them, which is ours: only the function and the offset in the module are kept.
fn frames(stack: &str) -> String {
    let frames = stack.lines().filter_map(|line| line.trim_start().strip_prefix("at "));
    let told = frames.filter_map(|frame| match frame.split_once("(peristyle:") {
        Some((function, place)) => {
            let (_, place) = place.split_once("> WebAssembly.Module:")?;
            Some(format!("{}{}", function.trim_start(), place.trim_end_matches(')')))
        }
        None => (!frame.contains("peristyle:")).then(|| frame.to_owned()),
    });
    told.collect::<Vec<_>>().join("\n")
}

/// The text of a string value.
pub(crate) fn string(cx: &JSContext, value: JSVal) -> String {
    if !value.is_string() {
        return String::new();
    }
    // SAFETY: a string that its caller keeps rooted; nothing collects in between.
    NonNull::new(value.to_string()).map(|text| unsafe { jsstr_to_string(cx, text) }).unwrap_or_default()
}

/// Runs microtasks until there are none; `false` if the agent was terminated, the rest of its tasks then being dropped.
pub(crate) fn drain(cx: &mut JSContext) -> bool {
    // SAFETY: the context is alive; tasks are rooted while they run, each in the realm of its own global.
    unsafe {
        let raw = cx.raw_cx();
        let mut terminated = false;
        while ja::HasAnyMicroTasks(raw) {
            rooted!(in(raw) let mut job = UndefinedValue());
            glue::JS_DequeueNextMicroTask(raw, job.handle_mut().into());
            if terminated {
                continue;
            }
            if !ja::HasAnyMicroTasks(raw) {
                // Lets `await` go on without another turn; the engine takes it back when a task is enqueued.
                ja::JobQueueIsEmpty(raw);
            }
            if !ja::IsJSMicroTask(&job.get()) {
                continue;
            }
            rooted!(in(raw) let task = ja::ToMaybeWrappedJSMicroTask(&job.get()));
            let global = ja::GetExecutionGlobalFromJSMicroTask(task.get());
            if global.is_null() {
                continue;
            }
            let _realm = ja::JSAutoRealm::new(raw, global);
            if !ja::RunJSMicroTask(raw, task.handle().into()) {
                if ja::JS_IsExceptionPending(raw) {
                    ja::JS_ClearPendingException(raw);
                } else {
                    terminated = true;
                }
            }
        }
        !terminated
    }
}

/// Drops all microtasks without running them: those of a call that was terminated must not see the next one.
pub(crate) fn discard_tasks(cx: &mut JSContext) {
    // SAFETY: the context is alive; the task is rooted.
    unsafe {
        let raw = cx.raw_cx();
        while ja::HasAnyMicroTasks(raw) {
            rooted!(in(raw) let mut job = UndefinedValue());
            glue::JS_DequeueNextMicroTask(raw, job.handle_mut().into());
        }
    }
}

/// Runs the body of a native: a panic becomes a JavaScript error.
pub(crate) fn guarded(raw: *mut RawJSContext, body: impl FnOnce(&mut JSContext) -> bool) -> bool {
    // SAFETY: the engine calls natives and hooks with this thread's context, and nobody else uses it meanwhile.
    let mut cx = unsafe { JSContext::from_ptr(NonNull::new_unchecked(raw)) };
    catch_unwind(AssertUnwindSafe(|| body(&mut cx))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        throw(&mut cx, &format!("the host panicked: {text}"));
        false
    })
}

/// Throws a `TypeError`.
pub(crate) fn throw(cx: &mut JSContext, message: &str) {
    throw_type_error(cx, &CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default());
}

/// Prints a line: level, text.
unsafe extern "C" fn print(raw: *mut RawJSContext, argc: u32, vp: *mut Value) -> bool {
    guarded(raw, |cx| {
        // SAFETY: the engine calls natives with their arguments; values are read before anything can collect.
        unsafe {
            let arguments = CallArgs::from_vp(vp, argc);
            arguments.rval().set(UndefinedValue());
            if let Some(roots) = Roots::of(raw).filter(|roots| roots.audible) {
                let level = arguments.get(0).get();
                let level = Level::from_index(if level.is_int32() { level.to_int32() } else { 1 });
                let text = string(cx, arguments.get(1).get());
                roots.shared.console.print(level, &text);
            }
        }
        true
    })
}

/// `snap.entity(i)`: the handle of a row; of the part that is the second argument, if there are several.
unsafe extern "C" fn entity(raw: *mut RawJSContext, argc: u32, vp: *mut Value) -> bool {
    guarded(raw, |cx| {
        // SAFETY: the engine calls natives with their arguments. The call lives while the pointer is set, and its entity
        // indices have `rows` elements, as `JobCall::lease` was promised.
        unsafe {
            let arguments = CallArgs::from_vp(vp, argc);
            let part = arguments.get(1).get();
            let part = if part.is_int32() { part.to_int32() as usize } else { 0 };
            let Some(call) = Roots::of(raw).and_then(|roots| roots.parts()?.get(part)) else {
                throw(cx, "snap.entity: the call has ended");
                return false;
            };
            let row = arguments.get(0).get();
            let row = if row.is_int32() { i64::from(row.to_int32()) } else { whole(row) };
            if row < 0 || row >= i64::from(call.rows) || row >= i64::from(call.eids.len) {
                throw_range_error(cx, c"snap.entity: no such row in this call");
                return false;
            }
            let index = call.eids.ptr.cast::<u32>().add(row as usize).read();
            arguments.rval().set(DoubleValue(call.entities.entity(index).to_f64()));
        }
        true
    })
}

/// A whole number in a double, or -1.
fn whole(value: JSVal) -> i64 {
    if !value.is_double() {
        return -1;
    }
    let number = value.to_double();
    if number.trunc() == number && number.abs() < 9e15 { number as i64 } else { -1 }
}

/// What `snap.eids` gives: a copy of the rows' entity indices, those of all parts one after the other. The indices
/// themselves are the world's own, not a column that a job may write.
unsafe extern "C" fn eids(raw: *mut RawJSContext, argc: u32, vp: *mut Value) -> bool {
    guarded(raw, |cx| {
        // SAFETY: as in `entity`; the buffer's memory is used before anything can collect.
        unsafe {
            let arguments = CallArgs::from_vp(vp, argc);
            let Some((roots, parts)) = Roots::of(raw).and_then(|roots| Some((roots, roots.parts()?))) else {
                throw(cx, "snap.eids: the call has ended");
                return false;
            };
            let bytes = parts.iter().map(|part| part.eids.bytes()).sum::<usize>();
            rooted!(in(raw) let buffer = ja::NewArrayBuffer(raw, bytes));
            if buffer.is_null() {
                return false;
            }
            let mut shared = false;
            let mut data = ja::GetArrayBufferData(buffer.get(), &mut shared, ptr::null());
            if data.is_null() {
                throw(cx, "snap.eids: the buffer has no memory");
                return false;
            }
            for part in parts {
                ptr::copy_nonoverlapping(part.eids.ptr.as_ptr(), data, part.eids.bytes());
                data = data.add(part.eids.bytes());
            }
            let view = ja::JS_NewInt32ArrayWithBuffer(raw, buffer.handle().into(), 0, (bytes / 4) as i64);
            if view.is_null() {
                return false;
            }
            roots.eids_buffer.set(buffer.get());
            arguments.rval().set(ObjectValue(view));
        }
        true
    })
}

/// The engine's question whether to go on.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn interrupted(raw: *mut RawJSContext) -> bool {
    // SAFETY: called by the engine on the agent's thread.
    match unsafe { Roots::of(raw) } {
        Some(roots) => !roots.stopped(),
        None => true,
    }
}

/// Stops the call that outgrew its heap: the engine's own limit would only make it collect for ever.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn collected(
    raw: *mut RawJSContext,
    status: JSGCStatus,
    _reason: ja::GCReason,
    _data: *mut c_void,
) {
    if status != JSGCStatus::JSGC_END {
        return;
    }
    // SAFETY: called by the engine on the agent's thread; neither call collects.
    unsafe {
        if let Some(roots) = Roots::of(raw) {
            let bytes = ja::JS_GetGCParameter(raw, JSGCParamKey::JSGC_BYTES);
            if u64::from(bytes) > roots.shared.limits.heap_bytes {
                roots.heap_full.set(true);
                ja::JS_RequestInterruptCallback(raw);
            }
        }
    }
}

/// Records a slice of a collection.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn slice(
    raw: *mut RawJSContext,
    progress: ja::GCProgress,
    _description: *const ja::GCDescription,
) {
    // SAFETY: called by the engine on the agent's thread, while an agent is entered or none; recording never collects.
    let Some(roots) = (unsafe { Roots::of(raw) }) else { return };
    match progress {
        ja::GCProgress::GC_SLICE_BEGIN => roots.collections.begin(Part::Slice),
        ja::GCProgress::GC_SLICE_END => roots.collections.end(Part::Slice),
        ja::GCProgress::GC_CYCLE_BEGIN | ja::GCProgress::GC_CYCLE_END => {}
    }
}

/// Records that the nursery is emptied.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn nursery(
    raw: *mut RawJSContext,
    progress: ja::GCNurseryProgress,
    _reason: ja::GCReason,
    _data: *mut c_void,
) {
    // SAFETY: as for `slice`.
    let Some(roots) = (unsafe { Roots::of(raw) }) else { return };
    match progress {
        ja::GCNurseryProgress::GC_NURSERY_COLLECTION_START => roots.collections.begin(Part::Nursery),
        ja::GCNurseryProgress::GC_NURSERY_COLLECTION_END => roots.collections.end(Part::Nursery),
    }
}

/// Keeps the promises that are rejected without a handler.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn rejected(
    raw: *mut RawJSContext,
    _muted: bool,
    promise: ja::HandleObject,
    state: ja::PromiseRejectionHandlingState,
    _data: *mut c_void,
) {
    // SAFETY: called by the engine on the agent's thread, with a rooted promise.
    let Some(roots) = (unsafe { Roots::of(raw) }) else { return };
    let mut unhandled = roots.unhandled.borrow_mut();
    match state {
        ja::PromiseRejectionHandlingState::Unhandled => unhandled.push(Heap::boxed(promise.get())),
        ja::PromiseRejectionHandlingState::Handled => unhandled.retain(|known| known.get() != promise.get()),
    }
}
