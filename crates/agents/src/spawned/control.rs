//! Stopping an agent from other threads.
//!
//! # Rules
//! - A stop is for good: the agent runs no script after it, and ends.
//! - It reaches scripts and what waits in the engine by an interrupt, the loop by its inbox, and workers by their parents.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mozjs::rust::ThreadSafeJSContext;

use super::inbox::Inbox;

pub(crate) struct Control {
    inbox: Arc<Inbox>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The runtime, while there is one.
    remote: Option<ThreadSafeJSContext>,
    why: Option<String>,
    workers: Vec<Weak<Control>>,
}

impl Control {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Control {
        Control { inbox, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's runtime is up: stops can reach it.
    pub(crate) fn attach(&self, remote: ThreadSafeJSContext) {
        self.lock().remote = Some(remote);
    }

    /// A worker that stops with this agent.
    pub(crate) fn adopt(&self, worker: &Arc<Control>) {
        let mut state = self.lock();
        state.workers.retain(|known| known.strong_count() != 0);
        state.workers.push(Arc::downgrade(worker));
        let why = state.why.clone();
        drop(state);
        if let Some(why) = why {
            worker.stop(&why);
        }
    }

    /// Stops the agent and its workers. The first reason counts.
    pub(crate) fn stop(&self, why: &str) {
        let mut state = self.lock();
        state.why.get_or_insert_with(|| why.to_owned());
        let (remote, workers) = (state.remote.clone(), state.workers.clone());
        drop(state);
        // The flag first: the interrupt asks for it.
        self.inbox.stop();
        if let Some(remote) = remote {
            remote.request_interrupt_callback();
        }
        for worker in workers {
            if let Some(worker) = worker.upgrade() {
                worker.stop(why);
            }
        }
    }

    pub(crate) fn why(&self) -> String {
        self.lock().why.clone().unwrap_or_else(|| "terminated".into())
    }
}
