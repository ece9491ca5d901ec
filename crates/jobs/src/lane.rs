//! What a thread that runs jobs has for itself.
//!
//! Lane 0 is the frame's own thread, lane `n` is worker `n`. A lane carries values that cannot leave
//! their thread, one per type: a JavaScript agent, a scratch buffer. A worker's values are dropped on
//! the worker, before it ends. Those of lane 0 live with the thread that runs frames: a registry of
//! that thread keeps them between scopes. They are dropped when the pool is dropped on that thread,
//! when that thread next runs a frame of a new pool after theirs is gone, or when it ends.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Weak};

use peristyle_timeline::{Timeline, clock};

use crate::watch::{Deadline, Overrun, Stop, Watch};

/// A thread that runs jobs, as a job sees it.
pub struct Lane {
    index: u32,
    pub(crate) timeline: Timeline,
    pub(crate) locals: Locals,
    watch: Arc<Watch>,
    retired: bool,
}

/// Values by type, few enough for a scan.
#[derive(Default)]
pub(crate) struct Locals(Vec<(TypeId, Box<dyn Any>)>);

impl Lane {
    pub(crate) fn new(index: u32, timeline: Timeline, locals: Locals, watch: Arc<Watch>) -> Lane {
        Lane { index, timeline, locals, watch, retired: false }
    }

    /// Returns the index of this lane: 0 for the frame's own thread, else the worker's, from 1.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns where spans are recorded; this thread records on the lane of this [index](Lane::index).
    #[inline]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Returns this lane's value of type `T`, made by `make` when there is none yet.
    ///
    /// Values need not be `Send`. After a job panicked the value is as the job left it.
    pub fn local<T: 'static>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        let locals = &mut self.locals.0;
        let at = locals.iter().position(|(id, _)| *id == TypeId::of::<T>()).unwrap_or_else(|| {
            locals.push((TypeId::of::<T>(), Box::new(make())));
            locals.len() - 1
        });
        locals[at].1.downcast_mut().expect("a value stands under its own type")
    }

    /// Returns this lane's value of type `T`, if there is one.
    pub fn get_local<T: 'static>(&mut self) -> Option<&mut T> {
        let (_, value) = self.locals.0.iter_mut().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_mut()
    }

    /// Takes this lane's value of type `T` away, if there is one.
    pub fn take_local<T: 'static>(&mut self) -> Option<T> {
        let at = self.locals.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.locals.0.remove(at).1.downcast().ok().map(|value| *value)
    }

    /// Runs `call` under the pool's deadline, and returns with its result how long it took if that was too long.
    ///
    /// When the deadline passes, what was left by [`stopped_by`](Lane::stopped_by) is told to stop; a Rust function is
    /// waited for. Without a deadline this costs a branch, with one two readings of the clock.
    #[inline]
    pub fn watched<R>(&mut self, call: impl FnOnce(&mut Lane) -> R) -> (R, Option<Overrun>) {
        match self.watch.deadline() {
            None => (call(self), None),
            Some(deadline) => self.watched_for(deadline, call),
        }
    }

    #[cold]
    fn watched_for<R>(&mut self, deadline: Deadline, call: impl FnOnce(&mut Lane) -> R) -> (R, Option<Overrun>) {
        /// Notes the end of the call, also when it unwinds.
        struct Noted(Arc<Watch>, u64);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.0.set_began(self.1);
            }
        }
        let began = clock::now();
        let noted = Noted(self.watch.clone(), self.watch.set_began(began));
        let result = call(self);
        drop(noted);
        let ticks = clock::now().saturating_sub(began);
        (result, deadline.overrun(ticks))
    }

    /// Has `stop` told when a call on this lane overruns its deadline or the lane is killed, as long as it lives.
    pub fn stopped_by(&mut self, stop: &Arc<impl Stop + 'static>) {
        let stop: Weak<dyn Stop> = Arc::downgrade(stop) as Weak<dyn Stop>;
        self.watch.add_stop(stop);
    }

    /// Ends this lane after the range that it runs: a worker's thread ends, with its values, and a new one takes its place;
    /// the values of the frame's thread are dropped when its scope ends. For what left the values in doubt: a panic, an
    /// agent out of memory.
    pub fn retire(&mut self) {
        self.retired = true;
    }

    /// Whether this lane is to end.
    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("index", &self.index).field("locals", &self.locals.0.len()).finish()
    }
}

impl Drop for Locals {
    /// Drops the newest value first: it may refer to what older ones set up.
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

/// Names a pool in the registries of threads, and tells them by its end that the pool is gone.
pub(crate) struct PoolToken(Arc<()>);

struct Kept {
    pool: Weak<()>,
    locals: Locals,
}

std::thread_local!(static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) });

impl PoolToken {
    pub(crate) fn new() -> PoolToken {
        PoolToken(Arc::new(()))
    }

    /// Takes lane 0's values of this pool out of this thread's registry; none at first.
    pub(crate) fn take_locals(&self) -> Locals {
        KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let of_pool = kept.iter_mut().find(|kept| kept.pool.as_ptr() == Arc::as_ptr(&self.0));
            of_pool.map(|kept| std::mem::take(&mut kept.locals)).unwrap_or_default()
        })
        .unwrap_or_default()
    }

    /// Puts lane 0's values back into this thread's registry.
    pub(crate) fn keep_locals(&self, locals: Locals) {
        if locals.0.is_empty() {
            return;
        }
        let mut back = Some(locals);
        // A scope inside a thread-local destructor may find the registry gone: then the values are
        // dropped here, on the right thread all the same.
        let gone = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let locals = back.take().expect("put back once");
            if let Some(known) = kept.iter_mut().find(|kept| kept.pool.as_ptr() == Arc::as_ptr(&self.0)) {
                known.locals = locals;
                return Vec::new();
            }
            let gone = kept.extract_if(.., |kept| kept.pool.strong_count() == 0).collect();
            kept.push(Kept { pool: Arc::downgrade(&self.0), locals });
            gone
        });
        // Dropped after the registry's borrow ended: a value's destructor may use a pool itself.
        drop(gone);
    }

    /// Drops lane 0's values of this pool if they live on this thread.
    pub(crate) fn drop_locals(&self) {
        let kept = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let at = kept.iter().position(|kept| kept.pool.as_ptr() == Arc::as_ptr(&self.0))?;
            Some(kept.swap_remove(at))
        });
        drop(kept);
    }
}
