//! Atomics, cells, locks and threads: those of std, or loom's under `--cfg loom`.
//!
//! All concurrency of this crate is imported from here, so that loom sees it. The orderings on which
//! a proof rests are asked for by name ([`Edge`]); a loom test may weaken one and must then fail.

#[cfg(not(loom))]
mod host {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
    pub(crate) use std::sync::{Arc, Condvar, Mutex};
    pub(crate) use std::thread::{Builder, JoinHandle, yield_now};

    /// `std::cell::UnsafeCell` with loom's interface.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod host {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
    pub(crate) use loom::sync::{Arc, Condvar, Mutex};
    pub(crate) use loom::thread::{Builder, JoinHandle, yield_now};
}

pub(crate) use host::*;
pub(crate) use std::sync::atomic::Ordering;

/// An ordering that a proof of this crate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The store that opens a slot: its work is written before.
    Publish,
    /// The claim of a range: the slot's work is read after.
    Claim,
    /// The count of a finished range: what the range wrote comes before.
    Finish,
    /// The look at that count by who waits: what it then reads comes after.
    Done,
    /// The fences between announcing a sleep and looking for work once more, and between publishing
    /// work and looking for sleepers.
    Sleep,
}

impl Edge {
    /// Returns `strong`, except in a loom test that weakened this edge.
    #[inline(always)]
    pub(crate) fn order(self, strong: Ordering) -> Ordering {
        #[cfg(all(loom, test))]
        if weak::is(self) {
            return Ordering::Relaxed;
        }
        strong
    }

    /// A sequentially consistent fence, except in a loom test that weakened this edge.
    #[inline(always)]
    pub(crate) fn fence(self) {
        #[cfg(all(loom, test))]
        if weak::is(self) {
            return;
        }
        #[cfg(loom)]
        loom::sync::atomic::fence(Ordering::SeqCst);
        #[cfg(not(loom))]
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// The edge that the running loom test weakens. loom runs the threads of a model on the thread of
/// the test, so one thread-local value is seen by all of them and by no other test.
#[cfg(all(loom, test))]
pub(crate) mod weak {
    use std::cell::Cell;

    use super::Edge;

    std::thread_local!(static WEAK: Cell<Option<Edge>> = const { Cell::new(None) });

    pub(crate) fn is(edge: Edge) -> bool {
        WEAK.get() == Some(edge)
    }

    /// Runs `model` under loom with `edge` weakened.
    pub(crate) fn model(edge: impl Into<Option<Edge>>, model: impl Fn() + Sync + Send + 'static) {
        WEAK.set(edge.into());
        loom::model(model);
        WEAK.set(None);
    }
}
