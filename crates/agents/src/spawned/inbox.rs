//! What an agent is to do next: one queue, ordered by the time at which a task became runnable.
//!
//! Messages, calls and the engine's dispatches become runnable when they arrive, timers and delayed dispatches when they
//! are due; equal times keep the order in which they were asked for. So neither ports nor timers can starve each other.
//!
//! An inbox also knows why its agent must stay: *holds* count handles, ports with listeners whose other end may still post,
//! the engine's asynchronous tasks, calls without an answer, and workers. An agent without tasks, timers and holds is idle.
//!
//! # Rules
//! - Any thread may push, hold and release; only the agent's thread takes.
//! - An inbox closes once, either because it is idle (in the same step that found it so) or at teardown. Then it takes
//!   nothing any more: a task that came too late is dropped by who pushed it, after the lock is released.
//! - The lock is a leaf: nothing is called while it is held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bell::{Bell, LOOK};
use super::clock::Clock;
use super::event_loop::{CallTask, WorkerEvent};

/// A task.
pub(crate) enum Task {
    /// A port may have a message, or lost its other end.
    Port(u64),
    /// A timer is due.
    Timer(u32),
    /// The engine asked to be called back.
    Engine(Dispatch),
    /// Rust calls an export, or evaluates a script.
    Call(CallTask),
    /// A worker that this agent started has something to say.
    Worker(u64, WorkerEvent),
}

/// A `JS::Dispatchable` that we own, as a word.
pub(crate) struct Dispatch(pub(crate) usize);

/// When a task became runnable, and its place among those of the same time.
pub(crate) type Due = (u64, u64);

/// What a loop is to do.
pub(crate) enum Next {
    Task(Task),
    /// Nothing is left to do, and nothing can come. The inbox is closed.
    Idle,
    /// The agent was told to stop.
    Stop,
}

pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Bell,
    stopped: AtomicBool,
    pub(crate) clock: Clock,
}

#[derive(Default)]
struct State {
    /// In order of arrival, which is the order of their times.
    ready: VecDeque<(Due, Task)>,
    timed: BTreeMap<Due, Task>,
    /// Tasks ever pushed.
    sequence: u64,
    holds: usize,
    closed: bool,
}

impl State {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox { state: Mutex::default(), wake: Bell::default(), stopped: AtomicBool::new(false), clock: Clock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task that is runnable now; gives it back if the inbox is closed.
    pub(crate) fn push(&self, task: Task) -> Result<(), Task> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(task);
        }
        let due = (self.clock.now_ns(), state.next_sequence());
        state.ready.push_back((due, task));
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Adds a task that becomes runnable in `delay_ns`; gives it back if the inbox is closed.
    pub(crate) fn push_in(&self, delay_ns: u64, task: Task) -> Result<Due, Task> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(task);
        }
        let due = (self.clock.now_ns().saturating_add(delay_ns), state.next_sequence());
        state.timed.insert(due, task);
        drop(state);
        self.wake.notify_one();
        Ok(due)
    }

    /// Takes a task back that is not runnable yet.
    pub(crate) fn cancel(&self, due: Due) {
        let task = self.lock().timed.remove(&due);
        drop(task);
    }

    /// Keeps the agent from being idle until [`release`](Inbox::release).
    pub(crate) fn hold(&self) {
        self.lock().holds += 1;
    }

    pub(crate) fn release(&self) {
        let mut state = self.lock();
        debug_assert!(state.holds > 0);
        state.holds = state.holds.saturating_sub(1);
        let last = state.holds == 0;
        drop(state);
        if last {
            self.wake.notify_one();
        }
    }

    /// Makes the loop leave before its next task.
    pub(crate) fn stop(&self) {
        // Release, paired with the acquire in `is_stopped`: whoever sees it sees why.
        self.stopped.store(true, Ordering::Release);
        // With the lock taken once, a loop either saw the flag or waits already.
        drop(self.lock());
        self.wake.notify_one();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The next task; waits until there is one, if one can come.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.lock();
        let mut looked = false;
        loop {
            if self.is_stopped() {
                return Next::Stop;
            }
            let first_ready = state.ready.front().map(|(due, _)| *due);
            let first_timed = state.timed.first_key_value().map(|(due, _)| *due);
            let timed_is_due = first_timed.filter(|timed| match first_ready {
                Some(ready) => *timed < ready,
                None => timed.0 <= self.clock.now_ns(),
            });
            if timed_is_due.is_some()
                && let Some((_, task)) = state.timed.pop_first()
            {
                return Next::Task(task);
            }
            if let Some((_, task)) = state.ready.pop_front() {
                return Next::Task(task);
            }
            if first_timed.is_none() && state.holds == 0 {
                state.closed = true;
                return Next::Idle;
            }
            let until = first_timed.map(|due| due.0);
            if !looked && until.is_none_or(|until| until > self.clock.now_ns() + LOOK.as_nanos() as u64) {
                let rung = self.wake.rung();
                drop(state);
                looked = !self.wake.look(rung);
                state = self.lock();
                // What came meanwhile, seen or not, is found before the thread parks.
                continue;
            }
            state = self.wake.park(state, |wake, state| self.clock.wait(wake, state, until));
        }
    }

    /// Closes the inbox and takes what is in it.
    pub(crate) fn close(&self) -> Vec<Task> {
        let mut state = self.lock();
        state.closed = true;
        let ready = std::mem::take(&mut state.ready).into_iter().map(|(_, task)| task);
        ready.chain(std::mem::take(&mut state.timed).into_values()).collect()
    }
}
