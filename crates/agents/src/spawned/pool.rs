//! Agents that were set up in advance: a thread each, with runtime, realm and `web.js`, that waits for what it is to run.
//!
//! What depends on how an agent is spawned is given to it with its order; a stack, a heap and the kind of a realm are not, so
//! a spare takes only orders whose options agree in those. What was taken is replaced by a thread of the pool's own, one after
//! the other and a little later, so that it does not compete with those who just started.
//!
//! # Rules
//! - Spares hold the cluster's [`Shared`], which holds the pool: the cluster's last handle closes it.
//! - The lock is a leaf: threads are started, and orders given and dropped, without it.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::event_loop::{Life, spare};
use super::{AgentOptions, Exit};
use crate::AgentError;
use crate::cluster::Shared;

/// Time without an order after which what is missing is replaced.
const REFILL_AFTER: Duration = Duration::from_millis(2);
/// Time after which it is replaced anyway.
const REFILL_ANYWAY: Duration = Duration::from_millis(20);

/// What a spare is to run, and who is told of its end.
pub(crate) struct Order {
    pub(crate) life: Life,
    pub(crate) ended: Ended,
}

pub(crate) type Ended = Box<dyn FnOnce(Exit) + Send>;

struct Spare {
    orders: Sender<Box<Order>>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: usize,
    options: AgentOptions,
    spares: Vec<Spare>,
    /// Spares were taken, first and last, since the pool was full.
    taken: Option<(Instant, Instant)>,
    /// Why the last one could not be set up. It is not tried again before the next [`Pool::keep`].
    failure: Option<AgentError>,
    closed: bool,
    refiller: Option<JoinHandle<()>>,
}

impl State {
    fn is_full(&self) -> bool {
        self.spares.len() >= self.wanted || self.failure.is_some()
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `count` spares for agents with these options, from now on; returns when they are there.
    pub(crate) fn keep(&self, shared: &Arc<Shared>, count: usize, options: AgentOptions) -> Result<(), AgentError> {
        // What belongs to one agent comes with its order, and is not kept here.
        let options = AgentOptions {
            name: String::new(),
            import_map: None,
            loader: None,
            on_start: None,
            on_exit: None,
            on_error: None,
            on_unhandled_rejection: None,
            node: None,
            host_objects: BTreeMap::new(),
            ..options
        };
        let mut state = self.lock();
        (state.wanted, state.failure, state.taken) = (count, None, None);
        let kept = if state.options.fits(&options) { count.min(state.spares.len()) } else { 0 };
        let surplus = state.spares.split_off(kept);
        state.options = options;
        if count > 0 && state.refiller.is_none() && !state.closed {
            let shared = shared.clone();
            let refill = move || shared.pool.refill(&shared);
            let thread = thread::Builder::new().name("peristyle-pool".into()).spawn(refill);
            let failed = |error| AgentError::Engine(format!("no thread for the pool: {error}"));
            state.refiller = Some(thread.map_err(failed)?);
        }
        drop(state);
        self.changed.notify_all();
        dismiss(surplus);
        let mut state = self.lock();
        while !state.is_full() && !state.closed {
            state = self.wait(state);
        }
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// How many spares wait.
    pub(crate) fn count(&self) -> usize {
        self.lock().spares.len()
    }

    /// Gives an order to a spare, or back.
    pub(crate) fn take(&self, mut order: Box<Order>) -> Result<JoinHandle<()>, Box<Order>> {
        loop {
            let mut state = self.lock();
            if !state.options.fits(&order.life.options) {
                return Err(order);
            }
            let Some(Spare { orders, thread }) = state.spares.pop() else { return Err(order) };
            let now = Instant::now();
            state.taken = Some((state.taken.map_or(now, |(first, _)| first), now));
            drop(state);
            match orders.send(order) {
                Ok(()) => {
                    self.changed.notify_all();
                    return Ok(thread);
                }
                // Its thread has ended, as nothing else drops the other end.
                Err(mpsc::SendError(back)) => order = back,
            }
        }
    }

    /// Lets all spares go, for good.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let refiller = state.refiller.take();
        drop(state);
        self.changed.notify_all();
        if let Some(refiller) = refiller {
            // A panic there was reported by the panic hook.
            let _ = refiller.join();
        }
        let spares = std::mem::take(&mut self.lock().spares);
        dismiss(spares);
    }

    /// Sets spares up until the pool is closed.
    fn refill(&self, shared: &Arc<Shared>) {
        let mut state = self.lock();
        while !state.closed {
            if state.is_full() {
                state.taken = None;
                state = self.wait(state);
                continue;
            }
            if let Some((first, last)) = state.taken {
                let due = (last + REFILL_AFTER).min(first + REFILL_ANYWAY);
                let left = due.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
            }
            let options = state.options.clone();
            drop(state);
            let started = start(shared, options.clone());
            state = self.lock();
            let mut unfit = None;
            match started {
                Ok(spare) if state.options.fits(&options) => state.spares.push(spare),
                Ok(spare) => unfit = Some(spare),
                Err(error) => state.failure = Some(error),
            }
            self.changed.notify_all();
            if unfit.is_some() {
                drop(state);
                dismiss(unfit);
                state = self.lock();
            }
        }
    }
}

/// Sets one spare up.
fn start(shared: &Arc<Shared>, options: AgentOptions) -> Result<Spare, AgentError> {
    let (orders, taken) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let thread = spare(shared, options, Waiting { ready, orders: taken })?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(Spare { orders, thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(AgentError::Engine("the thread of a spare agent panicked".into())),
    }
}

/// Ends spares: the word to end is the end of their channels.
fn dismiss(spares: impl IntoIterator<Item = Spare>) {
    let threads: Vec<_> = spares.into_iter().map(|Spare { thread, .. }| thread).collect();
    for thread in threads {
        let _ = thread.join();
    }
}

/// A spare's ends of its channels.
pub(crate) struct Waiting {
    pub(crate) ready: Sender<Result<(), AgentError>>,
    pub(crate) orders: Receiver<Box<Order>>,
}

impl AgentOptions {
    /// Whether an agent set up with these options can be given the others.
    fn fits(&self, other: &AgentOptions) -> bool {
        let AgentOptions {
            name: _,
            heap_bytes,
            stack_bytes,
            may_block: _,
            shared_memory,
            modules: _,
            ports: _,
            import_map: _,
            loader: _,
            on_start: _,
            on_exit: _,
            on_error: _,
            on_unhandled_rejection: _,
            node: _,
            host_objects: _,
        } = self;
        (heap_bytes, stack_bytes, shared_memory) == (&other.heap_bytes, &other.stack_bytes, &other.shared_memory)
    }
}
