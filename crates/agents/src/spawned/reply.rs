//! One value on its way from one thread to another, awaited by a future or by a thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

struct Slot<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// Nobody will send any more.
    over: bool,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, value: Option<T>) {
        let mut state = self.lock();
        state.value = value;
        state.over = true;
        let waker = state.waker.take();
        drop(state);
        self.ready.notify_all();
        waker.inspect(Waker::wake_by_ref);
    }
}

/// The end that sends. Dropped without sending, it tells the other end so.
pub(crate) struct Answer<T>(Option<Arc<Slot<T>>>);

impl<T> Answer<T> {
    pub(crate) fn send(mut self, value: T) {
        if let Some(slot) = self.0.take() {
            slot.finish(Some(value));
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.finish(None);
        }
    }
}

/// The end that waits. `None` where it gives an answer means that there will be none.
pub(crate) struct Reply<T>(Arc<Slot<T>>);

/// Both ends.
pub(crate) fn reply<T>() -> (Answer<T>, Reply<T>) {
    let state = Mutex::new(State { value: None, waker: None, over: false });
    let slot = Arc::new(Slot { state, ready: Condvar::new() });
    (Answer(Some(slot.clone())), Reply(slot))
}

impl<T> Reply<T> {
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if state.over {
            return Poll::Ready(state.value.take());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether waiting would give an answer at once.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().over
    }

    pub(crate) fn wait(&self) -> Option<T> {
        let mut state = self.0.lock();
        while !state.over {
            state = self.0.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.value.take()
    }

    /// `Err` if nothing came in time.
    pub(crate) fn wait_timeout(&self, limit: Duration) -> Result<Option<T>, ()> {
        let until = Instant::now() + limit;
        let mut state = self.0.lock();
        while !state.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(());
            }
            state = self.0.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state.value.take())
    }
}
