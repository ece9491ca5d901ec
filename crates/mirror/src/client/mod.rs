//! Clients: a mirror of a host's state, and its methods.
//!
//! A [`Client`] takes messages from its transport, keeps the state, tells listeners and watches, and settles calls. Calls
//! are futures of no particular executor. [`ClientCore`] is the same without any I/O or clock.
//!
//! # Rules
//! - Events are dealt with in order, one at a time, on the thread that brought them; no lock is held meanwhile, so
//!   listeners may call back.
//! - A listener, selector or observer that panics harms nothing: not the protocol, not the others, not the calls.
//! - What a client shows (its state, its version) is what its listeners were told last or are about to be told.

mod core;

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

pub use self::core::{CallError, ClientCore, Conflict, ConflictReason, Event, Extensions, Posted};
use crate::{
    lock,
    message::{Frame, Invalid},
    module::Module,
    payload::Json,
    timer,
    transport::{Receiver, Transport, TransportError},
    typed::to_value,
    value::{List, Text, Value},
};

/// How a client behaves.
pub struct ClientOptions {
    /// How long calls may take; `None` for ever. 30 s unless told otherwise.
    pub request_timeout: Option<Duration>,
    /// What it does beyond CoSystem's.
    pub extensions: Extensions,
    /// Is told of messages that did not fit.
    pub on_conflict: Option<Box<dyn Fn(&Conflict) + Send + Sync>>,
    /// Is told of messages that were not valid.
    pub on_invalid: Option<Box<dyn Fn(&Invalid) + Send + Sync>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            request_timeout: Some(Duration::from_secs(30)),
            extensions: Extensions::default(),
            on_conflict: None,
            on_invalid: None,
        }
    }
}

/// A follower of a host. Copies are the same client; it is disposed with the last.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

/// Disposes when the last copy goes. The transport holds the shared part alone.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to whom a failure could be told.
        let _ = self.0.dispose();
    }
}

struct Shared {
    inner: Mutex<Inner>,
    transport: Arc<dyn Transport>,
    options: ClientOptions,
    start: Instant,
}

struct Inner {
    core: ClientCore,
    events: VecDeque<Event>,
    /// Somebody deals with events.
    draining: bool,
    /// What listeners were told last.
    shown: Option<(u64, Value)>,
    ready: Option<Result<(), CallError>>,
    ready_wakers: Vec<Waker>,
    calls: HashMap<u64, Arc<Slot>>,
    /// In order of registration. Each is its own lock, so that it can run without the client's.
    watches: Vec<(u64, Arc<Mutex<WatchFn>>)>,
    listeners: Vec<(u64, Arc<Mutex<ListenerFn>>)>,
    /// Watches that have not seen the state shown.
    firsts: VecDeque<Arc<Mutex<WatchFn>>>,
    next_observer: u64,
    /// When the timer is set to look again.
    alarm: Option<Duration>,
}

type WatchFn = Box<dyn FnMut(&Value) + Send>;
type ListenerFn = Box<dyn FnMut(u64, &Arc<Frame>) + Send>;

/// Where a call's outcome is put.
#[derive(Default)]
struct Slot(Mutex<(Option<Result<Option<Json>, CallError>>, Option<Waker>)>);

impl Slot {
    fn put(&self, outcome: Result<Option<Json>, CallError>) {
        let mut slot = lock(&self.0);
        slot.0 = Some(outcome);
        let waker = slot.1.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Client {
    /// Follows the host at the other end of a transport.
    ///
    /// # Errors
    /// If the transport cannot be subscribed to.
    pub fn connect(transport: impl Transport + 'static, options: ClientOptions) -> Result<Client, TransportError> {
        let inner = Inner {
            core: ClientCore::new(options.extensions),
            events: VecDeque::new(),
            draining: false,
            shown: None,
            ready: None,
            ready_wakers: Vec::new(),
            calls: HashMap::new(),
            watches: Vec::new(),
            listeners: Vec::new(),
            firsts: VecDeque::new(),
            next_observer: 0,
            alarm: None,
        };
        let transport = Arc::new(transport);
        let shared = Arc::new(Shared { inner: Mutex::new(inner), transport, options, start: Instant::now() });
        shared.transport.subscribe(shared.clone())?;
        Ok(Client(Arc::new(Handle(shared))))
    }

    /// Waits for the first state.
    ///
    /// # Errors
    /// If the client is disposed, or the transport closed, before it.
    pub fn ready(&self) -> impl Future<Output = Result<(), CallError>> + Send + 'static {
        let shared = self.0.0.clone();
        std::future::poll_fn(move |context| {
            let mut inner = shared.lock();
            match &inner.ready {
                Some(outcome) => Poll::Ready(outcome.clone()),
                None => {
                    inner.ready_wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    /// Returns the version, 0 before anything arrived.
    pub fn version(&self) -> u64 {
        self.0.0.lock().shown.as_ref().map_or(0, |(version, _)| *version)
    }

    /// Returns the state, if there is one yet. Costs nothing.
    pub fn state(&self) -> Option<Value> {
        self.0.0.lock().shown.as_ref().map(|(_, state)| state.clone())
    }

    /// Returns what a function makes of the state.
    ///
    /// # Errors
    /// If there is no state yet.
    pub fn select<T>(&self, selector: impl FnOnce(&Value) -> T) -> Result<T, CallError> {
        Ok(selector(&self.state().ok_or(CallError::NotReady)?))
    }

    /// Tells `listener` (value, previous value) after each accepted message that changed what `selector` makes of the
    /// state, until the result is dropped.
    ///
    /// Comparing values is cheap: what a patch did not touch is identical, and identical parts are not looked into.
    pub fn watch<T: PartialEq + Send + 'static>(
        &self,
        selector: impl FnMut(&Value) -> T + Send + 'static,
        listener: impl FnMut(&T, &T) + Send + 'static,
    ) -> Observer {
        self.watch_with(selector, listener, T::eq, false)
    }

    /// As [`watch`](Client::watch), with another equality; with `immediate`, the listener is also told the first value,
    /// as both of its arguments.
    pub fn watch_with<T: Send + 'static>(
        &self,
        mut selector: impl FnMut(&Value) -> T + Send + 'static,
        mut listener: impl FnMut(&T, &T) + Send + 'static,
        mut equals: impl FnMut(&T, &T) -> bool + Send + 'static,
        immediate: bool,
    ) -> Observer {
        let mut previous: Option<T> = None;
        let watch: WatchFn = Box::new(move |state| {
            let value = selector(state);
            match previous.replace(value) {
                None if immediate => {
                    if let Some(value) = &previous {
                        listener(value, value);
                    }
                }
                None => {}
                Some(before) => {
                    let Some(value) = &previous else { return };
                    if equals(value, &before) {
                        // The one kept is the one that was told.
                        previous = Some(before);
                    } else {
                        listener(value, &before);
                    }
                }
            }
        });
        let watch = Arc::new(Mutex::new(watch));
        let mut inner = self.0.0.lock();
        let id = inner.observer();
        inner.watches.push((id, watch.clone()));
        inner.firsts.push_back(watch);
        drop(inner);
        self.0.0.pump();
        Observer { shared: Arc::downgrade(&self.0.0), id }
    }

    /// Tells `listener` of each accepted state message, with its version, until the result is dropped.
    pub fn subscribe(&self, listener: impl FnMut(u64, &Arc<Frame>) + Send + 'static) -> Observer {
        let mut inner = self.0.0.lock();
        let id = inner.observer();
        inner.listeners.push((id, Arc::new(Mutex::new(Box::new(listener)))));
        Observer { shared: Arc::downgrade(&self.0.0), id }
    }

    /// Calls a method. The arguments are a tuple or a list. Dropping the call aborts it here; the host runs it anyway.
    pub fn call<R: DeserializeOwned + 'static>(&self, module: &str, method: &str, args: impl Serialize) -> Call<R> {
        self.call_with(module, method, args, CallOptions { timeout: self.0.0.options.request_timeout, abort: None })
    }

    /// As [`call`](Client::call), with a time-out of its own and a way to abort it from elsewhere.
    pub fn call_with<R: DeserializeOwned + 'static>(
        &self,
        module: &str,
        method: &str,
        args: impl Serialize,
        options: CallOptions,
    ) -> Call<R> {
        let args = match to_value(&args) {
            Ok(Value::Null) => Value::List(List::new()),
            Ok(args @ Value::List(_)) => args,
            Ok(_) => return Call::failed(CallError::Value("arguments are a list or a tuple".into())),
            Err(error) => return Call::failed(CallError::Value(error.to_string())),
        };
        self.call_json(module.into(), method.into(), args.into(), options)
    }

    /// As [`call_with`](Client::call_with), with arguments as they cross: a list.
    pub fn call_json<R: DeserializeOwned + 'static>(
        &self,
        module: Text,
        method: Text,
        args: Json,
        options: CallOptions,
    ) -> Call<R> {
        let shared = &self.0.0;
        let slot = Arc::new(Slot::default());
        let timeout_ms = options.timeout.map_or(0.0, |timeout| timeout.as_secs_f64() * 1000.0);
        let aborted = options.abort.as_ref().is_some_and(|abort| abort.is_aborted());
        let mut guard = shared.lock();
        let inner = &mut *guard;
        let now = shared.start.elapsed();
        let id = match inner.core.call(module, method, args, timeout_ms, aborted, now, &mut inner.events) {
            Ok(id) => id,
            Err(error) => return Call::failed(error),
        };
        inner.calls.insert(id, slot.clone());
        drop(guard);
        if let Some(abort) = options.abort {
            abort.add(Arc::downgrade(shared), id);
        }
        shared.pump();
        Call { slot, shared: Some((Arc::downgrade(shared), id)), result: std::marker::PhantomData }
    }

    /// How long calls may take unless told otherwise.
    pub(crate) fn request_timeout(&self) -> Option<Duration> {
        self.0.0.options.request_timeout
    }

    /// Returns the typed methods of a module.
    pub fn module<M: Module>(&self) -> M::Proxy {
        M::proxy(self.clone(), M::NAME)
    }

    /// Ends the client: pending calls fail, listeners and watches are forgotten, the last state stays.
    ///
    /// # Errors
    /// If the transport could not be left; everything else is done all the same.
    pub fn dispose(&self) -> Result<(), TransportError> {
        self.0.0.dispose()
    }
}

/// How one call behaves.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// How long it may take; `None` for ever.
    pub timeout: Option<Duration>,
    /// Aborts it.
    pub abort: Option<Abort>,
}

/// Aborts the calls to which it was given. Copies are the same.
#[derive(Clone, Default)]
pub struct Abort(Arc<AbortState>);

#[derive(Default)]
struct AbortState {
    aborted: AtomicBool,
    calls: Mutex<Vec<(Weak<Shared>, u64)>>,
}

impl Abort {
    /// Aborts all calls to which it was given, and those to which it will be given.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        for (shared, id) in std::mem::take(&mut *lock(&self.0.calls)) {
            abort(&shared, id);
        }
    }

    /// Whether it was used.
    pub fn is_aborted(&self) -> bool {
        self.0.aborted.load(Ordering::Acquire)
    }

    fn add(&self, shared: Weak<Shared>, id: u64) {
        let mut calls = lock(&self.0.calls);
        // Calls that are over need no aborting; looking for them when the list would grow keeps it as long as need be.
        if calls.len() == calls.capacity() {
            calls.retain(|(shared, id)| shared.upgrade().is_some_and(|shared| shared.lock().calls.contains_key(id)));
        }
        calls.push((shared.clone(), id));
        drop(calls);
        if self.is_aborted() {
            abort(&shared, id);
        }
    }
}

fn abort(shared: &Weak<Shared>, id: u64) {
    if let Some(shared) = shared.upgrade() {
        shared.step(|inner, _| inner.core.abort(id, &mut inner.events));
    }
}

/// A call under way; resolves when the result is here and the mirror has caught up with it.
#[must_use = "dropping a call aborts it"]
pub struct Call<R> {
    slot: Arc<Slot>,
    /// Nothing once it is over.
    shared: Option<(Weak<Shared>, u64)>,
    result: std::marker::PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    pub(crate) fn failed(error: CallError) -> Call<R> {
        let slot = Slot::default();
        slot.put(Err(error));
        Call { slot: Arc::new(slot), shared: None, result: std::marker::PhantomData }
    }
}

impl<R: DeserializeOwned + 'static> Future for Call<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot.0);
        let Some(outcome) = slot.0.take() else {
            slot.1 = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(slot);
        self.shared = None;
        Poll::Ready(outcome.and_then(|value| {
            // A result of nothing reads as null.
            let value = value.unwrap_or_else(|| Value::Null.into());
            value.decode().map_err(|error| CallError::Value(error.to_string()))
        }))
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if let Some((shared, id)) = self.shared.take() {
            abort(&shared, id);
        }
    }
}

/// A registered listener or watch, which ends when this is dropped.
#[must_use = "a listener that is dropped is not told anything"]
pub struct Observer {
    shared: Weak<Shared>,
    id: u64,
}

impl Observer {
    /// Keeps the listener as long as its client.
    pub fn forget(mut self) {
        self.shared = Weak::new();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut inner = shared.lock();
            let gone = inner.watches.iter().position(|(id, _)| *id == self.id).map(|at| inner.watches.remove(at));
            let other = inner.listeners.iter().position(|(id, _)| *id == self.id).map(|at| inner.listeners.remove(at));
            // What they captured is dropped without the lock.
            drop(inner);
            drop((gone, other));
        }
    }
}

/// Runs something of the user's; a panic ends there.
fn observe(run: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(run));
}

impl Inner {
    fn observer(&mut self) -> u64 {
        self.next_observer += 1;
        self.next_observer
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Changes the core, then deals with what comes of it.
    fn step(self: &Arc<Shared>, change: impl FnOnce(&mut Inner, Duration)) {
        let now = self.start.elapsed();
        change(&mut self.lock(), now);
        self.pump();
    }

    fn dispose(self: &Arc<Shared>) -> Result<(), TransportError> {
        let mut inner = self.lock();
        if inner.core.is_disposed() {
            return Ok(());
        }
        let Inner { core, events, .. } = &mut *inner;
        core.dispose(events);
        let observers = (std::mem::take(&mut inner.watches), std::mem::take(&mut inner.listeners));
        drop(inner);
        drop(observers);
        let left = self.transport.unsubscribe();
        self.pump();
        left
    }

    /// Deals with events in order, unless somebody does already.
    fn pump(self: &Arc<Shared>) {
        let mut inner = self.lock();
        if inner.draining {
            return;
        }
        inner.draining = true;
        loop {
            // A watch sees what is shown when it is registered, before anything newer.
            if let Some(watch) = inner.firsts.pop_front() {
                if let Some((_, state)) = inner.shown.clone() {
                    drop(inner);
                    observe(|| lock(&watch)(&state));
                    inner = self.lock();
                }
                continue;
            }
            let Some(event) = inner.events.pop_front() else { break };
            drop(inner);
            self.handle(event);
            inner = self.lock();
        }
        inner.draining = false;
        let deadline = inner.core.deadline();
        if let Some(deadline) = deadline
            && inner.alarm.is_none_or(|alarm| deadline < alarm)
        {
            inner.alarm = Some(deadline);
            drop(inner);
            let shared = Arc::downgrade(self);
            timer::at(self.start + deadline, move || {
                if let Some(shared) = shared.upgrade() {
                    shared.step(|inner, now| {
                        inner.alarm = None;
                        inner.core.expire(now, &mut inner.events);
                    });
                }
            });
        }
    }

    fn handle(self: &Arc<Shared>, event: Event) {
        match event {
            Event::Post(frame, posted) => {
                if let Err(error) = self.transport.post(&frame) {
                    let mut inner = self.lock();
                    let Inner { core, events, .. } = &mut *inner;
                    core.post_failed(&posted, error, events);
                }
            }
            Event::State { version, state, message } => {
                let mut inner = self.lock();
                inner.shown = Some((version, state.clone()));
                let listeners: Vec<_> = inner.listeners.iter().map(|(_, listener)| listener.clone()).collect();
                let watches: Vec<_> = inner.watches.iter().map(|(_, watch)| watch.clone()).collect();
                drop(inner);
                listeners.iter().for_each(|listener| observe(|| lock(listener)(version, &message)));
                watches.iter().for_each(|watch| observe(|| lock(watch)(&state)));
            }
            Event::Ready => self.settle_ready(Ok(())),
            Event::ReadyFailed(error) => self.settle_ready(Err(error)),
            Event::Conflict(conflict) => {
                if let Some(on_conflict) = &self.options.on_conflict {
                    observe(|| on_conflict(&conflict));
                }
            }
            Event::Invalid(invalid) => {
                if let Some(on_invalid) = &self.options.on_invalid {
                    observe(|| on_invalid(&invalid));
                }
            }
            Event::Settled { id, outcome } => {
                let slot = self.lock().calls.remove(&id);
                if let Some(slot) = slot {
                    slot.put(outcome);
                }
            }
        }
    }

    fn settle_ready(&self, outcome: Result<(), CallError>) {
        let mut inner = self.lock();
        inner.ready = Some(outcome);
        let wakers = std::mem::take(&mut inner.ready_wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The transport holds this, not the handle.
impl Receiver for Shared {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        self.step(|inner, now| {
            // While nothing is waiting to be told, what is shown is what the core has: let go of it, so that the core can
            // change it where it is instead of copying what the change touches. Nobody looks before it is back.
            let lets_go = inner.events.is_empty() && !inner.draining && inner.shown.take().is_some();
            inner.core.receive(received, now, &mut inner.events);
            if let (true, Some(state)) = (lets_go, inner.core.state()) {
                inner.shown = Some((inner.core.version(), state.clone()));
            }
        });
    }

    fn closed(self: Arc<Self>, error: &TransportError) {
        self.step(|inner, _| inner.core.closed(error, &mut inner.events));
    }
}
