//! Hosts: modules, what they publish, and calls of their methods.
//!
//! A [`Host`] keeps the app's state, as its modules have it and as it was published. A change is made by an action, a
//! stretch of an asynchronous one, or [`Host::update`]; it becomes patches, gets the next version of each *view* (a way of
//! publishing: mode and sections) and goes to that view's connections.
//!
//! # Rules
//! - A change happens wholly or not at all. An action that fails or panics leaves the state as it was, and the host alive.
//! - Versions of a view rise by one per published change and are never used again, whatever becomes of the message.
//! - Nothing of a connection grows without bound: when more than [`HostOptions::outbox_max`] changes wait, they give way
//!   to one snapshot, made when it can be sent; calls in flight are counted until their results are sent.
//! - Messages are posted without any lock held, in order per connection, by one thread at a time.
//! - A message's text, and that of a view's state, is made once for all connections.
//!
//! # Not here
//! Reading and writing sockets, and threads: a host acts when something is brought to it.

mod connection;
mod foreign;
mod modules;
mod view;

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Poll, Waker},
    time::Duration,
};

pub use self::foreign::{Foreign, ForeignApp, ForeignChange, ForeignModule};
use self::{
    connection::{Connection, Outgoing},
    foreign::Source,
    modules::{AnyModule, Called, Hosted, Kind, Slot},
    view::{Publication, Published, View, Whole},
};
use crate::{
    diff::Changes,
    executor::{self, Spawner},
    lock,
    message::{CallMessage, Frame, Invalid, Message, Ready, RemoteError, ResultMessage, SyncMessage, SyncMode},
    module::{Failure, Live, Module, gone},
    patch::Segment,
    payload::Json,
    transport::{Receiver, Transport, TransportError},
    value::{Map, Text, Value},
};

/// Bounds and means of a host.
#[derive(Clone)]
pub struct HostOptions {
    /// Calls of one connection that may be under way.
    pub calls_max: usize,
    /// State messages that may wait for one connection before they give way to a snapshot.
    pub outbox_max: usize,
    /// Published changes that are kept to answer clients that missed some.
    pub log_max: usize,
    /// How long a [`Foreign`] app may take to tell its state before it is taken for gone.
    pub state_timeout: Duration,
    /// What runs asynchronous actions; a thread of this crate by default.
    pub spawner: Option<Spawner>,
    /// Tells this run of the host from others. By default the time of its start.
    pub epoch: Option<u64>,
    /// Whether messages carry more than CoSystem's (`epoch`), and answers may be less than a snapshot.
    pub extensions: bool,
    /// Is told of what was no valid message, with the number of its connection.
    pub on_invalid: Option<InvalidObserver>,
}

/// Is told of invalid messages.
pub type InvalidObserver = Arc<dyn Fn(u64, &Invalid) + Send + Sync>;

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            calls_max: 4096,
            outbox_max: 256,
            log_max: 1024,
            state_timeout: Duration::from_secs(10),
            spawner: None,
            epoch: None,
            extensions: true,
            on_invalid: None,
        }
    }
}

/// Why a host could not be made, reached or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Two modules have one name.
    #[error("two modules are named `{0}`")]
    DuplicateModule(String),
    /// A module has a name that state must not have as a key.
    #[error("a module must not be named `{0}`")]
    ModuleName(String),
    /// A module's first state cannot be expressed.
    #[error("the state of module `{module}`: {error}")]
    State {
        /// The module.
        module: String,
        /// Why.
        error: String,
    },
    /// A module is not there, or is of another type.
    #[error("there is no such module")]
    NoModule,
    /// The host was disposed.
    #[error("the host has been disposed")]
    Disposed,
    /// The host was disposed before its first publication.
    #[error("Worker host disposed before initial state.")]
    DisposedBeforeState,
    /// Start-up failed.
    #[error("{0}")]
    Start(RemoteError),
    /// A transport could not be subscribed to.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Ending the host failed, in these ways.
    #[error("Worker host disposal failed: {}", .0.join("; "))]
    Disposal(Vec<String>),
}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// Collects a host's modules.
#[derive(Default)]
pub struct HostBuilder {
    options: HostOptions,
    mode: Option<SyncMode>,
    sections: Option<Vec<Text>>,
    modules: Vec<(Text, Box<dyn AnyModule>, bool)>,
    exposed: Vec<(Text, Vec<Text>)>,
    on_dispose: Vec<Box<dyn FnOnce() -> Result<(), String> + Send>>,
    error: Option<HostError>,
}

impl HostBuilder {
    /// Adds a module under its own name. Calls of its actions run on arrival.
    pub fn module<M: Module>(self, state: M) -> Self {
        self.named_module(M::NAME, state)
    }

    /// Adds a module under another name.
    pub fn named_module<M: Module>(mut self, name: &str, state: M) -> Self {
        self.modules.push((name.into(), Box::new(Hosted::new(state)), false));
        self
    }

    /// Adds a module whose calls wait for [`Host::run_calls`].
    pub fn queued_module<M: Module>(mut self, state: M) -> Self {
        self.modules.push((M::NAME.into(), Box::new(Hosted::new(state)), true));
        self
    }

    /// Lets clients call methods of a module that are no actions.
    pub fn expose(mut self, module: &str, methods: &[&str]) -> Self {
        self.exposed.push((module.into(), methods.iter().map(|&method| method.into()).collect()));
        self
    }

    /// How changes are published: whole states (the default), or patches.
    pub fn sync(mut self, mode: SyncMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Publishes only these top-level keys, with a version counter of their own.
    pub fn sections(mut self, sections: &[&str]) -> Self {
        self.sections = Some(sections.iter().map(|&section| section.into()).collect());
        self
    }

    /// Sets bounds and means.
    pub fn options(mut self, options: HostOptions) -> Self {
        self.options = options;
        self
    }

    /// Runs something when the host is disposed.
    pub fn on_dispose(mut self, run: impl FnOnce() -> Result<(), String> + Send + 'static) -> Self {
        self.on_dispose.push(Box::new(run));
        self
    }

    /// Makes the host, started.
    ///
    /// # Errors
    /// If modules cannot be registered.
    pub fn build(self) -> Result<Host, HostError> {
        let host = self.starting()?;
        host.started(Ok(()));
        Ok(host)
    }

    /// Makes the host and serves one transport, as a host has that owns its channel.
    ///
    /// # Errors
    /// If modules cannot be registered, or the transport cannot be subscribed to: then the app is disposed.
    pub fn serve(self, transport: impl Transport + 'static) -> Result<Host, HostError> {
        let host = self.starting()?;
        if let Err(error) = host.connect(transport) {
            // The failure to subscribe is what the caller has to know.
            let _ = host.dispose();
            return Err(error);
        }
        host.started(Ok(()));
        Ok(host)
    }

    /// Makes the host, in start-up: calls wait, nothing is published, until [`Host::started`].
    ///
    /// # Errors
    /// If modules cannot be registered.
    pub fn starting(self) -> Result<Host, HostError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (mut root, mut modules, mut names) = (Map::new(), Vec::new(), HashMap::new());
        for (name, module, is_queued) in self.modules {
            if Segment::key(name.clone()).is_none() {
                return Err(HostError::ModuleName(name.to_string()));
            }
            let value = module.to_value();
            let value = value.and_then(|value| crate::diff::check(&value, 1).map(|()| value));
            let value =
                value.map_err(|error| HostError::State { module: name.to_string(), error: error.to_string() })?;
            root.insert(name.clone(), value);
            if names.insert(name.clone(), modules.len()).is_some() {
                return Err(HostError::DuplicateModule(name.to_string()));
            }
            let exposed = self.exposed.iter().filter(|(module, _)| *module == name);
            let exposed: HashSet<Text> = exposed.flat_map(|(_, methods)| methods.clone()).collect();
            modules.push(Slot { name, kind: Kind::Here(module), exposed, is_queued });
        }
        let epoch = self.options.epoch.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            // Microseconds since 1970 fit 53 bits until the year 2255.
            now.map_or(1, |now| now.as_micros() as u64 & crate::json::INTEGER_MAX)
        });
        let spawner = self.options.spawner.clone().unwrap_or_else(executor::spawner);
        let view = View::new(self.mode.unwrap_or(SyncMode::Snapshot), self.sections, self.options.log_max);
        Ok(Host(Arc::new(HostShared {
            inner: Mutex::new(Inner {
                modules,
                names,
                root: Value::Map(root),
                texts: BTreeMap::new(),
                sources: Vec::new(),
                to_watch: Vec::new(),
                released: Vec::new(),
                exposed: self.exposed,
                commits: 0,
                views: vec![view],
                connections: BTreeMap::new(),
                next_connection: 0,
                dirty: VecDeque::new(),
                phase: Phase::Starting,
                waiting: Vec::new(),
                queued: Vec::new(),
                ready_wakers: Vec::new(),
                on_dispose: self.on_dispose,
                disposal: None,
            }),
            options: self.options,
            spawner,
            epoch,
        })))
    }
}

/// What a host publishes, and to whom. Copies are the same host.
#[derive(Clone)]
pub struct Host(Arc<HostShared>);

pub(crate) struct HostShared {
    inner: Mutex<Inner>,
    options: HostOptions,
    spawner: Spawner,
    epoch: u64,
}

#[derive(Clone, PartialEq)]
enum Phase {
    Starting,
    Started,
    Failed(RemoteError),
    Disposed { was_started: bool },
}

struct Inner {
    modules: Vec<Slot>,
    names: HashMap<Text, usize>,
    /// The state as published, by module.
    root: Value,
    /// The states of modules elsewhere, where they are known.
    texts: BTreeMap<Text, Option<Arc<str>>>,
    sources: Vec<Source>,
    /// Apps that were asked for states, and nobody watches yet.
    to_watch: Vec<usize>,
    /// Apps that are gone, to be dropped without the lock.
    released: Vec<Arc<dyn Foreign>>,
    exposed: Vec<(Text, Vec<Text>)>,
    /// Changes so far: the version of views without sections.
    commits: u64,
    views: Vec<View>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    /// Connections with something to send.
    dirty: VecDeque<u64>,
    phase: Phase,
    /// Messages that wait for start-up.
    waiting: Vec<(u64, Arc<Frame>)>,
    /// Calls that wait for a tick.
    queued: Vec<(u64, Arc<Frame>)>,
    ready_wakers: Vec<Waker>,
    on_dispose: Vec<Box<dyn FnOnce() -> Result<(), String> + Send>>,
    disposal: Option<Result<(), HostError>>,
}

/// A call that ran in a tick.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// The connection that it came from.
    pub connection: u64,
    /// It.
    pub call: CallMessage,
}

impl Host {
    /// Begins to collect modules.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Serves one more client, or all those on a shared channel, as the host was built to publish. Returns a number for
    /// the connection; numbers rise.
    ///
    /// # Errors
    /// If the transport cannot be subscribed to, or the host is disposed.
    pub fn connect(&self, transport: impl Transport + 'static) -> Result<u64, HostError> {
        self.connect_view(transport, 0)
    }

    /// Serves one more client that wants another mode or other sections.
    ///
    /// # Errors
    /// As [`connect`](Host::connect).
    pub fn connect_as(
        &self,
        transport: impl Transport + 'static,
        mode: SyncMode,
        sections: Option<&[&str]>,
    ) -> Result<u64, HostError> {
        let sections = sections.map(|sections| sections.iter().map(|&section| section.into()).collect());
        self.connect_to(transport, mode, sections)
    }

    /// Serves one more client, which sees no more than these of the sections that the host publishes, in the host's mode.
    ///
    /// # Errors
    /// As [`connect`](Host::connect).
    pub fn connect_within(&self, transport: impl Transport + 'static, sections: &[&str]) -> Result<u64, HostError> {
        let sections = sections.iter().map(|&section| Text::from(section));
        let inner = self.0.lock();
        let published = &inner.views[0];
        let mode = published.mode();
        let sections = sections.filter(|section| published.has_section(section)).collect();
        drop(inner);
        self.connect_to(transport, mode, Some(sections))
    }

    fn connect_to(
        &self,
        transport: impl Transport + 'static,
        mode: SyncMode,
        sections: Option<Vec<Text>>,
    ) -> Result<u64, HostError> {
        let mut inner = self.0.lock();
        let known = inner.views.iter().position(|view| view.is(mode, sections.as_deref()));
        let view = known.unwrap_or_else(|| {
            inner.views.push(View::new(mode, sections, self.0.options.log_max));
            inner.tell_wants();
            inner.views.len() - 1
        });
        drop(inner);
        self.connect_view(transport, view)
    }

    fn connect_view(&self, transport: impl Transport + 'static, view: usize) -> Result<u64, HostError> {
        let transport: Arc<dyn Transport> = Arc::new(transport);
        let mut inner = self.0.lock();
        if matches!(inner.phase, Phase::Disposed { .. }) {
            return Err(HostError::Disposed);
        }
        let id = inner.next_connection;
        inner.next_connection += 1;
        inner.connections.insert(id, Connection::new(transport.clone(), view, self.0.options.outbox_max));
        if inner.phase == Phase::Started {
            self.0.open(&mut inner, id);
        }
        drop(inner);
        let link = Arc::new(Link { host: Arc::downgrade(&self.0), id });
        let subscribed = transport.subscribe(link);
        let mut inner = self.0.lock();
        if let Err(error) = subscribed {
            inner.connections.remove(&id);
            return Err(error.into());
        }
        if let Some(connection) = inner.connections.get_mut(&id) {
            connection.is_draining = false;
            inner.dirty.push_back(id);
        }
        drop(inner);
        self.0.pump();
        Ok(id)
    }

    /// Tells this run of the host from others, as it says in `ready`.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Serves the modules of an app that keeps their states elsewhere. Before [`started`](Host::started) they are part of
    /// the first snapshot; later they are added to the state. A name is free again once its app is gone.
    ///
    /// # Errors
    /// [`HostError::DuplicateModule`] and [`HostError::ModuleName`]; or that the host failed to start or is disposed.
    pub fn attach(&self, modules: Vec<ForeignModule>, app: Arc<dyn Foreign>) -> Result<ForeignApp, HostError> {
        self.0.attach(modules, app)
    }

    /// Ends one connection.
    pub fn disconnect(&self, connection: u64) {
        self.0.disconnect(connection);
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        self.0.lock().connections.len()
    }

    /// Ends start-up: connections get `ready` and a snapshot, and calls that waited run; or they fail.
    pub fn started(&self, outcome: Result<(), Failure>) {
        let mut inner = self.0.lock();
        if inner.phase != Phase::Starting {
            return;
        }
        inner.phase = match outcome {
            Ok(()) => Phase::Started,
            Err(failure) => Phase::Failed(failure.into()),
        };
        if inner.phase == Phase::Started {
            for id in inner.connections.keys().copied().collect::<Vec<_>>() {
                self.0.open(&mut inner, id);
            }
        }
        let (waiting, wakers) = (std::mem::take(&mut inner.waiting), std::mem::take(&mut inner.ready_wakers));
        for (id, frame) in waiting {
            self.0.take(&mut inner, id, frame);
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        self.0.pump();
    }

    /// Waits for start-up to end.
    ///
    /// # Errors
    /// If it failed, or the host was disposed before.
    pub fn ready(&self) -> impl Future<Output = Result<(), HostError>> + Send + 'static {
        let shared = self.0.clone();
        std::future::poll_fn(move |context| {
            let mut inner = shared.lock();
            Poll::Ready(match &inner.phase {
                Phase::Starting => {
                    inner.ready_wakers.push(context.waker().clone());
                    return Poll::Pending;
                }
                Phase::Started | Phase::Disposed { was_started: true } => Ok(()),
                Phase::Failed(error) => Err(HostError::Start(error.clone())),
                Phase::Disposed { was_started: false } => Err(HostError::DisposedBeforeState),
            })
        })
    }

    /// Changes a module's state, and publishes the change.
    ///
    /// # Errors
    /// What `change` fails with, in which case nothing changed; or that there is no such module.
    pub fn update<M: Module, R>(&self, change: impl FnOnce(&mut M) -> Result<R, Failure>) -> Result<R, Failure> {
        let index = self.0.index_of::<M>().map_err(|error| Failure::refusal(error.to_string()))?;
        self.0.update_at(index, change)
    }

    /// Reads a module's state.
    ///
    /// # Errors
    /// If there is no such module.
    pub fn read<M: Module, R>(&self, read: impl FnOnce(&M) -> R) -> Result<R, HostError> {
        let index = self.0.index_of::<M>()?;
        self.0.read_at(index, read).map_err(|_| HostError::Disposed)
    }

    /// Returns the state as published, without modules that are kept elsewhere, and the number of changes so far. Costs
    /// nothing.
    pub fn state(&self) -> (Value, u64) {
        let inner = self.0.lock();
        (inner.root.clone(), inner.commits)
    }

    /// Runs the calls of queued modules that arrived since the last time, in order of connection and arrival, and
    /// returns them. Their results carry `tick`.
    pub fn run_calls(&self, tick: u64) -> Vec<RecordedCall> {
        let mut inner = self.0.lock();
        let mut queued = std::mem::take(&mut inner.queued);
        queued.sort_by_key(|(connection, _)| *connection);
        let mut recorded = Vec::with_capacity(queued.len());
        for (connection, frame) in queued {
            if let Message::Call(call) = frame.message() {
                recorded.push(RecordedCall { connection, call: call.clone() });
                self.0.run(&mut inner, connection, call, Some(tick));
            }
        }
        drop(inner);
        self.0.pump();
        recorded
    }

    /// Ends the host: leaves all transports, stops publishing, runs what was to run at the end. Repeated calls have the
    /// same outcome.
    ///
    /// # Errors
    /// All that failed on the way.
    pub fn dispose(&self) -> Result<(), HostError> {
        let mut inner = self.0.lock();
        if let Some(disposal) = &inner.disposal {
            return disposal.clone();
        }
        inner.phase = Phase::Disposed { was_started: inner.phase == Phase::Started };
        // Set at once, so that a repeated call from within does nothing.
        inner.disposal = Some(Ok(()));
        let connections = std::mem::take(&mut inner.connections);
        let on_dispose = std::mem::take(&mut inner.on_dispose);
        let wakers = std::mem::take(&mut inner.ready_wakers);
        (inner.waiting, inner.queued) = (Vec::new(), Vec::new());
        let apps: Vec<_> = inner.sources.iter_mut().filter_map(|source| source.app.take()).collect();
        drop(inner);
        drop(apps);
        let mut errors: Vec<String> = connections
            .values()
            .filter_map(|connection| connection.transport.unsubscribe().err())
            .map(|error| error.to_string())
            .collect();
        for run in on_dispose {
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(outcome) => errors.extend(outcome.err()),
                Err(panic) => errors.push(modules::panic_message(&*panic)),
            }
        }
        let disposal = if errors.is_empty() { Ok(()) } else { Err(HostError::Disposal(errors)) };
        self.0.lock().disposal = Some(disposal.clone());
        wakers.into_iter().for_each(Waker::wake);
        disposal
    }
}

/// A connection, as its transport knows it.
struct Link {
    host: Weak<HostShared>,
    id: u64,
}

impl Receiver for Link {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        let Some(host) = self.host.upgrade() else { return };
        match received {
            Err(invalid) => {
                if let Some(on_invalid) = &host.options.on_invalid {
                    // A panic of the observer's is no concern of the connection.
                    let _ = catch_unwind(AssertUnwindSafe(|| on_invalid(self.id, &invalid)));
                }
            }
            Ok(frame) => {
                let mut inner = host.lock();
                host.take(&mut inner, self.id, frame);
                drop(inner);
                host.pump();
            }
        }
    }

    fn writable(self: Arc<Self>) {
        if let Some(host) = self.host.upgrade() {
            let mut inner = host.lock();
            if let Some(connection) = inner.connections.get_mut(&self.id) {
                connection.is_blocked = false;
                connection.wakeups += 1;
                inner.dirty.push_back(self.id);
            }
            drop(inner);
            host.pump();
        }
    }

    fn closed(self: Arc<Self>, _: &TransportError) {
        if let Some(host) = self.host.upgrade() {
            host.disconnect(self.id);
        }
    }
}

impl HostShared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn index_of<M: Module>(&self) -> Result<usize, HostError> {
        let inner = self.lock();
        let found =
            inner.modules.iter().position(|slot| slot.here().is_some_and(|module| module.as_any().is::<Hosted<M>>()));
        found.ok_or(HostError::NoModule)
    }

    pub(crate) fn update_at<M: Module, R>(
        self: &Arc<Self>,
        index: usize,
        change: impl FnOnce(&mut M) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let mut inner = self.lock();
        if matches!(inner.phase, Phase::Disposed { .. }) {
            return Err(gone());
        }
        let result = inner.commit(index, |module, published, changes| {
            let hosted = module.as_any_mut().downcast_mut::<Hosted<M>>().ok_or_else(gone)?;
            hosted.commit(published, changes, change)
        });
        drop(inner);
        self.pump();
        result.unwrap_or_else(|| Err(gone()))
    }

    pub(crate) fn read_at<M: Module, R>(&self, index: usize, read: impl FnOnce(&M) -> R) -> Result<R, Failure> {
        let inner = self.lock();
        let hosted = inner.modules.get(index).and_then(Slot::here);
        let hosted = hosted.and_then(|module| module.as_any().downcast_ref::<Hosted<M>>());
        Ok(read(hosted.ok_or_else(gone)?.state()))
    }

    /// Queues what a connection gets first.
    fn open(&self, inner: &mut Inner, id: u64) {
        let epoch = self.options.extensions.then_some(self.epoch);
        inner.send(id, Outgoing::Other(Frame::new(Message::Ready(Ready { epoch }))));
        inner.send_snapshot(id, None);
    }

    fn disconnect(&self, id: u64) {
        let mut inner = self.lock();
        let connection = inner.connections.remove(&id);
        inner.forget_calls(id);
        inner.queued.retain(|(connection, _)| *connection != id);
        inner.waiting.retain(|(connection, _)| *connection != id);
        drop(inner);
        if let Some(connection) = connection {
            // It is gone either way.
            let _ = connection.transport.unsubscribe();
        }
    }

    /// Deals with a valid message.
    fn take(self: &Arc<Self>, inner: &mut Inner, id: u64, frame: Arc<Frame>) {
        let is_call = match frame.message() {
            Message::Call(_) => true,
            Message::Sync(_) => false,
            // It goes the wrong way.
            _ => return,
        };
        let Some(connection) = inner.connections.get_mut(&id) else { return };
        match inner.phase.clone() {
            Phase::Disposed { .. } => return,
            Phase::Starting if !is_call => {
                // Requests during start-up are all answered by the snapshots that follow it, one each.
                if inner.waiting.iter().filter(|(other, _)| *other == id).count() < self.options.calls_max {
                    inner.waiting.push((id, frame));
                }
                return;
            }
            Phase::Failed(error) => {
                if let Message::Call(call) = frame.message() {
                    connection.in_flight += 1;
                    inner.answer(id, call.id, Err(error), None);
                }
                return;
            }
            Phase::Starting | Phase::Started => {}
        }
        match frame.message() {
            Message::Call(call) => {
                // Calls that wait are counted when they come in, and not again when their time has come.
                if connection.in_flight >= self.options.calls_max {
                    let failure = Failure::refusal(format!("{} calls are in flight already", self.options.calls_max));
                    connection.in_flight += 1;
                    inner.answer(id, call.id, Err(failure.into()), None);
                    return;
                }
                if inner.phase == Phase::Starting {
                    // Bounded as calls in flight are.
                    if inner.waiting.iter().filter(|(other, _)| *other == id).count() < self.options.calls_max {
                        inner.waiting.push((id, frame));
                    }
                    return;
                }
                connection.in_flight += 1;
                let slot = inner.names.get(&call.module).map(|&index| &inner.modules[index]);
                if slot.is_some_and(|slot| slot.is_queued) {
                    inner.queued.push((id, frame));
                } else {
                    self.run(inner, id, call, None);
                }
            }
            Message::Sync(sync) => self.answer_sync(inner, id, sync),
            _ => {}
        }
    }

    fn answer_sync(&self, inner: &mut Inner, id: u64, sync: &SyncMessage) {
        let Some(connection) = inner.connections.get(&id) else { return };
        let resumes = self.options.extensions
            && !connection.transport.is_shared()
            && !connection.is_blocked
            && sync.epoch == Some(self.epoch);
        let missing = sync.have.filter(|_| resumes).and_then(|have| inner.views[connection.view].since(have));
        match missing {
            Some(missing) => missing.into_iter().for_each(|frame| inner.send(id, Outgoing::Change(frame))),
            None => inner.send_snapshot(id, Some(sync.id)),
        }
    }

    /// Runs a call, and answers it now or later.
    fn run(self: &Arc<Self>, inner: &mut Inner, id: u64, call: &CallMessage, tick: Option<u64>) {
        let Some(&index) = inner.names.get(&call.module) else {
            let failure = Failure::refusal(format!("there is no module `{}`", call.module));
            return inner.answer(id, call.id, Err(failure.into()), tick);
        };
        if inner.modules[index].here().is_none() {
            if let Err(failure) = inner.call_foreign(index, id, call, tick) {
                inner.answer(id, call.id, Err(failure.into()), tick);
            }
            return;
        }
        let exposed = inner.modules[index].exposed.contains(&call.method);
        let live = Arc::downgrade(self);
        let called = inner
            .commit(index, |module, published, changes| module.call(call, exposed, live, index, published, changes));
        match called.unwrap_or_else(|| Called::Done(Err(gone()))) {
            Called::Done(outcome) => inner.answer(id, call.id, outcome.map_err(RemoteError::from), tick),
            Called::Later(future) => {
                let (host, call_id) = (Arc::downgrade(self), call.id);
                (self.spawner)(Box::pin(async move {
                    let outcome = modules::CatchUnwind(future).await;
                    if let Some(host) = host.upgrade() {
                        host.lock().answer(id, call_id, outcome.map_err(RemoteError::from), tick);
                        host.pump();
                    }
                }));
            }
        }
    }

    /// Posts what waits. Each connection is dealt with by one thread at a time.
    fn pump(self: &Arc<Self>) {
        let mut inner = self.lock();
        while let Some(id) = inner.dirty.pop_front() {
            let Some(connection) = inner.connections.get_mut(&id) else { continue };
            if connection.is_draining {
                continue;
            }
            connection.is_draining = true;
            while let Some((frame, transport, wakeups)) = inner.next_frame(id) {
                drop(inner);
                let posted = transport.post(&frame);
                if posted == Err(TransportError::Closed) {
                    self.disconnect(id);
                }
                inner = self.lock();
                inner.posted(id, &frame, posted, wakeups);
            }
            if let Some(connection) = inner.connections.get_mut(&id) {
                connection.is_draining = false;
            }
        }
        let (released, to_watch) = (std::mem::take(&mut inner.released), std::mem::take(&mut inner.to_watch));
        drop(inner);
        drop(released);
        to_watch.into_iter().for_each(|source| self.watch(source));
    }
}

impl Inner {
    /// Changes a module, and publishes what changed; nothing if the module is not here.
    fn commit<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut dyn AnyModule, &mut Value, &mut Changes) -> R,
    ) -> Option<R> {
        let slot = &mut self.modules[index];
        let Kind::Here(module) = &mut slot.kind else { return None };
        let mut changes = Changes::default();
        self.views.iter_mut().for_each(View::release);
        let Value::Map(root) = &mut self.root else { unreachable!("the root is made as a map and stays one") };
        // Taken out, so that it is changed where it is and not copied.
        let mut published = root.get_mut(&slot.name).map(std::mem::take).unwrap_or_default();
        changes.path.push(Segment::Key(slot.name.clone()));
        let result = change(&mut **module, &mut published, &mut changes);
        if let Some(place) = root.get_mut(&slot.name) {
            *place = published;
        }
        if !changes.patches.is_empty() {
            self.publish(&Published::Here(&changes.patches.into()));
        }
        Some(result)
    }

    fn publish(&mut self, change: &Published<'_>) {
        self.commits += 1;
        if self.phase != Phase::Started {
            return;
        }
        let whole = Whole { root: &self.root, texts: &self.texts };
        for (at, view) in self.views.iter_mut().enumerate() {
            let publication = view.publish(change, whole, self.commits);
            for (&id, connection) in self.connections.iter_mut().filter(|(_, connection)| connection.view == at) {
                match &publication {
                    Publication::Nothing => continue,
                    Publication::Frame(frame) => connection.push_change(frame.clone()),
                    Publication::Later => connection.coalesce(None),
                }
                self.dirty.push_back(id);
            }
        }
    }

    fn send(&mut self, id: u64, outgoing: Outgoing) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.push(outgoing);
            self.dirty.push_back(id);
        }
    }

    fn send_snapshot(&mut self, id: u64, sync_id: Option<u64>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.is_blocked {
            connection.coalesce(sync_id);
        } else {
            let view = connection.view;
            let whole = Whole { root: &self.root, texts: &self.texts };
            match self.views[view].snapshot(whole, self.commits, sync_id) {
                Some(frame) => connection.push(Outgoing::Change(frame)),
                None => {
                    connection.push(Outgoing::Snapshot { sync_id });
                    // At once, so that it is of before whatever is called next.
                    self.ask_states(view);
                }
            }
        }
        self.dirty.push_back(id);
    }

    fn answer(&mut self, id: u64, call: u64, outcome: Result<Option<Json>, RemoteError>, tick: Option<u64>) {
        let Some(connection) = self.connections.get(&id) else { return };
        let version = self.views[connection.view].version(self.commits);
        let result = ResultMessage { id: call, state_version: Some(version), outcome, tick };
        self.send(id, Outgoing::Other(Frame::new(Message::Result(result))));
    }

    /// Takes the next message of a connection that can send.
    fn next_frame(&mut self, id: u64) -> Option<(Arc<Frame>, Arc<dyn Transport>, u64)> {
        let connection = self.connections.get_mut(&id)?;
        if connection.is_blocked {
            return None;
        }
        if matches!(connection.outbox.front(), Some(Outgoing::Snapshot { .. })) {
            let view = connection.view;
            if self.ask_states(view) {
                return None;
            }
        }
        let connection = self.connections.get_mut(&id)?;
        let whole = Whole { root: &self.root, texts: &self.texts };
        let frame = match connection.pop()? {
            Outgoing::Change(frame) | Outgoing::Other(frame) => frame,
            Outgoing::Snapshot { sync_id } => self.views[connection.view].snapshot(whole, self.commits, sync_id)?,
        };
        Some((frame, connection.transport.clone(), connection.wakeups))
    }

    /// Deals with what became of a message.
    fn posted(&mut self, id: u64, frame: &Arc<Frame>, posted: Result<(), TransportError>, wakeups: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let is_result = matches!(frame.message(), Message::Result(_));
        match posted {
            Ok(()) => connection.in_flight -= usize::from(is_result),
            Err(TransportError::Full) => {
                connection.put_back(frame.clone());
                // If there was room in between, nobody will say so again.
                connection.is_blocked = connection.wakeups == wakeups;
            }
            // The connection is gone by now.
            Err(TransportError::Closed) => {}
            Err(error) => match frame.message() {
                Message::Result(result) if result.outcome.is_ok() => {
                    let failure = RemoteError::from(Failure::error(error.to_string()));
                    let call = result.id;
                    let tick = result.tick;
                    self.answer(id, call, Err(failure), tick);
                }
                Message::Result(_) => connection.in_flight -= 1,
                // A lost change would be a gap: its place is taken by a snapshot, with the next thing that is sent.
                Message::State(state) if state.sync == SyncMode::Patch => connection.coalesce(None),
                _ => {}
            },
        }
    }
}

impl Slot {
    /// The module, if it is here.
    fn here(&self) -> Option<&dyn AnyModule> {
        match &self.kind {
            Kind::Here(module) => Some(&**module),
            Kind::Foreign(_) => None,
        }
    }
}

impl<M: Module> Live<M> {
    pub(crate) fn of(host: Weak<HostShared>, index: usize) -> Live<M> {
        Live::new(host, index)
    }
}

/// For downcasts of modules.
trait AsAny {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Any> AsAny for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
