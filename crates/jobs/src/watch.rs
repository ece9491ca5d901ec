//! What other threads know of a lane: since when its call runs, and how to stop it.
//!
//! A lane notes when a call begins and ends; the pool's watchdog looks at that a few times per deadline. What can be
//! stopped from outside (a JavaScript agent) leaves a [`Stop`] with its lane. What cannot, a Rust function, is waited for.
//!
//! # Rules
//! - A stop names the entry that it is for, and that was read before the lane was seen to be still in the overdue call;
//!   so a late word stops no later call.
//! - A lane that was told to retire ends after the range that it runs; see [`Lane::retire`](crate::Lane::retire).

// Not `sync`'s: loom's models of the board have no deadlines, and would only grow by these.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use peristyle_timeline::clock;

/// Why a call is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It ran longer than this.
    Overran(Duration),
    /// Its worker was [killed](crate::Supervisor::kill).
    Killed,
}

/// Something that runs on a lane and can be stopped from another thread: a JavaScript agent.
pub trait Stop: Send + Sync {
    /// Numbers what runs now, so that [`stop`](Stop::stop) can name it.
    fn entry(&self) -> u64;

    /// Stops entry `entry` if that still runs; returns at once.
    fn stop(&self, entry: u64, reason: StopReason);
}

/// A call that ran longer than its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// How long it ran.
    pub took: Duration,
    /// How long it may run.
    pub deadline: Duration,
}

/// How long a call may run.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    time: Duration,
    ticks: u64,
}

impl Deadline {
    fn new(time: Duration) -> Deadline {
        Deadline { time, ticks: (time.as_nanos() as f64 / clock::ns_per_tick()) as u64 }
    }

    /// What a call of `ticks` is, if it was too long.
    pub(crate) fn overrun(&self, ticks: u64) -> Option<Overrun> {
        let took = || Duration::from_nanos((ticks as f64 * clock::ns_per_tick()) as u64);
        (ticks > self.ticks).then(|| Overrun { took: took(), deadline: self.time })
    }
}

/// One lane, as seen from other threads.
pub(crate) struct Watch {
    deadline: Option<Deadline>,
    /// The clock at the beginning of the call that runs; 0 while none does.
    began: AtomicU64,
    killed: AtomicBool,
    stops: Mutex<Vec<Weak<dyn Stop>>>,
}

impl Watch {
    pub(crate) fn new(deadline: Option<Duration>) -> Watch {
        Watch {
            deadline: deadline.map(Deadline::new),
            began: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            stops: Mutex::default(),
        }
    }

    /// The deadline of calls.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Notes that a call began at `ticks`, or with 0 that none runs; gives what was there.
    pub(crate) fn set_began(&self, ticks: u64) -> u64 {
        let outer = self.began.load(Ordering::Relaxed);
        // Release, paired with the Acquire in `stop_if`: who sees that the call is over, or another, sees what it did.
        self.began.store(ticks, Ordering::Release);
        outer
    }

    /// Adds something that can be stopped, and forgets what is gone.
    pub(crate) fn add_stop(&self, stop: Weak<dyn Stop>) {
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.retain(|known| known.strong_count() != 0);
        stops.push(stop);
    }

    /// Stops what runs if `is_due` holds of the beginning of its call, before and after entries were looked up.
    fn stop_if(&self, reason: StopReason, is_due: impl Fn(u64) -> bool) {
        let began = self.began.load(Ordering::Acquire);
        if !is_due(began) {
            return;
        }
        let stops: Vec<Arc<dyn Stop>> = {
            let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
            stops.iter().filter_map(Weak::upgrade).collect()
        };
        for stop in stops {
            let entry = stop.entry();
            if self.began.load(Ordering::Acquire) == began {
                stop.stop(entry, reason);
            }
        }
    }

    /// Tells the lane to end, and stops what it runs.
    pub(crate) fn kill(&self) {
        // Release, paired with the Acquire in `take_killed`.
        self.killed.store(true, Ordering::Release);
        self.stop_if(StopReason::Killed, |_| true);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Whether the lane was killed; its successor is not.
    pub(crate) fn take_killed(&self) -> bool {
        self.is_killed() && self.killed.swap(false, Ordering::AcqRel)
    }
}

/// The thread that stops calls which overrun. It looks four times per deadline, so that a call reads the clock twice and
/// no more. Ends when the sender is dropped.
pub(crate) fn start_watchdog(lanes: Vec<Arc<Watch>>, deadline: Duration) -> std::io::Result<Sender<()>> {
    let (alive, ended) = mpsc::channel();
    let turn = (deadline / 4).max(Duration::from_millis(1));
    let watchdog = move || {
        while ended.recv_timeout(turn) == Err(RecvTimeoutError::Timeout) {
            let now = clock::now();
            for lane in &lanes {
                let due = |began: u64| {
                    began != 0 && lane.deadline.is_some_and(|deadline| now.saturating_sub(began) > deadline.ticks)
                };
                lane.stop_if(StopReason::Overran(deadline), due);
            }
        }
    };
    thread::Builder::new().name("peristyle-watchdog".into()).spawn(watchdog)?;
    Ok(alive)
}
