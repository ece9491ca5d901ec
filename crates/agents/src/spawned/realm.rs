//! A spawned agent's realm: what its thread keeps of the engine, and the tools that `web.js` gives to Rust.
//!
//! Natives and hooks find the realm by a thread-local, which is set while the agent lives. The context's private pointer
//! stays null, which tells the hooks of jobs (`crate::agent`) that no job's agent runs here.
//!
//! # Rules
//! - Everything of the engine that Rust keeps lies in [`Realm`], which is traced.
//! - No `RefCell` of it is borrowed while the engine may collect: tracing borrows them.
//! - A native never unwinds into the engine.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::{Handle, HandleValue, RootedGuard};
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject, JSTracer, OnNewGlobalHookOption};
use mozjs::jsval::{BooleanValue, DoubleValue, JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::{CompileOptionsWrapper, CustomAutoRooter, RealmOptions, RootedTraceableBox, Trace, evaluate_script};

use super::broadcast::Subscription;
use super::clone::PortBox;
use super::control::Control;
use super::convert::{Converted, Pending, done, text_to_js};
use super::event_loop::{Asked, CallTask, Life};
use super::global;
use super::inbox::{Due, Inbox};
use super::loader::{Library, Module};
use super::locks::Locks;
use super::meter::Meter;
use super::natives;
use super::node;
use super::port::End;
use super::scripts::{INSPECT, Part, WEB};
use super::{AgentHooks, AgentOptions, Exit, Thrown, WorkerThread};
use crate::AgentError;
use crate::agent::string;
use crate::cluster::Shared;

thread_local!(static HERE: Cell<*const Realm> = const { Cell::new(ptr::null()) });

/// A function of `web.js` that Rust calls; its place in the list that `web.js` evaluates to.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(crate) enum Tool {
    Describe,
    Exception,
    Entries,
    Deliver,
    DeliverError,
    Closed,
    Timer,
    Call,
    Settle,
    Started,
    Rejected,
    Worker,
    Woken,
    Part,
    Broadcast,
    Resolver,
    Count,
}

/// What a realm keeps, and what its natives need.
pub(crate) struct Realm {
    global: Heap<*mut JSObject>,
    tools: [Heap<JSVal>; Tool::Count as usize],
    port_prototype: Heap<*mut JSObject>,
    exception_prototype: Heap<*mut JSObject>,
    /// The main module's, once it is linked.
    pub(crate) namespace: Heap<*mut JSObject>,
    pub(crate) modules: RefCell<Vec<Module>>,
    /// Ports that listen, by the names that tasks use.
    pub(crate) ports: RefCell<HashMap<u64, Box<Heap<*mut JSObject>>>>,
    /// Promises rejected without a handler in this task.
    #[expect(clippy::vec_box, reason = "the collector's barriers know a heap pointer by its address")]
    pub(crate) unhandled: RefCell<Vec<Box<Heap<*mut JSObject>>>>,
    /// Functions that clean up for `FinalizationRegistry`s, one for each task.
    pub(crate) cleanups: RefCell<VecDeque<Box<Heap<*mut JSObject>>>>,
    pub(crate) timers: RefCell<HashMap<u32, Due>>,
    /// Calls that wait for an answer, by number.
    pub(crate) asked: RefCell<HashMap<u32, Asked>>,
    pub(crate) asked_before: Cell<u32>,
    /// Calls that came before the main module was evaluated.
    pub(crate) early: RefCell<VecDeque<CallTask>>,
    pub(crate) workers: RefCell<HashMap<u64, WorkerThread>>,
    pub(crate) locks: Locks,
    /// Scripts that have run, or run: `web.js` ([`WEB_BIT`]), and parts by their places in the table of [`Part`]s.
    ran: Cell<u64>,
    /// The agent's end of the channel to whoever spawned it, until `web.js` has it.
    port: Cell<Option<End>>,
    /// The `MessagePort` of that end, once `web.js` has it.
    own_port: Heap<*mut JSObject>,
    /// Open `BroadcastChannel`s, by number.
    pub(crate) broadcasts: RefCell<HashMap<u64, Subscription>>,
    pub(crate) phase: Cell<Phase>,
    /// Why the main module failed.
    pub(crate) failure: RefCell<Option<AgentError>>,
    pub(crate) import_depth: Cell<u32>,
    pub(crate) meter: Meter,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) control: Arc<Control>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) library: Arc<Library>,
    pub(crate) options: AgentOptions,
    pub(crate) hooks: Arc<AgentHooks>,
    pub(crate) node: node::State,
}

const WEB_BIT: u64 = 1 << 63;

/// Stack that our scripts need when they are run, in bytes; with room.
pub(super) const SCRIPT_STACK_BYTES: usize = 64 << 10;

/// How far an agent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The main module is being evaluated, maybe for several tasks.
    Starting,
    Running,
    /// The script closed its agent, or the main module failed.
    Closing,
}

// SAFETY: every `Heap` in the struct is traced; the rest holds nothing of the engine.
unsafe impl Trace for Realm {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the engine's tracer, handed on.
        unsafe {
            self.global.trace(tracer);
            self.port_prototype.trace(tracer);
            self.exception_prototype.trace(tracer);
            self.namespace.trace(tracer);
            self.node.trace(tracer);
            self.locks.trace(tracer);
            self.own_port.trace(tracer);
            for tool in &self.tools {
                tool.trace(tracer);
            }
            for module in &*self.modules.borrow() {
                module.object.trace(tracer);
            }
            for port in self.ports.borrow().values() {
                port.trace(tracer);
            }
            for promise in &*self.unhandled.borrow() {
                promise.trace(tracer);
            }
            for function in &*self.cleanups.borrow() {
                function.trace(tracer);
            }
        }
    }
}

/// While natives find the realm.
pub(crate) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(ptr::null());
    }
}

impl Realm {
    /// The realm of this thread's agent.
    ///
    /// # Safety
    /// The result is not used after the agent was left.
    pub(crate) unsafe fn here<'a>() -> Option<&'a Realm> {
        // SAFETY: the pointer is null, or set by `enter` to a boxed realm that outlives `Entered`.
        unsafe { HERE.get().as_ref() }
    }

    /// Makes natives find this realm until the result is dropped.
    pub(crate) fn enter(realm: &RootedTraceableBox<Realm>) -> Entered {
        HERE.set(&raw const **realm);
        Entered(())
    }

    pub(crate) fn new(life: Life) -> RootedTraceableBox<Realm> {
        let Life { shared, library, options, hooks, inbox, control, port, seat, program: _ } = life;
        RootedTraceableBox::new(Realm {
            global: Heap::default(),
            tools: Default::default(),
            port_prototype: Heap::default(),
            exception_prototype: Heap::default(),
            namespace: Heap::default(),
            modules: RefCell::default(),
            ports: RefCell::default(),
            unhandled: RefCell::default(),
            cleanups: RefCell::default(),
            timers: RefCell::default(),
            asked: RefCell::default(),
            asked_before: Cell::new(0),
            early: RefCell::default(),
            workers: RefCell::default(),
            locks: Locks::default(),
            ran: Cell::new(0),
            port: Cell::new(Some(port)),
            own_port: Heap::default(),
            broadcasts: RefCell::default(),
            phase: Cell::new(Phase::Starting),
            failure: RefCell::default(),
            import_depth: Cell::new(0),
            meter: Meter::new(options.heap_bytes),
            inbox,
            control,
            shared,
            library,
            options,
            hooks,
            node: node::State::new(seat),
        })
    }

    /// Makes the global object.
    ///
    /// # Safety
    /// `raw` is this thread's context, alive.
    pub(crate) unsafe fn make_global(&self, raw: *mut RawJSContext) -> Result<(), AgentError> {
        // SAFETY: as the caller answers; the global is traced from the moment it is set.
        unsafe {
            let mut options = RealmOptions::default();
            // Collections throw compiled code away by default.
            options.creationOptions_.preserveJitCode_ = true;
            options.creationOptions_.sharedMemoryAndAtomics_ = self.options.shared_memory;
            options.creationOptions_.defineSharedArrayBufferConstructor_ = self.options.shared_memory;
            let hook = OnNewGlobalHookOption::FireOnNewGlobalHook;
            let global = ja::JS_NewGlobalObject(raw, &global::CLASS, ptr::null_mut(), hook, &*options);
            if global.is_null() {
                return Err(AgentError::Engine("the realm cannot be made".into()));
            }
            self.global.set(global);
        }
        Ok(())
    }

    /// Runs `web.js` if it has not run yet; whether it did.
    ///
    /// # Safety
    /// `cx` is this thread's context, in this realm, which is entered.
    pub(crate) unsafe fn run_web(&self, cx: &mut JSContext) -> Converted<bool> {
        if self.has_web() {
            return Ok(false);
        }
        needs_stack(cx, SCRIPT_STACK_BYTES)?;
        self.ran.set(self.ran.get() | WEB_BIT);
        // SAFETY: as the caller answers.
        let ran = unsafe { self.evaluate_web(cx) };
        if ran.is_err() {
            self.ran.set(self.ran.get() & !WEB_BIT);
        }
        ran.map(|()| true)
    }

    /// Whether `web.js` has run, or runs.
    pub(crate) fn has_web(&self) -> bool {
        self.ran.get() & WEB_BIT != 0
    }

    /// # Safety
    /// As for [`Realm::run_web`].
    unsafe fn evaluate_web(&self, cx: &mut JSContext) -> Converted<()> {
        // SAFETY: as the caller answers; values are rooted.
        unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let mut web = UndefinedValue());
            self.shared.parent.scripts.run(cx, WEB, &mut web)?;
            rooted!(in(raw) let mut table = ptr::null_mut::<JSObject>());
            natives::table(raw, &mut table)?;
            rooted!(in(raw) let mut port = ptr::null_mut::<JSObject>());
            // A second try finds it made. Its prototype does not exist yet: the part of ports gives it one.
            port.set(self.own_port.get());
            if let Some(end) = self.port.take() {
                super::clone::make_port(raw, self, end, &mut port)?;
                self.own_port.set(port.get());
            }
            // Gone if making it failed, for want of memory.
            done(!port.is_null())?;
            rooted!(in(raw) let mut name = UndefinedValue());
            text_to_js(raw, &self.options.name, &mut name)?;
            rooted!(in(raw) let mut tools = UndefinedValue());
            let arguments = [ObjectValue(table.get()), ObjectValue(port.get()), name.get()];
            self.call(cx, &web, &arguments, &mut tools)?;
            done(tools.is_object())?;
            rooted!(in(raw) let tools = tools.to_object());
            for (at, known) in self.tools.iter().enumerate() {
                rooted!(in(raw) let mut tool = UndefinedValue());
                done(ja::JS_GetElement(raw, tools.handle().into(), at as u32, tool.handle_mut().into()))?;
                known.set(tool.get());
            }
        }
        Ok(())
    }

    /// Gives what was set up in advance what it is to run, but for the end of its channel. Natives do not find the realm
    /// meanwhile, and nothing of the engine runs.
    pub(crate) fn begin(&mut self, life: Life) -> End {
        let Life { shared, library, options, hooks, inbox, control, port, seat, program: _ } = life;
        (self.shared, self.library, self.options, self.hooks) = (shared, library, options, hooks);
        (self.inbox, self.control) = (inbox, control);
        self.node.seat = seat;
        port
    }

    /// What follows [`begin`](Realm::begin): the end goes to the agent's port, and the global has its name.
    ///
    /// # Safety
    /// `raw` is this thread's context, in this realm, which is entered; no script but ours has run.
    pub(crate) unsafe fn take_over(&self, raw: *mut RawJSContext, port: End) -> Converted<()> {
        // SAFETY: as the caller answers; values are rooted, and nothing uses the port's box.
        unsafe {
            super::clone::give_end(self.own_port.get(), port);
            rooted!(in(raw) let mut name = UndefinedValue());
            text_to_js(raw, &self.options.name, &mut name)?;
            rooted!(in(raw) let global = self.global.get());
            done(ja::JS_DefineProperty(raw, global.handle().into(), c"name".as_ptr(), name.handle().into(), 0))
        }
    }

    /// How values are shown, as the script of jobs has it.
    ///
    /// # Safety
    /// As for [`Realm::run_web`].
    pub(crate) unsafe fn inspector(&self, cx: &mut JSContext, out: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
        // SAFETY: as the caller answers.
        unsafe { self.shared.parent.scripts.run(cx, INSPECT, out) }
    }

    /// Sets the tools of a realm that is not the web's: those that are named, and the same function for all others.
    #[cfg(feature = "test262")]
    pub(crate) fn set_tools(&self, named: &[(Tool, JSVal)], other: JSVal) {
        for tool in &self.tools {
            tool.set(other);
        }
        for (tool, function) in named {
            self.tools[*tool as usize].set(*function);
        }
    }

    /// Leaves the realm without what our scripts define: none of them is run any more.
    pub(crate) fn keep_bare(&self) {
        self.ran.set(u64::MAX);
    }

    /// Whether none of our scripts is run here.
    pub(crate) fn is_bare(&self) -> bool {
        self.ran.get() == u64::MAX
    }

    pub(crate) fn global(&self) -> *mut JSObject {
        self.global.get()
    }

    /// Keeps the prototype of ports, or of `DOMException`s.
    pub(crate) fn keep_prototype(&self, of_exceptions: bool, prototype: *mut JSObject) {
        let kept = if of_exceptions { &self.exception_prototype } else { &self.port_prototype };
        kept.set(prototype);
    }

    /// Prototype of ports; null until the part [`PORTS`](super::scripts::PORTS) has run.
    pub(crate) fn port_prototype(&self) -> ja::Handle<*mut JSObject> {
        // SAFETY: traced where it lies.
        unsafe { self.port_prototype.handle() }
    }

    /// Prototype of `DOMException`s; null until the part [`EXCEPTIONS`](super::scripts::EXCEPTIONS) has run.
    pub(crate) fn exception_prototype(&self) -> ja::Handle<*mut JSObject> {
        // SAFETY: traced where it lies.
        unsafe { self.exception_prototype.handle() }
    }

    /// Whether `SharedArrayBuffer`s may come and go.
    pub(crate) fn shares_memory(&self) -> bool {
        self.options.shared_memory
    }

    /// Runs a part that has not run yet; whether it did.
    ///
    /// # Safety
    /// `cx` is this thread's context, in this realm, which is entered.
    pub(crate) unsafe fn run_part(&self, cx: &mut JSContext, at: usize) -> Converted<bool> {
        if self.has_part(at) {
            return Ok(false);
        }
        needs_stack(cx, SCRIPT_STACK_BYTES)?;
        self.ran.set(self.ran.get() | 1 << at);
        // SAFETY: as the caller answers.
        let ran = unsafe {
            rooted!(in(cx.raw_cx()) let mut part = UndefinedValue());
            rooted!(in(cx.raw_cx()) let mut nothing = UndefinedValue());
            let scripts = &self.shared.parent.scripts;
            let ran = scripts.run(cx, Part::script(at), &mut part);
            ran.and_then(|()| self.use_tool(cx, Tool::Part, &[part.get()], &mut nothing))
        };
        if ran.is_err() {
            self.ran.set(self.ran.get() & !(1 << at));
        }
        ran.map(|()| true)
    }

    /// Whether a part has run, or runs.
    pub(crate) fn has_part(&self, at: usize) -> bool {
        self.ran.get() & 1 << at != 0
    }

    /// Evaluates a script of Rust's.
    pub(crate) fn evaluate(
        &self,
        cx: &mut JSContext,
        script: &str,
        name: &CStr,
        value: &mut RootedGuard<'_, JSVal>,
    ) -> Result<(), AgentError> {
        // SAFETY: the global is traced where it lies: in the realm, which lives until after the call.
        let global = unsafe { Handle::from_raw(self.global.handle()) };
        let options = CompileOptionsWrapper::new(cx, name.to_owned(), 1);
        evaluate_script(cx, global, script, value.handle_mut(), options).map_err(|()| match self.failure(cx, Pending) {
            Some(thrown) => thrown.into(),
            None => AgentError::Terminated(self.why()),
        })
    }

    /// Calls a function.
    pub(crate) fn call(
        &self,
        cx: &mut JSContext,
        function: &RootedGuard<'_, JSVal>,
        arguments: &[JSVal],
        result: &mut RootedGuard<'_, JSVal>,
    ) -> Converted<()> {
        // SAFETY: the context is this thread's, in this realm; arguments are rooted here before anything can collect.
        unsafe {
            let raw = cx.raw_cx();
            let mut rooter = CustomAutoRooter::new(arguments.to_vec());
            let arguments = rooter.root(raw);
            let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
            let (this, function) = (ja::UndefinedHandleValue, function.handle().into());
            done(ja::Call(raw, this, function, &arguments, result.handle_mut().into()))
        }
    }

    /// Calls a tool.
    pub(crate) fn use_tool(
        &self,
        cx: &mut JSContext,
        tool: Tool,
        arguments: &[JSVal],
        result: &mut RootedGuard<'_, JSVal>,
    ) -> Converted<()> {
        // SAFETY: the context is this thread's, in this realm; the root is dropped here, and arguments are in it if anything
        // collects before the call.
        unsafe {
            let raw = cx.raw_cx();
            if !self.has_web() {
                let mut rooter = CustomAutoRooter::new(arguments.to_vec());
                let arguments = rooter.root(raw);
                self.run_web(cx)?;
                return self.use_tool(cx, tool, &arguments, result);
            }
            rooted!(in(raw) let function = self.tools[tool as usize].get());
            self.call(cx, &function, arguments, result)
        }
    }

    /// Calls a tool for what it does. What it throws is reported; `false` if the agent was terminated.
    pub(crate) fn run_tool(&self, cx: &mut JSContext, tool: Tool, arguments: &[JSVal]) -> bool {
        // SAFETY: handed to a root that is dropped here.
        rooted!(in(unsafe { cx.raw_cx() }) let mut nothing = UndefinedValue());
        match self.use_tool(cx, tool, arguments, &mut nothing) {
            Ok(()) => true,
            Err(failed) => match self.failure(cx, failed) {
                Some(thrown) => {
                    self.uncaught(thrown);
                    true
                }
                None => false,
            },
        }
    }

    /// The entries of a `Map` or the values of a `Set`, as an array.
    ///
    /// # Safety
    /// `raw` is this thread's context, in this realm.
    pub(crate) unsafe fn entries(
        &self,
        raw: *mut RawJSContext,
        subject: &RootedGuard<'_, JSVal>,
        of_map: bool,
        list: &mut RootedGuard<'_, JSVal>,
    ) -> Converted<()> {
        // SAFETY: as the caller answers.
        let mut cx = unsafe { JSContext::from_ptr(ptr::NonNull::new_unchecked(raw)) };
        self.use_tool(&mut cx, Tool::Entries, &[subject.get(), BooleanValue(of_map)], list)?;
        if list.is_object() { Ok(()) } else { Err(Pending) }
    }

    /// What a value is as an error.
    pub(crate) fn describe(&self, cx: &mut JSContext, value: HandleValue<'_>) -> Thrown {
        // SAFETY: the context is this thread's, in this realm; values are rooted.
        unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let mut described = UndefinedValue());
            let mut texts = [const { String::new() }; 3];
            let told = self.use_tool(cx, Tool::Describe, &[value.get()], &mut described).and_then(|()| {
                rooted!(in(raw) let list = if described.is_object() { described.to_object() } else { return Err(Pending) });
                for (at, text) in texts.iter_mut().enumerate() {
                    rooted!(in(raw) let mut part = UndefinedValue());
                    done(ja::JS_GetElement(raw, list.handle().into(), at as u32, part.handle_mut().into()))?;
                    *text = string(cx, part.get());
                }
                Ok(())
            });
            if told.is_err() {
                ja::JS_ClearPendingException(raw);
                return Thrown::new("Error", "cannot be described", "");
            }
            let [name, message, stack] = texts;
            Thrown::new(&name, &message, &stack)
        }
    }

    /// Takes the pending exception; nothing if the agent was terminated instead.
    pub(crate) fn failure(&self, cx: &mut JSContext, _: Pending) -> Option<Thrown> {
        // SAFETY: the context is this thread's, in this realm; values are rooted.
        unsafe {
            let raw = cx.raw_cx();
            if !ja::JS_IsExceptionPending(raw) {
                return None;
            }
            rooted!(in(raw) let mut value = UndefinedValue());
            rooted!(in(raw) let mut again = UndefinedValue());
            let known = ja::JS_GetPendingException(raw, value.handle_mut().into());
            // Only this knows where what is no `Error` was thrown.
            let place = mozjs::rust::error_info_from_exception_stack(cx, again.handle_mut());
            ja::JS_ClearPendingException(raw);
            if !known {
                return None;
            }
            if self.has_web() && self.tools[Tool::Describe as usize].get().is_undefined() {
                // `web.js` runs.
                let place = place?;
                return Some(Thrown::new("Error", &format!("{}:{}: {}", place.line, place.col, place.message), ""));
            }
            let mut thrown = self.describe(cx, value.handle());
            if let Some(place) = place.filter(|place| !place.filename.is_empty())
                && thrown.stack.is_empty()
                && !place.filename.starts_with("peristyle:")
            {
                thrown.stack = format!("{}:{}:{}", place.filename, place.line, place.col);
            }
            Some(thrown)
        }
    }

    /// Tells whoever spawned the agent of an error that nothing handled.
    pub(crate) fn uncaught(&self, thrown: Thrown) {
        if self.meter.ends_with(&thrown) {
            return;
        }
        self.hooks.error(&self.shared, &self.options.name, thrown);
    }

    /// Tells whoever spawned the agent of a promise that was rejected without a handler.
    pub(crate) fn unhandled_rejection(&self, thrown: Thrown) {
        match &self.options.on_unhandled_rejection {
            Some(hook) => hook(&thrown),
            None => self.uncaught(thrown),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.meter.is_full() || self.node.exit.get().is_some() || self.inbox.is_stopped()
    }

    /// How an agent ended that was stopped, or stopped itself.
    pub(crate) fn ended(&self) -> Exit {
        match self.node.exit.get() {
            _ if self.meter.is_full() => Exit::OutOfMemory { heap_bytes: self.options.heap_bytes },
            Some(code) => Exit::Exited(code),
            None => Exit::Terminated(self.why()),
        }
    }

    /// Takes the pending exception as an error of ours.
    pub(crate) fn failed(&self, cx: &mut JSContext, failed: Pending) -> AgentError {
        match self.failure(cx, failed) {
            Some(thrown) => thrown.into(),
            None => AgentError::Terminated(self.why()),
        }
    }

    /// Throws an error of ours; a stop is no exception.
    pub(crate) fn throw(&self, cx: &mut JSContext, error: AgentError) -> Pending {
        if !matches!(error, AgentError::Terminated(_)) {
            crate::agent::throw(cx, &error.to_string());
        }
        Pending
    }

    /// Why the agent was stopped.
    pub(crate) fn why(&self) -> String {
        if self.meter.is_full() {
            return format!("it outgrew its limit of {} bytes", self.options.heap_bytes);
        }
        self.control.why()
    }

    /// A port was transferred or closed: its tasks find nothing any more.
    pub(crate) fn forget_port(&self, port: &PortBox) {
        port.end.unlisten();
        let known = self.ports.borrow_mut().remove(&port.id);
        drop(known);
    }

    /// Milliseconds since the agent was spawned.
    pub(crate) fn now_ms(&self) -> JSVal {
        DoubleValue(self.inbox.clock.now_ns() as f64 / 1e6)
    }
}

/// Fails if a script of ours might end in its middle, for want of stack: it is not run twice.
pub(super) fn needs_stack(cx: &mut JSContext, bytes: usize) -> Converted<()> {
    if crate::host::has_stack(bytes) {
        return Ok(());
    }
    crate::agent::throw(cx, "too much recursion");
    Err(Pending)
}

/// Throws a `DataCloneError`.
pub(crate) fn throw_clone_error(cx: &mut JSContext, realm: &Realm, message: &str) {
    throw_exception(cx, realm, "DataCloneError", message);
}

/// Throws a `DOMException`, or a `TypeError` or `SyntaxError` if that is the name.
pub(crate) fn throw_exception(cx: &mut JSContext, realm: &Realm, name: &str, message: &str) {
    // SAFETY: the context is this thread's, in the realm; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut error = UndefinedValue());
        rooted!(in(raw) let mut name_value = UndefinedValue());
        rooted!(in(raw) let mut message_value = UndefinedValue());
        let made = text_to_js(raw, name, &mut name_value)
            .and_then(|()| text_to_js(raw, message, &mut message_value))
            .and_then(|()| realm.use_tool(cx, Tool::Exception, &[name_value.get(), message_value.get()], &mut error));
        if made.is_ok() {
            ja::JS_SetPendingException(raw, error.handle().into(), ja::ExceptionStackBehavior::Capture);
        }
    }
}
