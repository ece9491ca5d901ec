//! Waiting for a future on a thread that runs jobs.
//!
//! A lane runs one call at a time, so there is nothing to poll beside: the thread parks until the future's waker rings.
//! Who completes the future has threads of its own, or is another lane.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Wakes one thread.
struct Bell {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Bell>) {
        // Release: pairs with the Acquire in `block_on`; what the waker did is seen by the next poll.
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

std::thread_local! {
    /// Made once a thread, for a call allocates nothing. A waker that somebody kept from an earlier future rings for
    /// nothing, which costs a poll.
    static BELL: Arc<Bell> = Arc::new(Bell { thread: thread::current(), rung: AtomicBool::new(false) });
}

/// Runs a future to its end on this thread, which sleeps while there is nothing to do.
///
/// ```
/// assert_eq!(peristyle_jobs::block_on(async { 6 * 7 }), 42);
/// ```
///
/// # Panics
/// In a destructor of the thread's own storage.
pub fn block_on<R>(future: impl Future<Output = R>) -> R {
    let bell = BELL.with(Arc::clone);
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        // Acquire: pairs with the Release in `wake_by_ref`. A thread may be unparked by others, so the flag decides.
        while !bell.rung.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
