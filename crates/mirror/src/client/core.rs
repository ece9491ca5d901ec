//! A client's decisions, without any means to act: messages in, events out.
//!
//! The order of events is the protocol's (sections 4 and 5): what is accepted shows as [`Event::State`], then
//! [`Event::Ready`] on the first acceptance, then the results that waited for it. Whoever drives the core posts what it
//! is told to post and reports failures of posting back.
//!
//! # Rules
//! - A message is taken wholly or not at all.
//! - Time comes in from outside, as the time since some start; nothing here reads a clock.
//! - With all [`Extensions`] off, events are those of CoSystem's client, one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    message::{CallMessage, Frame, Invalid, Message, RemoteError, ResultMessage, StateMessage, SyncMessage, SyncMode},
    patch::{self, PatchError},
    payload::{Json, Patches},
    transport::TransportError,
    value::{Text, Value},
};

/// What a client does beyond CoSystem's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions {
    /// Asks for state after any conflict but `stale-message`, and asks again after this time if no answer came.
    pub resync: Option<Duration>,
    /// Takes `replace` of a list's `length` by a smaller integer as truncation.
    pub length: bool,
    /// Says in requests what it has, so that the host can answer with what is missing; and starts anew when the host's
    /// `epoch` changes.
    pub resume: bool,
}

impl Extensions {
    /// None.
    pub const OFF: Extensions = Extensions { resync: None, length: false, resume: false };
}

impl Default for Extensions {
    fn default() -> Self {
        Extensions { resync: Some(Duration::from_secs(1)), length: true, resume: true }
    }
}

/// Something the driver does or tells, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Post this; if that fails, tell [`ClientCore::post_failed`].
    Post(Arc<Frame>, Posted),
    /// State was accepted.
    State {
        /// Its version.
        version: u64,
        /// It.
        state: Value,
        /// The message that brought it.
        message: Arc<Frame>,
    },
    /// There is state for the first time.
    Ready,
    /// There never will be state.
    ReadyFailed(CallError),
    /// A message did not fit.
    Conflict(Conflict),
    /// A message was not valid.
    Invalid(Invalid),
    /// A call is over.
    Settled {
        /// The call's.
        id: u64,
        /// What became of it.
        outcome: Result<Option<Json>, CallError>,
    },
}

/// What was to be posted.
#[derive(Debug, Clone)]
pub enum Posted {
    /// A call.
    Call(u64),
    /// A request for state.
    Sync {
        /// Its id.
        id: u64,
        /// The call for whose result it is.
        cause: Option<u64>,
        /// What was requested before.
        before: Option<u64>,
    },
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CallError {
    /// The host says so.
    Remote(RemoteError),
    /// It was aborted here.
    Aborted,
    /// Its time ran out, in milliseconds.
    TimedOut(f64),
    /// The time-out asked for is negative or not finite.
    BadTimeout,
    /// The client was disposed before the call.
    Disposed,
    /// The client was disposed before the answer.
    DisposedBeforeResponse,
    /// The client was disposed before the first state.
    DisposedBeforeState,
    /// There is no state yet.
    NotReady,
    /// The message could not be sent, or the transport closed.
    Transport(TransportError),
    /// The arguments cannot be expressed, or the result is of another type than expected.
    Value(String),
}

impl CallError {
    /// The error's kind: the sender's for remote errors, `CosystemError` otherwise.
    pub fn name(&self) -> &str {
        match self {
            CallError::Remote(error) => &error.name,
            CallError::Value(_) => "TypeError",
            CallError::Transport(_) => "Error",
            _ => "CosystemError",
        }
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Remote(error) => write!(f, "Remote worker error: {}", error.message),
            CallError::Aborted => f.write_str("Worker call aborted."),
            CallError::TimedOut(ms) => write!(f, "Worker call timed out after {ms}ms."),
            CallError::BadTimeout => f.write_str("timeout must be a finite, non-negative number."),
            CallError::Disposed => f.write_str("Worker client has been disposed."),
            CallError::DisposedBeforeResponse => f.write_str("Worker client disposed before response."),
            CallError::DisposedBeforeState => f.write_str("Worker client disposed before initial state."),
            CallError::NotReady => f.write_str("Worker client state is not ready."),
            CallError::Transport(error) => error.fmt(f),
            CallError::Value(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CallError {}

/// A message that did not fit.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// Why.
    pub reason: ConflictReason,
    /// The client's version.
    pub current_version: u64,
    /// The message's.
    pub incoming_version: u64,
    /// The message.
    pub message: Arc<Frame>,
}

/// Why a message did not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictReason {
    /// It is not newer than what is here.
    StaleMessage,
    /// It is a change, and there is nothing to change.
    MissingSnapshot,
    /// It is a change of something else than what is here.
    VersionGap,
    /// One of its patches does not fit.
    PatchApplyFailed(PatchError),
}

impl ConflictReason {
    /// The protocol's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            ConflictReason::StaleMessage => "stale-message",
            ConflictReason::MissingSnapshot => "missing-snapshot",
            ConflictReason::VersionGap => "version-gap",
            ConflictReason::PatchApplyFailed(_) => "patch-apply-failed",
        }
    }
}

/// A call that waits.
struct Pending {
    deadline: Option<Duration>,
    timeout_ms: f64,
    /// The result, if it waits for state.
    result: Option<ResultMessage>,
}

/// A client without I/O.
pub struct ClientCore {
    extensions: Extensions,
    state: Option<Value>,
    version: u64,
    /// The version for which a request is outstanding.
    requested: Option<u64>,
    /// The newest version that did not fit while a request was outstanding.
    missed: u64,
    /// When to request again.
    retry_at: Option<Duration>,
    /// Versions up to this are dropped without a word.
    silent: u64,
    epoch: Option<u64>,
    /// The host has restarted: the next whole state counts whatever its version.
    restarted: bool,
    next_id: u64,
    /// By id, which is the order of the calls.
    pending: BTreeMap<u64, Pending>,
    deadlines: BTreeSet<(Duration, u64)>,
    ready_settled: bool,
    disposed: bool,
}

impl ClientCore {
    /// A client that has nothing yet.
    pub fn new(extensions: Extensions) -> ClientCore {
        ClientCore {
            extensions,
            state: None,
            version: 0,
            requested: None,
            missed: 0,
            retry_at: None,
            silent: 0,
            epoch: None,
            restarted: false,
            next_id: 1,
            pending: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            ready_settled: false,
            disposed: false,
        }
    }

    /// Returns the version, 0 before anything arrived.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the state.
    pub fn state(&self) -> Option<&Value> {
        self.state.as_ref()
    }

    /// Whether the client was disposed.
    pub fn is_disposed(&self) -> bool {
        self.disposed
    }

    /// Starts a call. Its id is returned even if it failed already, in which case the events say so.
    ///
    /// # Errors
    /// [`CallError::Disposed`], or [`CallError::BadTimeout`], without an id being used.
    #[allow(clippy::too_many_arguments)]
    pub fn call(
        &mut self,
        module: Text,
        method: Text,
        args: Json,
        timeout_ms: f64,
        aborted: bool,
        now: Duration,
        events: &mut impl Extend<Event>,
    ) -> Result<u64, CallError> {
        if self.disposed {
            return Err(CallError::Disposed);
        }
        if !(timeout_ms.is_finite() && timeout_ms >= 0.0) {
            return Err(CallError::BadTimeout);
        }
        let id = self.next_id;
        self.next_id += 1;
        if aborted {
            events.extend([Event::Settled { id, outcome: Err(CallError::Aborted) }]);
            return Ok(id);
        }
        // What is too long for a duration never runs out.
        let deadline = (timeout_ms > 0.0)
            .then(|| Duration::try_from_secs_f64(timeout_ms / 1000.0).ok().and_then(|timeout| now.checked_add(timeout)))
            .flatten();
        self.deadlines.extend(deadline.map(|deadline| (deadline, id)));
        self.pending.insert(id, Pending { deadline, timeout_ms, result: None });
        let message = Message::Call(CallMessage { id, module, method, args });
        events.extend([Event::Post(Frame::new(message), Posted::Call(id))]);
        Ok(id)
    }

    /// Aborts a call. The host is not told, and runs it to its end.
    pub fn abort(&mut self, id: u64, events: &mut impl Extend<Event>) {
        self.fail(id, CallError::Aborted, events);
    }

    /// Says that something could not be posted.
    pub fn post_failed(&mut self, posted: &Posted, error: TransportError, events: &mut impl Extend<Event>) {
        match *posted {
            Posted::Call(id) => self.fail(id, CallError::Transport(error), events),
            Posted::Sync { id, cause, before } => {
                self.requested = before;
                if self.next_id == id + 1 {
                    self.next_id = id;
                }
                if let Some(cause) = cause {
                    self.fail(cause, CallError::Transport(error), events);
                }
            }
        }
    }

    /// Says that the transport is closed: nothing will be answered any more.
    pub fn closed(&mut self, error: &TransportError, events: &mut impl Extend<Event>) {
        if !self.ready_settled {
            self.ready_settled = true;
            events.extend([Event::ReadyFailed(CallError::Transport(error.clone()))]);
        }
        for id in self.pending.keys().copied().collect::<Vec<_>>() {
            self.fail(id, CallError::Transport(error.clone()), events);
        }
    }

    /// Ends the client. The state stays readable.
    pub fn dispose(&mut self, events: &mut impl Extend<Event>) {
        if self.disposed {
            return;
        }
        self.disposed = true;
        if !self.ready_settled {
            self.ready_settled = true;
            events.extend([Event::ReadyFailed(CallError::DisposedBeforeState)]);
        }
        for id in self.pending.keys().copied().collect::<Vec<_>>() {
            self.fail(id, CallError::DisposedBeforeResponse, events);
        }
    }

    /// Returns when [`expire`](ClientCore::expire) has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let call = self.deadlines.first().map(|&(deadline, _)| deadline);
        let retry = self.retry_at.filter(|_| self.requested.is_some() && !self.disposed);
        call.into_iter().chain(retry).min()
    }

    /// Fails the calls whose time ran out, and repeats a request that was not answered.
    pub fn expire(&mut self, now: Duration, events: &mut impl Extend<Event>) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            let timeout_ms = self.pending.get(&id).map_or(0.0, |pending| pending.timeout_ms);
            self.fail(id, CallError::TimedOut(timeout_ms), events);
        }
        if let (Some(requested), Some(retry_at)) = (self.requested, self.retry_at)
            && retry_at <= now
            && !self.disposed
        {
            self.post_sync(requested, None, true, now, events);
        }
    }

    /// Takes in a message, or learns that one was invalid.
    pub fn receive(&mut self, received: Result<Arc<Frame>, Invalid>, now: Duration, events: &mut impl Extend<Event>) {
        if self.disposed {
            return;
        }
        let frame = match received {
            Ok(frame) => frame,
            Err(invalid) => return events.extend([Event::Invalid(invalid)]),
        };
        match frame.message() {
            Message::State(message) => self.take_state(message, &frame, now, events),
            Message::Result(result) => self.take_result(result, now, events),
            Message::Ready(ready) if self.extensions.resume => {
                if self.epoch.is_some() && ready.epoch.is_some() && self.epoch != ready.epoch {
                    (self.restarted, self.silent, self.missed) = (true, 0, 0);
                }
                self.epoch = ready.epoch.or(self.epoch);
            }
            // Those that go the other way, and `ready`.
            _ => {}
        }
    }

    fn take_state(
        &mut self,
        message: &StateMessage,
        frame: &Arc<Frame>,
        now: Duration,
        events: &mut impl Extend<Event>,
    ) {
        let is_patch_only = message.state.is_none() && message.sync == SyncMode::Patch;
        // What came as a message and not as its text may hold text that nobody has read.
        let malformed = match &message.state {
            Some(state) => (!matches!(state.value(), Value::Map(_))).then_some("state"),
            None => message.patches.as_ref().is_some_and(|patches| patches.list().is_none()).then_some("patches"),
        };
        if let Some(field) = malformed {
            return events.extend([Event::Invalid(Invalid::Field { message: "state", field })]);
        }
        let next = match self.take_next(message, is_patch_only) {
            Ok(next) => next,
            Err(None) => return,
            Err(Some(reason)) => {
                let repairable = reason != ConflictReason::StaleMessage;
                // What does not apply would not apply again.
                let resumable = reason == ConflictReason::VersionGap;
                let (current_version, incoming_version) = (self.version, message.version);
                let conflict = Conflict { reason, current_version, incoming_version, message: frame.clone() };
                events.extend([Event::Conflict(conflict)]);
                if repairable && self.extensions.resync.is_some() {
                    if self.requested.is_none() {
                        self.post_sync(incoming_version, None, resumable, now, events);
                    } else {
                        // The answer may have been made before it.
                        self.missed = self.missed.max(incoming_version);
                    }
                }
                return;
            }
        };
        self.version = message.version;
        self.restarted = false;
        if self.requested.is_some_and(|requested| requested <= self.version) {
            self.silent = self.silent.max(self.version);
            (self.requested, self.retry_at) = (None, None);
        }
        events.extend([Event::State { version: self.version, state: next, message: frame.clone() }]);
        if !self.ready_settled {
            self.ready_settled = true;
            events.extend([Event::Ready]);
        }
        let version = self.version;
        let satisfied = |pending: &Pending| {
            pending.result.as_ref().is_some_and(|result| result.state_version.is_none_or(|needed| needed <= version))
        };
        let satisfied: Vec<u64> = self.pending.iter().filter(|(_, call)| satisfied(call)).map(|(&id, _)| id).collect();
        for id in satisfied {
            if let Some(result) = self.pending.get_mut(&id).and_then(|pending| pending.result.take()) {
                self.settle(id, outcome(result), events);
            }
        }
        if self.missed > self.version && self.requested.is_none() {
            let missed = std::mem::take(&mut self.missed);
            self.post_sync(missed, None, true, now, events);
        }
    }

    /// Changes the state as `message` says, and returns a copy. Fails with a reason, or with none if the message is to
    /// be dropped without a word; then the state is as it was.
    fn take_next(&mut self, message: &StateMessage, is_patch_only: bool) -> Result<Value, Option<ConflictReason>> {
        let starts_anew = self.restarted && !is_patch_only;
        if self.state.is_some() && message.version <= self.version && !starts_anew {
            let silent = message.version <= self.silent;
            return Err((!silent).then_some(ConflictReason::StaleMessage));
        }
        if let (false, Some(state)) = (is_patch_only, &message.state) {
            return Ok(self.state.insert(state.value().clone()).clone());
        }
        let Some(state) = &mut self.state else { return Err(Some(ConflictReason::MissingSnapshot)) };
        if message.version != self.version + 1 || self.restarted {
            return Err(Some(ConflictReason::VersionGap));
        }
        let patches = message.patches.as_ref().and_then(Patches::list).unwrap_or_default();
        patch::apply_in_place(state, patches, patch::Extensions { length: self.extensions.length })
            .map_err(|error| Some(ConflictReason::PatchApplyFailed(error)))?;
        Ok(state.clone())
    }

    fn take_result(&mut self, result: &ResultMessage, now: Duration, events: &mut impl Extend<Event>) {
        let Some(pending) = self.pending.get_mut(&result.id) else { return };
        match result.state_version {
            Some(needed) if self.state.is_none() || needed > self.version => {
                pending.result = Some(result.clone());
                if self.requested.is_none_or(|requested| needed > requested) {
                    self.post_sync(needed, Some(result.id), true, now, events);
                }
            }
            _ => self.settle(result.id, outcome(result.clone()), events),
        }
    }

    fn post_sync(
        &mut self,
        needed: u64,
        cause: Option<u64>,
        resumable: bool,
        now: Duration,
        events: &mut impl Extend<Event>,
    ) {
        let (id, before) = (self.next_id, self.requested);
        self.next_id += 1;
        self.requested = Some(needed);
        self.retry_at = self.extensions.resync.map(|retry| now + retry);
        let resume = resumable && self.extensions.resume && self.state.is_some() && !self.restarted;
        let epoch = self.epoch.filter(|_| resume);
        let have = epoch.map(|_| self.version);
        let message = Message::Sync(SyncMessage { id, state_version: Some(needed), have, epoch });
        events.extend([Event::Post(Frame::new(message), Posted::Sync { id, cause, before })]);
    }

    fn fail(&mut self, id: u64, error: CallError, events: &mut impl Extend<Event>) {
        if self.pending.contains_key(&id) {
            self.settle(id, Err(error), events);
        }
    }

    fn settle(&mut self, id: u64, outcome: Result<Option<Json>, CallError>, events: &mut impl Extend<Event>) {
        if let Some(deadline) = self.pending.remove(&id).and_then(|pending| pending.deadline) {
            self.deadlines.remove(&(deadline, id));
        }
        events.extend([Event::Settled { id, outcome }]);
    }
}

fn outcome(result: ResultMessage) -> Result<Option<Json>, CallError> {
    result.outcome.map_err(CallError::Remote)
}
