//! Who waits on which address, for locks and whatever else of ours waits: a parking lot.
//!
//! The engine's own futex is one list under one lock of the process, and Rust cannot reach it; what parks here is woken by
//! any thread. The idea is WebKit's `ParkingLot`: words stay words of shared memory, and queues lie outside, by address.
//!
//! # Rules
//! - Whoever parks checks its word under the lock of the address's queue; whoever changes the word and then wakes takes the
//!   same lock. So a wake is never lost.
//! - Queues are first-in first-out.
//! - Locks of queues are taken one at a time; what is woken is woken after the lock is released.
//! - A word's memory lives as long as somebody is parked on it: each holds its buffer.

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::inbox::{Inbox, Task};
use super::realm::Realm;
use super::turns::Wish;

/// Queues that share a lock share nothing else. A power of two.
const BUCKETS: usize = 64;

static LOT: [Mutex<VecDeque<Parked>>; BUCKETS] = [const { Mutex::new(VecDeque::new()) }; BUCKETS];

struct Parked {
    address: usize,
    /// Whether the address is that of a lock's word: who waits for it looks again whenever it is woken.
    for_lock: bool,
    waiter: Arc<Waiter>,
}

/// Something that waits.
pub(crate) struct Waiter {
    woken: AtomicBool,
    wake: Wake,
}

/// How something that waits is woken.
enum Wake {
    Thread(Thread),
    /// An agent that blocks in a task.
    Agent(Arc<Inbox>),
    /// An agent that gets a task.
    Task(Arc<Inbox>, u32),
}

impl Waiter {
    fn new(wake: Wake) -> Arc<Waiter> {
        Arc::new(Waiter { woken: AtomicBool::new(false), wake })
    }

    fn wake(&self) {
        // Release, paired with the acquire in `is_woken`: the waker's writes come first.
        self.woken.store(true, Ordering::Release);
        match &self.wake {
            Wake::Thread(thread) => thread.unpark(),
            Wake::Agent(inbox) => inbox.rouse(),
            Wake::Task(inbox, id) => drop(inbox.push(Task::Woken(*id))),
        }
    }

    /// Which others it takes turns with.
    fn domain(&self) -> usize {
        match &self.wake {
            Wake::Thread(_) => 0,
            Wake::Agent(inbox) | Wake::Task(inbox, _) => inbox.domain(),
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

fn bucket(address: usize) -> MutexGuard<'static, VecDeque<Parked>> {
    // Fibonacci hashing: words are multiples of four bytes, often side by side.
    let at = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BUCKETS.trailing_zeros());
    LOT[at as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Woken,
    TimedOut,
    /// The agent was told to stop.
    Stopped,
    /// The word was not what it was to be.
    Invalid,
}

/// Who blocks: a thread of Rust's, or an agent, which can be stopped.
pub(crate) enum Sleeper {
    Thread,
    Agent(Arc<Inbox>),
}

/// When a wait ends at the latest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Ever,
    /// By the clock of threads.
    Instant(Instant),
    /// By an agent's clock, in nanoseconds.
    Agent(u64),
}

impl Sleeper {
    /// The one that runs here.
    pub(crate) fn here() -> Sleeper {
        // SAFETY: the inbox is counted; the realm is not used further.
        match unsafe { Realm::here() } {
            Some(realm) => Sleeper::Agent(realm.inbox.clone()),
            None => Sleeper::Thread,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Sleeper::Agent(inbox) if inbox.is_stopped())
    }

    /// Milliseconds from now; what is no number, or too much, is for ever.
    pub(crate) fn in_ms(&self, ms: f64) -> Until {
        match Duration::try_from_secs_f64(ms.max(0.0) / 1e3) {
            Ok(limit) if ms.is_finite() => self.after(limit),
            _ => Until::Ever,
        }
    }

    pub(crate) fn after(&self, limit: Duration) -> Until {
        match self {
            Sleeper::Thread => Instant::now().checked_add(limit).map_or(Until::Ever, Until::Instant),
            Sleeper::Agent(inbox) => {
                let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
                Until::Agent(inbox.clock.now_ns().saturating_add(limit))
            }
        }
    }

    /// Whether spinning for a moment can help: not where others run only when this one waits.
    pub(crate) fn may_spin(&self) -> bool {
        !matches!(self, Sleeper::Agent(inbox) if inbox.takes_turns())
    }

    /// Says what the turn was given for, where turns are.
    fn note(&self, what: &'static str) {
        if let Sleeper::Agent(inbox) = self
            && let Some(seat) = inbox.seat()
        {
            seat.note(what);
        }
    }

    fn waiter(&self) -> Arc<Waiter> {
        Waiter::new(match self {
            Sleeper::Thread => Wake::Thread(thread::current()),
            Sleeper::Agent(inbox) => Wake::Agent(inbox.clone()),
        })
    }

    /// Sleeps until it is roused, or somewhat shorter; `false` if the time has come.
    fn sleep(&self, until: Until, for_lock: bool) -> bool {
        let wish = if for_lock { Wish::Lock } else { Wish::Notification };
        match (self, until) {
            (Sleeper::Agent(inbox), Until::Agent(until)) => inbox.doze(Some(until), wish),
            (Sleeper::Agent(inbox), _) => inbox.doze(None, wish),
            (Sleeper::Thread, Until::Instant(until)) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                thread::park_timeout(left);
                true
            }
            (Sleeper::Thread, _) => {
                thread::park();
                true
            }
        }
    }
}

/// Waits on an address. `valid` is asked with the queue locked; `after` runs when this waits and can be woken.
pub(crate) fn park(
    address: usize,
    for_lock: bool,
    sleeper: &Sleeper,
    until: Until,
    valid: impl FnOnce() -> bool,
    after: impl FnOnce(),
) -> Rest {
    let waiter = sleeper.waiter();
    {
        let mut bucket = bucket(address);
        if !valid() {
            return Rest::Invalid;
        }
        bucket.push_back(Parked { address, for_lock, waiter: waiter.clone() });
    }
    after();
    let mut in_time = true;
    loop {
        if waiter.is_woken() {
            sleeper.note("woken");
            return Rest::Woken;
        }
        let rest = match (sleeper.is_stopped(), in_time) {
            (true, _) => Rest::Stopped,
            (false, false) => Rest::TimedOut,
            (false, true) => {
                in_time = sleeper.sleep(until, for_lock);
                continue;
            }
        };
        // Who is no longer in the queue was woken meanwhile.
        if !leave(address, &waiter) {
            sleeper.note("woken");
            return Rest::Woken;
        }
        sleeper.note(if rest == Rest::TimedOut { "timed out" } else { "stopped" });
        return rest;
    }
}

/// Has an agent get a task when the address is woken. Nothing if `valid`, asked with the queue locked, says no.
pub(crate) fn park_task(
    address: usize,
    for_lock: bool,
    inbox: &Arc<Inbox>,
    id: u32,
    valid: impl FnOnce() -> bool,
) -> Option<Arc<Waiter>> {
    let waiter = Waiter::new(Wake::Task(inbox.clone(), id));
    let mut bucket = bucket(address);
    if !valid() {
        return None;
    }
    bucket.push_back(Parked { address, for_lock, waiter: waiter.clone() });
    Some(waiter)
}

/// Takes a waiter out of its queue; `false` if it was woken.
pub(crate) fn leave(address: usize, waiter: &Arc<Waiter>) -> bool {
    let mut bucket = bucket(address);
    let at = bucket.iter().position(|parked| Arc::ptr_eq(&parked.waiter, waiter));
    at.and_then(|at| bucket.remove(at)).is_some()
}

/// Wakes up to `max` of those that wait on an address, first come first; how many.
pub(crate) fn unpark(address: usize, max: usize) -> usize {
    if max == 1 {
        let first = {
            let mut bucket = bucket(address);
            let at = bucket.iter().position(|parked| parked.address == address);
            at.and_then(|at| bucket.remove(at))
        };
        return first.inspect(|first| first.waiter.wake()).map_or(0, |_| 1);
    }
    let mut woken = Vec::new();
    bucket(address).retain(|parked| {
        let wakes = parked.address == address && woken.len() < max;
        if wakes {
            woken.push(parked.waiter.clone());
        }
        !wakes
    });
    woken.iter().for_each(|waiter| waiter.wake());
    woken.len()
}

/// Has those that wait for locks look again for which `wakes` says so, of a lock's word and of whether they take turns with
/// others of this domain.
pub(crate) fn unpark_locks(domain: usize, wakes: impl Fn(u32, bool) -> bool) {
    let mut woken = Vec::new();
    for bucket in &LOT {
        bucket.lock().unwrap_or_else(PoisonError::into_inner).retain(|parked| {
            if !parked.for_lock {
                return true;
            }
            let word = ptr::with_exposed_provenance_mut(parked.address);
            // SAFETY: whoever is parked holds the word's memory, and leaves the queue only under its lock, which is held here.
            // The address was exposed by `lock_address`.
            let word = unsafe { AtomicU32::from_ptr(word) }.load(Ordering::Relaxed);
            let wakes = wakes(word, parked.waiter.domain() == domain);
            if wakes {
                woken.push(parked.waiter.clone());
            }
            !wakes
        });
    }
    woken.iter().for_each(|waiter| waiter.wake());
}

/// The address to park on for a lock.
pub(crate) fn lock_address(word: &AtomicU32) -> usize {
    word.as_ptr().expose_provenance()
}
