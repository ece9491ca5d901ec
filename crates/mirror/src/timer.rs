//! One thread that waits for points in time, for all clients of the process.
//!
//! It starts with the first alarm. Alarms are rare: a client sets one for its earliest deadline, not one a call.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::Future,
    sync::{Arc, Condvar, Mutex, OnceLock},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use crate::lock;

struct Alarm {
    at: Instant,
    /// Alarms of one time ring in the order in which they were set.
    order: u64,
    ring: Box<dyn FnOnce() + Send>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Alarm) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Alarm) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Alarm) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Default)]
struct Clock {
    alarms: Mutex<(BinaryHeap<Reverse<Alarm>>, u64)>,
    earlier: Condvar,
}

fn run(clock: &Clock) {
    let mut alarms = lock(&clock.alarms);
    loop {
        let now = Instant::now();
        let next = alarms.0.peek().map(|Reverse(alarm)| alarm.at);
        alarms = match next {
            Some(at) if at <= now => {
                let due = alarms.0.pop();
                drop(alarms);
                if let Some(Reverse(alarm)) = due {
                    // What rings is ours or a waker; a panic in it must not silence the others.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(alarm.ring));
                }
                lock(&clock.alarms)
            }
            Some(at) => match clock.earlier.wait_timeout(alarms, at - now) {
                Ok((alarms, _)) => alarms,
                Err(poisoned) => poisoned.into_inner().0,
            },
            None => clock.earlier.wait(alarms).unwrap_or_else(std::sync::PoisonError::into_inner),
        };
    }
}

/// Calls `ring` at a point in time, on the timer's thread; it must not block.
pub(crate) fn at(at: Instant, ring: impl FnOnce() + Send + 'static) {
    static CLOCK: OnceLock<Arc<Clock>> = OnceLock::new();
    let clock = CLOCK.get_or_init(|| {
        let clock = Arc::new(Clock::default());
        let of_thread = clock.clone();
        // Without the thread nothing would time out, which is as if time-outs were off; there is nobody to tell.
        let _ = std::thread::Builder::new().name("mirror-timer".into()).spawn(move || run(&of_thread));
        clock
    });
    let mut alarms = lock(&clock.alarms);
    alarms.1 += 1;
    let order = alarms.1;
    let first = alarms.0.peek().is_none_or(|Reverse(alarm)| at < alarm.at);
    alarms.0.push(Reverse(Alarm { at, order, ring: Box::new(ring) }));
    drop(alarms);
    if first {
        clock.earlier.notify_one();
    }
}

/// Waits, on any executor.
pub fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    let until = Instant::now() + duration;
    let waker: Arc<Mutex<(bool, Option<Waker>)>> = Arc::default();
    let mut set = false;
    std::future::poll_fn(move |context| {
        let mut state = lock(&waker);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        drop(state);
        if !std::mem::replace(&mut set, true) {
            let waker = waker.clone();
            at(until, move || {
                let mut state = lock(&waker);
                state.0 = true;
                let waker = state.1.take();
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
            });
        }
        Poll::Pending
    })
}
