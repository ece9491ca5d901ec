//! Scopes: the safe way to let workers run borrowed work.
//!
//! In the manner of [`std::thread::scope`]: what is opened in a scope is done before the scope ends,
//! also when the scope unwinds, so that work may borrow from outside of it.
//!
//! # Rules
//! - A scope stays on its thread, and a job cannot reach it: `Scope` is neither `Send` nor `Sync`, so
//!   no [`Work`] can hold one. Hence only the frame's thread opens and closes tasks.
//! - A task's slot is its own from `open` until a wait for it returned, or the scope ended.
//! - When the scope's closure panics, ranges that nobody has started are not run any more.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use peristyle_timeline::Kind;

use crate::board::{JobPanic, RANGES_MAX, Ran, SLOTS, Work, bits};
use crate::lane::Lane;
use crate::pool::{Pool, Shared};
use crate::sleep::spin;

/// How many tasks may be open at once.
pub const TASKS_MAX: usize = SLOTS;

/// The frame's side of a pool, inside of [`Pool::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    shared: &'scope Shared,
    lane: RefCell<Lane>,
    /// The slots of tasks that nobody has waited for yet.
    open: Cell<u64>,
    /// Those of them that this thread leaves to workers.
    away: Cell<u64>,
    /// Invariant, as in `std::thread::Scope`: `'scope` can be made neither shorter nor longer.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
    not_send: PhantomData<*mut ()>,
}

/// A task that was opened in a scope and is to be waited for there.
#[must_use = "a task is waited for, at the latest by its scope"]
#[derive(Debug)]
pub struct Task<'scope> {
    slot: usize,
    scope: PhantomData<Cell<&'scope ()>>,
}

impl Task<'_> {
    /// Returns the index of this task among the open ones, below [`TASKS_MAX`]; it is free for another
    /// task after the wait for this one.
    #[inline]
    pub fn index(&self) -> usize {
        self.slot
    }
}

/// As many tasks are open as may be: wait for one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardFull;

impl fmt::Display for BoardFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TASKS_MAX} tasks are open, no more fit")
    }
}

impl std::error::Error for BoardFull {}

/// Ends the process if dropped: unwinding past work that is still running would free what it uses.
struct AbortOnDrop;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Pool {
    /// Runs `f`, which may open tasks, with this thread as lane 0, and returns when all tasks are done.
    ///
    /// ```
    /// use peristyle_jobs::{Lane, Pool};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let mut pool = Pool::new(1)?;
    /// let sum = AtomicU32::new(0);
    /// let add = |range: u32, _: &mut Lane| {
    ///     sum.fetch_add(range, Ordering::Relaxed);
    /// };
    /// pool.scope(|scope| {
    ///     let task = scope.open(&add, 10, 0).unwrap();
    ///     scope.wait(task).unwrap();
    /// });
    /// assert_eq!(sum.into_inner(), 45);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `f` panics, or a range of a task that `f` did not wait for panicked.
    pub fn scope<'env, F, R>(&mut self, f: F) -> R
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        let scope = Scope {
            shared: &self.shared,
            lane: RefCell::new(self.shared.lane(0, std::mem::take(&mut self.timeline), self.token.take_locals())),
            open: Cell::new(0),
            away: Cell::new(0),
            scope: PhantomData,
            env: PhantomData,
            not_send: PhantomData,
        };
        // A scope has no destructor, for it is borrowed until its own end; so unwinding stops here.
        let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
        let panic = scope.finish(result.is_err());
        self.shared.board.hide_all();
        let lane = &mut *scope.lane.borrow_mut();
        self.timeline = std::mem::take(&mut lane.timeline);
        self.keep_lane(lane);
        match (result, panic) {
            (Err(payload), _) => resume_unwind(payload),
            (Ok(_), Some(panic)) => panic.resume(),
            (Ok(value), None) => value,
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Opens a task: `work` is to be run for each of `ranges` ranges, from now on, by any lane.
    ///
    /// Wakes up to `wake` sleeping workers, which costs this thread some microseconds each. With 0 only
    /// workers that are awake help, which is what small work wants; then opening costs a few stores.
    ///
    /// What the work borrows must outlive the scope; [`run`](Scope::run) takes shorter borrows:
    ///
    /// ```compile_fail,E0597
    /// # let mut pool = peristyle_jobs::Pool::new(0)?;
    /// pool.scope(|scope| {
    ///     let work = |_: u32, _: &mut peristyle_jobs::Lane| ();
    ///     let task = scope.open(&work, 1, 0).unwrap();
    ///     scope.wait(task).unwrap();
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`BoardFull`] if [`TASKS_MAX`] tasks are open.
    ///
    /// # Panics
    /// If there are more than [`RANGES_MAX`] ranges.
    #[inline]
    pub fn open(
        &'scope self,
        work: &'scope (dyn Work + 'scope),
        ranges: u32,
        wake: usize,
    ) -> Result<Task<'scope>, BoardFull> {
        // SAFETY: `work` is borrowed for `'scope`, which ends after `Pool::scope` has waited for every
        // slot in `self.open`.
        let slot = unsafe { self.open_slot(work, ranges, wake) }.ok_or(BoardFull)?;
        Ok(Task { slot, scope: PhantomData })
    }

    /// As [`open`](Scope::open), but leaves the ranges to workers: this thread takes none of them while it helps, only when
    /// it has nothing else to do but wait for this very task. Where there are no workers it is as any task.
    ///
    /// # Errors
    /// As [`open`](Scope::open).
    ///
    /// # Panics
    /// As [`open`](Scope::open).
    pub fn open_away(
        &'scope self,
        work: &'scope (dyn Work + 'scope),
        ranges: u32,
        wake: usize,
    ) -> Result<Task<'scope>, BoardFull> {
        let task = self.open(work, ranges, wake)?;
        if self.lanes() > 1 {
            self.away.set(self.away.get() | 1 << task.slot);
        }
        Ok(task)
    }

    /// Runs `work` for each of `ranges` ranges on this and other lanes, and returns when all are done.
    ///
    /// Unlike with [`open`](Scope::open), `work` may be borrowed from inside of the scope. If the board
    /// is full, all ranges run here.
    ///
    /// # Errors
    /// The first panic of a range; the other ranges have run all the same.
    ///
    /// # Panics
    /// If there are more than [`RANGES_MAX`] ranges, or inside of [`with_lane`](Scope::with_lane).
    #[inline]
    pub fn run(&self, work: &dyn Work, ranges: u32, wake: usize) -> Result<(), JobPanic> {
        let lane = &mut *self.lane.borrow_mut();
        assert_ranges(ranges);
        let bomb = AbortOnDrop;
        // SAFETY: `work` is borrowed until this call ends, which is after the wait: panics of ranges
        // are caught, and `bomb` ends the process should anything else unwind.
        let result = match unsafe { self.open_slot(work, ranges, wake) } {
            Some(slot) => self.wait_slot(slot, lane),
            None => run_here(work, ranges, lane),
        };
        std::mem::forget(bomb);
        result
    }

    /// Runs one range of any open task on this thread; false if there is none left to start.
    ///
    /// # Panics
    /// Inside of [`with_lane`](Scope::with_lane).
    #[inline]
    pub fn help(&self) -> bool {
        self.help_on(&mut self.lane.borrow_mut())
    }

    /// Returns whether all ranges of `task` have run, and makes what they wrote visible.
    #[inline]
    pub fn is_done(&self, task: &Task<'scope>) -> bool {
        self.shared.board.is_done(task.slot)
    }

    /// Waits until all ranges of `task` have run: runs those that nobody has started, then those of
    /// other tasks, then spins, then sleeps.
    ///
    /// # Errors
    /// The first panic of a range; the other ranges have run all the same.
    ///
    /// # Panics
    /// Inside of [`with_lane`](Scope::with_lane), and for a task of another scope.
    #[inline]
    pub fn wait(&self, task: Task<'scope>) -> Result<(), JobPanic> {
        assert!(self.open.get() & 1 << task.slot != 0, "the task belongs to another scope");
        self.wait_slot(task.slot, &mut self.lane.borrow_mut())
    }

    /// Waits until any open task is done, helping meanwhile, and returns its [index](Task::index); none
    /// if no task is open. The task stays open until [`wait`](Scope::wait) takes it.
    ///
    /// # Panics
    /// Inside of [`with_lane`](Scope::with_lane).
    pub fn wait_any(&self) -> Option<usize> {
        if self.open.get() == 0 {
            return None;
        }
        let board = &self.shared.board;
        let lane = &mut *self.lane.borrow_mut();
        let done = || bits(self.open.get()).find(|&slot| board.is_done(slot));
        loop {
            if let Some(slot) = done() {
                return Some(slot);
            }
            if !self.help_on(lane) {
                self.idle_until(|| done().is_some());
            }
        }
    }

    /// Calls `f` with lane 0: for systems that run in place and need this thread's values.
    ///
    /// # Panics
    /// Inside of itself.
    pub fn with_lane<R>(&self, f: impl FnOnce(&mut Lane) -> R) -> R {
        f(&mut self.lane.borrow_mut())
    }

    /// Returns how many workers are awake; see [`Pool::spinning`].
    #[inline]
    pub fn spinning(&self) -> usize {
        self.shared.spinning()
    }

    /// Returns the number of threads that run jobs: the workers and this one.
    #[inline]
    pub fn lanes(&self) -> usize {
        self.shared.lanes()
    }

    /// Wakes up to `count` sleeping workers; see [`Pool::wake`].
    pub fn wake(&self, count: usize) {
        self.shared.dormitory.wake(count);
    }

    /// Opens a free slot, if there is one.
    ///
    /// # Safety
    /// `work` stays valid until the board saw the slot done.
    #[inline]
    unsafe fn open_slot(&self, work: &(dyn Work + '_), ranges: u32, wake: usize) -> Option<usize> {
        assert_ranges(ranges);
        let open = self.open.get();
        let slot = (!open).trailing_zeros() as usize;
        if slot >= SLOTS {
            return None;
        }
        // SAFETY: only the lifetime changes, and the caller answers for it.
        let work = unsafe { std::mem::transmute::<NonNull<dyn Work + '_>, NonNull<dyn Work>>(NonNull::from(work)) };
        let board = &self.shared.board;
        // SAFETY:
        // - One thread: the pool is borrowed exclusively and a scope stays on its thread.
        // - The slot is closed: its bit in `self.open` was clear, and `wait_slot` and `finish` clear it
        //   only after `is_done`; earlier scopes ended with all slots closed.
        // - `work` is valid for long enough: the caller answers for it.
        unsafe { board.open(slot, work, ranges) };
        self.open.set(open | 1 << slot);
        if ranges > 0 {
            board.show(slot);
            if wake > 0 {
                self.shared.dormitory.wake(wake);
            }
        }
        Some(slot)
    }

    #[inline]
    fn help_on(&self, lane: &mut Lane) -> bool {
        let open = self.open.get() & !self.away.get();
        bits(open).any(|slot| self.shared.board.run_one(slot, lane) != Ran::Nothing)
    }

    #[inline]
    fn wait_slot(&self, slot: usize, lane: &mut Lane) -> Result<(), JobPanic> {
        let board = &self.shared.board;
        while board.run_one(slot, lane) != Ran::Nothing {}
        while !board.is_done(slot) {
            if !self.help_on(lane) {
                self.idle_until(|| board.is_done(slot));
            }
        }
        self.open.set(self.open.get() & !(1 << slot));
        self.away.set(self.away.get() & !(1 << slot));
        board.take_panic(slot).map_or(Ok(()), Err)
    }

    /// Spins, then sleeps, until `done`, which workers bring about.
    fn idle_until(&self, done: impl Fn() -> bool) {
        let Shared { timeline, wait_name, spin_ticks, .. } = self.shared;
        let stamp = timeline.begin();
        let slept = !spin(*spin_ticks, &done);
        if slept {
            self.shared.sleep_until(done);
        }
        timeline.end(0, Kind::Wait, *wait_name, stamp, 0, u32::from(slept));
    }

    /// Waits for all open tasks; returns the first panic of one, by index. Runs what nobody has
    /// started, or drops it if the scope is `unwinding`.
    fn finish(&self, unwinding: bool) -> Option<JobPanic> {
        if self.open.get() == 0 {
            return None;
        }
        let bomb = AbortOnDrop;
        let lane = &mut *self.lane.borrow_mut();
        if unwinding {
            bits(self.open.get()).for_each(|slot| self.shared.board.cancel(slot));
        }
        let mut first = None;
        for slot in bits(self.open.get()) {
            keep_first(&mut first, self.wait_slot(slot, lane).err());
        }
        std::mem::forget(bomb);
        first
    }
}

fn assert_ranges(ranges: u32) {
    assert!(ranges <= RANGES_MAX, "{ranges} ranges, at most {RANGES_MAX} fit");
}

#[cold]
fn run_here(work: &dyn Work, ranges: u32, lane: &mut Lane) -> Result<(), JobPanic> {
    let mut first = None;
    for range in 0..ranges {
        let result = catch_unwind(AssertUnwindSafe(|| work.run(range, lane)));
        keep_first(&mut first, result.err().map(|payload| JobPanic::new(range, payload)));
    }
    first.map_or(Ok(()), Err)
}

fn keep_first(first: &mut Option<JobPanic>, next: Option<JobPanic>) {
    match (&first, next) {
        (None, next) => *first = next,
        (Some(_), Some(next)) => next.discard(),
        (Some(_), None) => {}
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("open", &self.open.get()).finish_non_exhaustive()
    }
}
