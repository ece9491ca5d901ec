//! Atomics, cells, locks: those of std, or loom's under `--cfg loom`.
//!
//! What the mailbox shares is imported from here, so that loom sees it. The orderings on which a proof rests are asked
//! for by name ([`Edge`]); a loom test may weaken one and must then fail.

#[cfg(not(loom))]
mod host {
    pub(crate) use std::sync::atomic::AtomicU32;

    /// `std::cell::UnsafeCell` with loom's interface.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod host {
    pub(crate) use loom::{cell::UnsafeCell, sync::atomic::AtomicU32};
}

// Not loom's `Arc`: its count cannot be lowered while a failed model unwinds.
pub(crate) use std::sync::{Arc, atomic::Ordering};

pub(crate) use host::*;

/// Whether a model failed: loom's words cannot be reached any more while what it made is dropped.
pub(crate) fn model_failed() -> bool {
    cfg!(loom) && std::thread::panicking()
}

/// An ordering that a proof of this crate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The store of a sender's tail: the messages before it are written.
    Publish,
    /// The load of a sender's tail by a receiver: the messages before it are read after.
    Consume,
    /// The store of a receiver's head: the messages before it are read.
    Release,
    /// The load of a receiver's head by the sender: their slots are written again after.
    Reuse,
    /// The store of a side's state when it goes: all that it did comes before.
    Leave,
    /// The load of that state by the other side.
    Left,
    /// The fences between announcing a sleep and looking once more, and between publishing and looking for sleepers.
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

/// The edge that the running loom test weakens. loom runs the threads of a model on the thread of the test, so one
/// thread-local value is seen by all of them and by no other test.
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
