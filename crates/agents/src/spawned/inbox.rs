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
//!   nothing any more but the engine's dispatches, which the teardown gives back: a task that came too late is dropped by who
//!   pushed it, after the lock is released.
//! - The lock is a leaf: nothing is called while it is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::bell::{Bell, LOOK};
use super::broadcast::Delivery;
use super::clock::Clock;
use super::event_loop::{CallTask, WorkerEvent};
use super::turns::{Seat, Status, Turns, Wish};

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
    /// A `BroadcastChannel` has a message.
    Broadcast(Delivery),
    /// Something of ours that waited for a task was woken.
    Woken(u32),
    /// A worker that this agent started has something to say.
    Worker(u64, WorkerEvent),
    /// A `FinalizationRegistry` has something to clean up.
    Cleanup,
}

/// A `JS::Dispatchable` that we own, as a word.
pub(crate) struct Dispatch(pub(crate) usize);

/// When a task became runnable, and its place among those of the same time.
pub(crate) type Due = (u64, u64);

/// What a loop is to do.
pub(crate) enum Next {
    Task(Task),
    /// Nothing came for as long as was asked.
    Quiet,
    /// Nothing is left to do, and nothing can come. The inbox is closed.
    Idle,
    /// The agent was told to stop.
    Stop,
}

pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Bell,
    stopped: AtomicBool,
    /// The agent's thread, while it may block in a task.
    thread: OnceLock<Thread>,
    pub(crate) clock: Clock,
    /// The agent's place in a cluster whose agents take turns.
    seat: Option<Arc<Seat>>,
}

#[derive(Default)]
struct State {
    /// In order of arrival, which is the order of their times.
    ready: VecDeque<(Due, Task)>,
    timed: BTreeMap<Due, Task>,
    /// Those of `timed` that do not keep the agent.
    loose: BTreeSet<Due>,
    /// Tasks ever pushed.
    sequence: u64,
    holds: usize,
    /// Those of them that are asynchronous tasks of the engine, on threads of its own.
    engine: usize,
    closed: bool,
}

impl Task {
    /// What a turn is for that is given to it.
    fn name(&self) -> &'static str {
        match self {
            Task::Port(_) => "message",
            Task::Timer(_) => "timer",
            Task::Engine(_) => "engine",
            Task::Call(_) => "call",
            Task::Broadcast(_) => "broadcast",
            Task::Cleanup => "cleanup",
            Task::Woken(_) => "woken",
            Task::Worker(..) => "worker",
        }
    }
}

impl State {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Takes the first task that is runnable.
    fn take(&mut self, now_ns: u64) -> Option<Task> {
        let first_ready = self.ready.front().map(|(due, _)| *due);
        let first_timed = self.timed.first_key_value().map(|(due, _)| *due);
        let timed_is_due = first_timed.is_some_and(|timed| match first_ready {
            Some(ready) => timed < ready,
            None => timed.0 <= now_ns,
        });
        if timed_is_due {
            let (due, task) = self.timed.pop_first()?;
            self.loose.remove(&due);
            return Some(task);
        }
        self.ready.pop_front().map(|(_, task)| task)
    }

    /// When the first task that is not runnable yet will be.
    fn first_timed(&self) -> Option<u64> {
        self.timed.first_key_value().map(|((due, _), _)| *due)
    }

    /// Whether there is no task, and none can come.
    fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.timed.len() == self.loose.len() && self.holds == 0
    }

    /// Whether the engine has yet to come back with something.
    fn waits_for_engine(&self) -> bool {
        let tasks = self.ready.iter().map(|(_, task)| task).chain(self.timed.values());
        self.engine != 0 && tasks.filter(|task| matches!(task, Task::Engine(_))).count() < self.engine
    }
}

impl Inbox {
    pub(crate) fn new(seat: Option<Arc<Seat>>) -> Inbox {
        Inbox {
            state: Mutex::default(),
            wake: Bell::default(),
            stopped: AtomicBool::new(false),
            thread: OnceLock::new(),
            clock: Clock::new(seat.as_ref().map(|seat| &seat.turns)),
            seat,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something new; may return earlier.
    fn park<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.wake.park(state, |wake, state| wake.wait(state).unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a task that is runnable now; gives it back if the inbox is closed. The engine's dispatches are always taken: it
    /// would destroy them under locks that their destruction takes.
    pub(crate) fn push(&self, task: Task) -> Result<(), Task> {
        let mut state = self.lock();
        if state.closed && !matches!(task, Task::Engine(_)) {
            drop(state);
            return Err(task);
        }
        let due = (self.clock.now_ns(), state.next_sequence());
        state.ready.push_back((due, task));
        drop(state);
        self.wake.notify_one();
        self.poke();
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
        self.poke();
        Ok(due)
    }

    /// Takes a task back that is not runnable yet.
    pub(crate) fn cancel(&self, due: Due) {
        let mut state = self.lock();
        state.loose.remove(&due);
        let task = state.timed.remove(&due);
        drop(state);
        drop(task);
    }

    /// Says whether a task that is not runnable yet keeps the agent from being idle, as it does unless told.
    pub(crate) fn keep(&self, due: Due, keeps: bool) {
        let mut state = self.lock();
        if keeps {
            state.loose.remove(&due);
        } else if state.timed.contains_key(&due) {
            state.loose.insert(due);
        }
    }

    /// Keeps the agent from being idle until [`release`](Inbox::release).
    pub(crate) fn hold(&self) {
        self.lock().holds += 1;
    }

    pub(crate) fn release(&self) {
        let mut state = self.lock();
        debug_assert!(state.holds > 0);
        state.holds = state.holds.saturating_sub(1);
        // Without holds the loop may be idle; without tasks of the engine its teardown goes on.
        let last = state.holds == 0 || (state.closed && state.engine == 0);
        drop(state);
        if last {
            self.wake.notify_one();
            self.poke();
        }
    }

    /// The engine began an asynchronous task: a hold until [`engine_ended`](Inbox::engine_ended).
    pub(crate) fn engine_began(&self) {
        let mut state = self.lock();
        state.engine += 1;
        state.holds += 1;
    }

    pub(crate) fn engine_ended(&self) {
        let mut state = self.lock();
        debug_assert!(state.engine > 0);
        state.engine = state.engine.saturating_sub(1);
        drop(state);
        self.release();
    }

    /// The next dispatch of the engine that came after the inbox was closed: waits for it while the engine has tasks.
    pub(crate) fn late_dispatch(&self) -> Option<Dispatch> {
        let mut state = self.lock();
        loop {
            // Nothing else is taken once it is closed.
            if let Some((_, Task::Engine(dispatch))) = state.ready.pop_front() {
                return Some(dispatch);
            }
            if state.engine == 0 {
                return None;
            }
            state = self.park(state);
        }
    }

    /// Makes the loop leave before its next task.
    pub(crate) fn stop(&self) {
        // Release, paired with the acquire in `is_stopped`: whoever sees it sees why.
        self.stopped.store(true, Ordering::Release);
        // With the lock taken once, a loop either saw the flag or waits already.
        drop(self.lock());
        self.wake.notify_one();
        self.rouse();
        self.poke();
    }

    /// This thread is the agent's.
    pub(crate) fn lives_here(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// Blocks the agent in a task until it is roused, until a time, or for a shorter time; `false` if the time has come.
    pub(crate) fn doze(&self, until_ns: Option<u64>, wish: Wish) -> bool {
        let left = until_ns.map(|until| until.saturating_sub(self.clock.now_ns()));
        match (left, &self.seat) {
            (Some(0), _) => return false,
            (_, Some(seat)) => {
                seat.pause(Status::Waits { until_ns: until_ns.map(|until| self.clock.of_turns(until)), wish });
            }
            (Some(left), None) => thread::park_timeout(Duration::from_nanos(left)),
            (None, None) => thread::park(),
        }
        true
    }

    /// Lets the agent go on that dozes, or will.
    pub(crate) fn rouse(&self) {
        match (&self.seat, self.thread.get()) {
            (Some(seat), _) => seat.poke(),
            (None, Some(thread)) => thread.unpark(),
            (None, None) => {}
        }
    }

    /// Whether only one agent of its cluster runs at a time.
    pub(crate) fn takes_turns(&self) -> bool {
        self.seat.is_some()
    }

    pub(crate) fn seat(&self) -> Option<&Arc<Seat>> {
        self.seat.as_ref()
    }

    pub(crate) fn turns(&self) -> Option<&Arc<Turns>> {
        self.seat.as_ref().map(|seat| &seat.turns)
    }

    /// Names those with which the agent takes turns; 0 for none.
    pub(crate) fn domain(&self) -> usize {
        self.turns().map_or(0, |turns| Arc::as_ptr(turns).addr())
    }

    /// Its agent may have something to do.
    fn poke(&self) {
        if let Some(seat) = &self.seat {
            seat.poke();
        }
    }

    /// Waits until another agent, which was told to stop, has ended, if it needs this one's turn for that.
    pub(crate) fn wait_for_end(&self, other: &Inbox) {
        if let (Some(seat), Some(other)) = (&self.seat, &other.seat) {
            seat.wait_for_end(other);
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The next task; waits until there is one, if one can come. In real time it says once that it is quiet, after this long.
    pub(crate) fn next(&self, quiet: Option<Duration>) -> Next {
        if let Some(seat) = &self.seat {
            return self.next_in_turn(seat);
        }
        let mut state = self.lock();
        let mut looked = false;
        let mut quiet_ns = None;
        loop {
            if self.is_stopped() {
                return Next::Stop;
            }
            if let Some(task) = state.take(self.clock.now_ns()) {
                return Next::Task(task);
            }
            if state.is_idle() {
                state.closed = true;
                return Next::Idle;
            }
            if quiet_ns.is_some_and(|quiet| quiet <= self.clock.now_ns()) {
                return Next::Quiet;
            }
            let until = state.first_timed();
            if !looked && until.is_none_or(|until| until > self.clock.now_ns() + LOOK.as_nanos() as u64) {
                let rung = self.wake.rung();
                drop(state);
                looked = !self.wake.look(rung);
                state = self.lock();
                // What came meanwhile, seen or not, is found before the thread parks.
                continue;
            }
            quiet_ns = quiet_ns.or_else(|| quiet.map(|quiet| self.clock.now_ns() + quiet.as_nanos() as u64));
            let until = until.into_iter().chain(quiet_ns).min();
            state = self.wake.park(state, |wake, state| self.clock.wait(wake, state, until));
        }
    }

    /// As [`next`](Inbox::next), where agents take turns: one for each task.
    fn next_in_turn(&self, seat: &Seat) -> Next {
        let mut is_new = false;
        loop {
            let mut state = self.lock();
            // What the engine does on its own threads takes time that is not ours: it has happened at once.
            if state.waits_for_engine() {
                seat.excuse(true);
                while state.waits_for_engine() && !self.is_stopped() {
                    state = self.park(state);
                }
                seat.excuse(false);
            }
            if self.is_stopped() {
                return Next::Stop;
            }
            if is_new && let Some(task) = state.take(self.clock.now_ns()) {
                drop(state);
                seat.note(task.name());
                return Next::Task(task);
            }
            if state.is_idle() {
                state.closed = true;
                return Next::Idle;
            }
            let until_ns = state.first_timed();
            let status = match until_ns {
                _ if !state.ready.is_empty() => Status::Ready,
                Some(until) if until <= self.clock.now_ns() => Status::Ready,
                _ => Status::Waits { until_ns: until_ns.map(|until| self.clock.of_turns(until)), wish: Wish::Task },
            };
            drop(state);
            seat.pause(status);
            is_new = true;
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
