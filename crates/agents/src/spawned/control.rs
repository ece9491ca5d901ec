//! Stopping an agent from other threads.
//!
//! # Rules
//! - A stop is for good: the agent runs no script after it, and ends.
//! - It reaches scripts and what waits in the engine by an interrupt, the loop by its inbox, and workers by their parents.
//! - One interrupt may not be enough: asked for between an agent's last look and its sleep in `Atomics.wait`, it is lost. So
//!   a thread, there only while agents stop, asks again until they have stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

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
    pub(crate) fn new(inbox: Arc<Inbox>) -> Arc<Control> {
        let control = Arc::new(Control { inbox, state: Mutex::default() });
        if let Some(seat) = control.inbox.seat() {
            seat.is_controlled_by(&control);
        }
        control
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's runtime is up: stops can reach it.
    pub(crate) fn attach(&self, remote: ThreadSafeJSContext) {
        self.lock().remote = Some(remote);
    }

    /// No script runs any more.
    pub(crate) fn detach(&self) {
        self.lock().remote = None;
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
    pub(crate) fn stop(self: &Arc<Control>, why: &str) {
        let mut state = self.lock();
        state.why.get_or_insert_with(|| why.to_owned());
        let workers = state.workers.clone();
        drop(state);
        // The flag first: the interrupt asks for it.
        self.inbox.stop();
        if self.interrupt() {
            ask_again(Arc::downgrade(self));
        }
        for worker in workers {
            if let Some(worker) = worker.upgrade() {
                worker.stop(why);
            }
        }
    }

    /// Asks the engine to look at the flag; `false` if no script runs.
    fn interrupt(&self) -> bool {
        let remote = self.lock().remote.clone();
        remote.inspect(|remote| remote.request_interrupt_callback()).is_some()
    }

    pub(crate) fn why(&self) -> String {
        self.lock().why.clone().unwrap_or_else(|| "terminated".into())
    }
}

/// Agents that stop, while there are any.
static STOPPING: Mutex<Option<Stopping>> = Mutex::new(None);

#[derive(Default)]
struct Stopping {
    agents: Vec<Weak<Control>>,
    /// Rounds since the last one came.
    rounds: u32,
}

/// Interrupts an agent again and again until it has stopped.
fn ask_again(control: Weak<Control>) {
    let mut stopping = STOPPING.lock().unwrap_or_else(PoisonError::into_inner);
    let runs = stopping.is_some();
    let known = stopping.get_or_insert_default();
    known.agents.push(control);
    known.rounds = 0;
    if runs {
        return;
    }
    let ask = || {
        let mut wait = FIRST_WAIT;
        loop {
            thread::sleep(wait);
            let mut stopping = STOPPING.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(known) = &mut *stopping else { return };
            known.agents.retain(|agent| agent.upgrade().is_some_and(|agent| agent.interrupt()));
            if known.agents.is_empty() {
                *stopping = None;
                return;
            }
            // What did not stop at once is busy in something that does not look: no need to hurry.
            known.rounds += 1;
            wait = FIRST_WAIT * (1 << (known.rounds / 8).min(6));
        }
    };
    // Without a thread the one interrupt has to do, as it nearly always does.
    if thread::Builder::new().name("peristyle-stop".into()).spawn(ask).is_err() {
        *stopping = None;
    }
}

/// Time after which an agent that still runs is interrupted again; grows to 64 times that.
const FIRST_WAIT: Duration = Duration::from_micros(100);
