//! Tasks beside frames: a bounded queue that workers take from when no frame needs them.
//!
//! Ranges of frames come first. A task that runs long keeps its worker from helping, which makes no frame wait: whoever
//! waits takes back what nobody has started.
//!
//! # Rules
//! - The queue never holds more than its bound: a full one blocks or refuses, as asked, and a refused task is given back.
//! - Each task ends exactly once: with its value, with its panic, or as cancelled. Dropping a queued task cancels it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
// Not `sync`'s: nothing here is lock-free but the hint, and that rests on the sleeping that loom's models cover.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::board::JobPanic;
use crate::lane::Lane;

/// Why a task has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked, with this text. Its worker was replaced.
    Panicked(String),
    /// It was never started: the pool was closed or dropped first.
    Cancelled,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Panicked(message) => write!(f, "the task panicked: {message}"),
            TaskError::Cancelled => f.write_str("the task was cancelled before it started: the pool was closed"),
        }
    }
}

impl std::error::Error for TaskError {}

/// Why a task was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefuseReason {
    /// As many tasks wait as may.
    Full {
        /// How many.
        capacity: usize,
    },
    /// The pool takes no more tasks.
    Closed,
}

/// A task that was not taken, given back.
pub struct Refused<F> {
    /// The task.
    pub task: F,
    /// Why it was not taken.
    pub reason: RefuseReason,
}

impl<F> fmt::Debug for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            RefuseReason::Full { capacity } => write!(f, "{capacity} tasks wait already, no more may"),
            RefuseReason::Closed => f.write_str("the pool takes no more tasks"),
        }
    }
}

impl<F> std::error::Error for Refused<F> {}

/// The value of a task to come. Dropping it neither stops nor cancels the task.
///
/// A future, and a handle to wait on.
#[must_use = "a task's value, panic or cancellation shows here only"]
pub struct Pending<R>(Arc<Outcome<R>>);

struct Outcome<R> {
    state: Mutex<State<R>>,
    ended: Condvar,
}

struct State<R> {
    result: Option<Result<R, TaskError>>,
    waker: Option<Waker>,
}

impl<R> Outcome<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, result: Result<R, TaskError>) {
        let waker = {
            let mut state = self.lock();
            state.result = Some(result);
            state.waker.take()
        };
        self.ended.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<R> Pending<R> {
    /// Waits for the task's end. Not for the thread that runs frames of a pool without workers, which has run the task
    /// when it was submitted.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn wait(self) -> Result<R, TaskError> {
        let mut state = self.0.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state = self.0.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the task's end if it has come, else the handle again.
    ///
    /// # Errors
    /// The handle, while the task waits or runs.
    pub fn try_take(self) -> Result<Result<R, TaskError>, Pending<R>> {
        let result = self.0.lock().result.take();
        result.ok_or(self)
    }
}

impl<R> Future for Pending<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<R> fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("is_done", &self.0.lock().result.is_some()).finish()
    }
}

/// A task and where its end goes.
struct Task<F, R> {
    run: Option<F>,
    outcome: Arc<Outcome<R>>,
}

impl<F, R> Drop for Task<F, R> {
    fn drop(&mut self) {
        if self.run.is_some() {
            self.outcome.end(Err(TaskError::Cancelled));
        }
    }
}

pub(crate) trait Queued: Send {
    /// Runs the task on `lane`; a panic retires that.
    fn run(self: Box<Self>, lane: &mut Lane);
}

impl<F, R> Queued for Task<F, R>
where
    F: FnOnce(&mut Lane) -> R + Send,
    R: Send,
{
    fn run(mut self: Box<Self>, lane: &mut Lane) {
        let Some(run) = self.run.take() else { return };
        let result = catch_unwind(AssertUnwindSafe(|| lane.watched(|lane| run(lane)).0));
        let result = result.map_err(|payload| {
            lane.retire();
            let panic = JobPanic::new(0, payload);
            let error = TaskError::Panicked(panic.message().into());
            panic.discard();
            error
        });
        self.outcome.end(result);
    }
}

pub(crate) struct Queue {
    tasks: Mutex<Tasks>,
    room: Condvar,
    /// How many wait: a hint for idle workers.
    waiting: AtomicUsize,
    capacity: usize,
}

#[derive(Default)]
struct Tasks {
    waiting: VecDeque<Box<dyn Queued>>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Queue {
        Queue { tasks: Mutex::default(), room: Condvar::new(), waiting: AtomicUsize::new(0), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a task at the end, after waiting for room if it `blocks`. The caller then wakes a worker.
    pub(crate) fn push<F, R>(&self, task: F, blocks: bool) -> Result<Pending<R>, Refused<F>>
    where
        F: FnOnce(&mut Lane) -> R + Send + 'static,
        R: Send + 'static,
    {
        let mut tasks = self.lock();
        while blocks && !tasks.closed && tasks.waiting.len() >= self.capacity {
            tasks = self.room.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
        if tasks.closed {
            return Err(Refused { task, reason: RefuseReason::Closed });
        }
        if tasks.waiting.len() >= self.capacity {
            return Err(Refused { task, reason: RefuseReason::Full { capacity: self.capacity } });
        }
        let (task, pending) = queued(task);
        tasks.waiting.push_back(task);
        // Relaxed: the fence in `wake`, which follows, orders it before the look for sleepers.
        self.waiting.store(tasks.waiting.len(), Ordering::Relaxed);
        Ok(pending)
    }

    #[inline]
    pub(crate) fn has_task(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn pop(&self) -> Option<Box<dyn Queued>> {
        if !self.has_task() {
            return None;
        }
        let mut tasks = self.lock();
        let task = tasks.waiting.pop_front();
        self.waiting.store(tasks.waiting.len(), Ordering::Relaxed);
        drop(tasks);
        self.room.notify_one();
        task
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    /// Cancels what nobody has started.
    pub(crate) fn cancel(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        self.waiting.store(0, Ordering::Relaxed);
        // Outside of the lock: dropping a task wakes who waits for it.
        drop(waiting);
    }
}

/// A task as it waits, and the handle to its end.
pub(crate) fn queued<F, R>(task: F) -> (Box<dyn Queued>, Pending<R>)
where
    F: FnOnce(&mut Lane) -> R + Send + 'static,
    R: Send + 'static,
{
    let state = Mutex::new(State { result: None, waker: None });
    let outcome = Arc::new(Outcome { state, ended: Condvar::new() });
    (Box::new(Task { run: Some(task), outcome: outcome.clone() }), Pending(outcome))
}
