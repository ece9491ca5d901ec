//! Modules whose state is kept elsewhere, as by an agent: whoever keeps them makes the texts, and the host forwards them.
//!
//! A [`Foreign`] app is asked for states and given calls; what it has to say comes in by its [`ForeignApp`]. To clients its
//! modules are like others. The host reads neither states nor patches nor results: it puts them into messages, by module.
//!
//! # Rules
//! - What an app says counts in the order in which it says it: the text of a state holds all changes told before, and no
//!   others. So does each of an app's states that are told together.
//! - A state's text is known until its module changes without a new one. A snapshot that needs what is not known waits in
//!   the queue of its connection, and nowhere else.
//! - Whoever is asked for states and tells none in time is gone, as one who says so. A module that is gone is removed from
//!   the state, its calls fail, and another app may take its name.
//! - An app is asked with the host's lock held, so that order is kept: it passes on and does not call back.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Weak},
};

use super::{
    HostError, HostShared, Inner, Outgoing, Phase,
    modules::{Kind, Slot},
    view::{Published, View},
};
use crate::{
    diff::Changes,
    message::{CallMessage, RemoteError},
    module::Failure,
    patch::{Op, Patch, Segment},
    payload::Json,
    timer,
    value::{Text, Value},
};

/// An app that keeps modules, as a host sees it. No method may wait or call the host back.
pub trait Foreign: Send + Sync {
    /// Passes a call on. Its outcome is told by [`ForeignApp::answer`] under the same number, also if it fails.
    ///
    /// # Errors
    /// If it was not passed on: its caller is told so.
    fn call(&self, number: u64, module: &Text, method: &Text, args: &Json) -> Result<(), Failure>;

    /// Asks for the states of all modules, to be told by [`ForeignApp::states`].
    fn ask_states(&self);

    /// Says whether changes should come with the states after them, as snapshots are wanted with every change.
    fn want_states(&self, wanted: bool);
}

/// A module of a [`Foreign`] app.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignModule {
    /// Its name: its key in the state.
    pub name: Text,
    /// Methods that everybody may call.
    pub actions: Vec<Text>,
    /// Methods that may be called if the host exposes them.
    pub methods: Vec<Text>,
    /// The JSON text of its state.
    pub state: Arc<str>,
}

/// What one change of a [`Foreign`] app did to one module.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignChange {
    /// The module.
    pub module: Text,
    /// The JSON text of a list of patches, whose paths begin with the module's name.
    pub patches: Box<str>,
    /// The JSON text of the state after it; without, the host asks when it needs one.
    pub state: Option<Arc<str>>,
}

/// Speaks for a [`Foreign`] app at its host. Copies speak for the same.
#[derive(Clone)]
pub struct ForeignApp {
    host: Weak<HostShared>,
    source: usize,
}

impl ForeignApp {
    /// Publishes one change of the app, of one module or several.
    ///
    /// An app that gives anything but lists of patches, or names modules that are not its own, is gone.
    pub fn change(&self, changes: Vec<ForeignChange>) {
        self.with(|inner| inner.foreign_change(self.source, changes));
    }

    /// Tells states, as JSON text: those asked for, as they are after all changes told so far.
    pub fn states(&self, states: Vec<(Text, Arc<str>)>) {
        self.with(|inner| inner.foreign_states(self.source, states));
    }

    /// Tells what became of a call; a value is JSON text.
    pub fn answer(&self, number: u64, outcome: Result<Option<Box<str>>, Failure>) {
        self.with(|inner| {
            let asked = inner.sources[self.source].calls.remove(&number);
            if let Some(Asked { connection, call, tick }) = asked {
                let outcome = outcome.map(|value| value.map(Json::from_checked)).map_err(RemoteError::from);
                inner.answer(connection, call, outcome, tick);
            }
        });
    }

    /// Says that the app is gone, and why: its calls fail, and its modules leave the state.
    pub fn gone(&self, why: &str) {
        self.with(|inner| inner.foreign_gone(self.source, why));
    }

    /// Whether the host still counts on the app.
    pub fn is_served(&self) -> bool {
        self.host.upgrade().is_some_and(|host| host.lock().sources[self.source].app.is_some())
    }

    fn with(&self, run: impl FnOnce(&mut Inner)) {
        let Some(host) = self.host.upgrade() else { return };
        let mut inner = host.lock();
        if inner.sources[self.source].app.is_some() && !matches!(inner.phase, Phase::Disposed { .. }) {
            run(&mut inner);
        }
        drop(inner);
        host.pump();
    }
}

/// A module of a foreign app, at its host.
pub(super) struct ForeignSlot {
    source: usize,
    actions: HashSet<Text>,
    methods: HashSet<Text>,
}

/// A call that was passed on.
struct Asked {
    connection: u64,
    call: u64,
    tick: Option<u64>,
}

/// A foreign app, at its host.
pub(super) struct Source {
    /// Nothing once it is gone.
    pub(super) app: Option<Arc<dyn Foreign>>,
    why: String,
    calls: BTreeMap<u64, Asked>,
    calls_before: u64,
    /// The number of the question for states that is not answered.
    asked: Option<u64>,
    asks: u64,
    is_watched: bool,
}

impl HostShared {
    /// Takes in a foreign app.
    pub(super) fn attach(
        self: &Arc<Self>,
        modules: Vec<ForeignModule>,
        app: Arc<dyn Foreign>,
    ) -> Result<ForeignApp, HostError> {
        let mut inner = self.lock();
        match &inner.phase {
            Phase::Disposed { .. } => return Err(HostError::Disposed),
            Phase::Failed(error) => return Err(HostError::Start(error.clone())),
            Phase::Starting | Phase::Started => {}
        }
        let mut names = HashSet::new();
        for ForeignModule { name, .. } in &modules {
            if Segment::key(name.clone()).is_none() {
                return Err(HostError::ModuleName(name.to_string()));
            }
            if inner.is_taken(name) || !names.insert(name.clone()) {
                return Err(HostError::DuplicateModule(name.to_string()));
            }
        }
        let source = inner.sources.len();
        app.want_states(inner.views.iter().any(View::is_whole));
        inner.sources.push(Source {
            app: Some(app),
            why: String::new(),
            calls: BTreeMap::new(),
            calls_before: 0,
            asked: None,
            asks: 0,
            is_watched: false,
        });
        let mut added = Vec::new();
        for ForeignModule { name, actions, methods, state } in modules {
            let path = Json::from(Value::List([Value::String(name.clone())].into_iter().collect()));
            let patches = format!(r#"[{{"op":"add","path":{},"value":{state}}}]"#, path.text()).into();
            added.push(ForeignChange { module: name.clone(), patches, state: None });
            inner.texts.insert(name.clone(), Some(state));
            let (actions, methods) = (actions.into_iter().collect(), methods.into_iter().collect());
            let kind = Kind::Foreign(ForeignSlot { source, actions, methods });
            let exposed = inner.exposed.iter().filter(|(module, _)| *module == name);
            let exposed = exposed.flat_map(|(_, methods)| methods.clone()).collect();
            let slot = Slot { name: name.clone(), kind, exposed, is_queued: false };
            match inner.names.get(&name) {
                Some(&index) => inner.modules[index] = slot,
                None => {
                    let index = inner.modules.len();
                    inner.names.insert(name, index);
                    inner.modules.push(slot);
                }
            }
        }
        // What is there when the host starts is in the first snapshot.
        if inner.phase == Phase::Started && !added.is_empty() {
            inner.publish(&Published::Foreign(&added));
        }
        drop(inner);
        self.pump();
        Ok(ForeignApp { host: Arc::downgrade(self), source })
    }

    /// Takes apps for gone that do not tell their states in time.
    pub(super) fn watch(self: &Arc<Self>, source: usize) {
        let (host, timeout) = (Arc::downgrade(self), self.options.state_timeout);
        (self.spawner)(Box::pin(async move {
            loop {
                let Some(asked) = host.upgrade().and_then(|host| host.lock().still_asked(source)) else { return };
                timer::sleep(timeout).await;
                let Some(host) = host.upgrade() else { return };
                let mut inner = host.lock();
                if inner.sources[source].asked == Some(asked) {
                    inner.foreign_gone(source, "it did not tell its state in time");
                    drop(inner);
                    host.pump();
                }
            }
        }));
    }
}

impl Inner {
    fn is_taken(&self, name: &Text) -> bool {
        self.names.get(name).is_some_and(|&index| match &self.modules[index].kind {
            Kind::Here(_) => true,
            Kind::Foreign(slot) => self.sources[slot.source].app.is_some(),
        })
    }

    /// Passes a call on; or says why not.
    pub(super) fn call_foreign(
        &mut self,
        index: usize,
        connection: u64,
        call: &CallMessage,
        tick: Option<u64>,
    ) -> Result<(), Failure> {
        let Slot { kind: Kind::Foreign(slot), exposed, .. } = &self.modules[index] else { return Ok(()) };
        let CallMessage { module, method, .. } = call;
        let source = &mut self.sources[slot.source];
        let Some(app) = &source.app else {
            return Err(Failure::refusal(format!("module `{module}` is gone: {}", source.why)));
        };
        if !(slot.actions.contains(method) || slot.methods.contains(method) && exposed.contains(method)) {
            return Err(Failure::refusal(format!("{module}.{method} is neither an action nor exposed")));
        }
        let number = source.calls_before;
        source.calls_before += 1;
        app.call(number, module, method, &call.args)?;
        source.calls.insert(number, Asked { connection, call: call.id, tick });
        Ok(())
    }

    /// Forgets the calls of a connection.
    pub(super) fn forget_calls(&mut self, connection: u64) {
        for source in &mut self.sources {
            source.calls.retain(|_, asked| asked.connection != connection);
        }
    }

    fn foreign_change(&mut self, source: usize, changes: Vec<ForeignChange>) {
        let is_own = |name: &Text| {
            let slot = self.names.get(name).map(|&index| &self.modules[index].kind);
            matches!(slot, Some(Kind::Foreign(slot)) if slot.source == source)
        };
        let is_list = |patches: &str| patches.starts_with('[') && patches.ends_with(']') && patches.len() > 1;
        let wrong = changes.iter().find(|change| !is_own(&change.module) || !is_list(&change.patches));
        if let Some(ForeignChange { module, .. }) = wrong {
            let why = format!("it told a change of `{module}` that is none");
            return self.foreign_gone(source, &why);
        }
        for change in &changes {
            self.texts.insert(change.module.clone(), change.state.clone());
        }
        if changes.iter().any(|change| change.patches.len() > 2) {
            self.publish(&Published::Foreign(&changes));
        }
    }

    fn foreign_states(&mut self, source: usize, states: Vec<(Text, Arc<str>)>) {
        self.sources[source].asked = None;
        for (name, text) in states {
            let slot = self.names.get(&name).map(|&index| &self.modules[index].kind);
            if matches!(slot, Some(Kind::Foreign(slot)) if slot.source == source) {
                self.texts.insert(name, Some(text));
            }
        }
        self.wake_waiting();
    }

    fn foreign_gone(&mut self, source: usize, why: &str) {
        let Some(app) = self.sources[source].app.take() else { return };
        self.released.push(app);
        self.sources[source].why = why.to_owned();
        self.sources[source].asked = None;
        let mut removed = Changes::default();
        for slot in &self.modules {
            if matches!(&slot.kind, Kind::Foreign(foreign) if foreign.source == source)
                && self.texts.remove(&slot.name).is_some()
            {
                let path: Vec<Segment> = vec![Segment::Key(slot.name.clone())];
                removed.patches.push(Patch { op: Op::Remove, path: path.into() });
            }
        }
        if !removed.patches.is_empty() {
            self.publish(&Published::Here(&removed.patches.into()));
        }
        for (_, asked) in std::mem::take(&mut self.sources[source].calls) {
            let failure = Failure::refusal(format!("the module is gone: {why}"));
            self.answer(asked.connection, asked.call, Err(failure.into()), asked.tick);
        }
        self.wake_waiting();
    }

    /// Asks for what a view's snapshot lacks. Returns whether it lacks something.
    pub(super) fn ask_states(&mut self, view: usize) -> bool {
        let mut lacks = false;
        for slot in &self.modules {
            let Kind::Foreign(foreign) = &slot.kind else { continue };
            if !self.views[view].has_section(&slot.name) || !matches!(self.texts.get(&slot.name), Some(None)) {
                continue;
            }
            lacks = true;
            let source = &mut self.sources[foreign.source];
            if let (Some(app), None) = (&source.app, source.asked) {
                source.asks += 1;
                source.asked = Some(source.asks);
                app.ask_states();
                if !std::mem::replace(&mut source.is_watched, true) {
                    self.to_watch.push(foreign.source);
                }
            }
        }
        lacks
    }

    /// The question for states that is still open; without one, nobody watches any more.
    fn still_asked(&mut self, source: usize) -> Option<u64> {
        let source = &mut self.sources[source];
        source.is_watched = source.asked.is_some();
        source.asked
    }

    /// Says to apps whether changes should come with states.
    pub(super) fn tell_wants(&self) {
        let wanted = self.views.iter().any(View::is_whole);
        self.sources.iter().filter_map(|source| source.app.as_ref()).for_each(|app| app.want_states(wanted));
    }

    /// Lets connections go on that wait for a snapshot.
    fn wake_waiting(&mut self) {
        for (&id, connection) in &self.connections {
            if matches!(connection.outbox.front(), Some(Outgoing::Snapshot { .. })) {
                self.dirty.push_back(id);
            }
        }
    }
}
