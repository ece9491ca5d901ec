//! Who waits on which address, for locks and whatever else of ours waits: a parking lot.
//!
//! The engine's own futex is one list under one lock of the process, and Rust cannot reach it; what parks here is woken by
//! any thread. The idea is WebKit's `ParkingLot`: words stay words of shared memory, and queues lie outside, by address.
//!
//! # Rules
//! - Whoever parks checks its word under the lock of the address's queue; whoever changes the word and then wakes takes the
//!   same lock. So a wake is never lost.
//! - Queues are first-in first-out.
//! - Who is notified of a condition while its lock is taken is not woken, only to wait for the lock: it moves to the lock's queue.
//! - A second queue is only tried to be locked while one is. What is woken is woken after the locks are released.
//! - A word's memory lives as long as somebody is parked on it: each holds its buffer.

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
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
    /// The lock that it takes once it was notified.
    then: Option<usize>,
    waiter: Arc<Waiter>,
}

/// Where to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queue {
    address: usize,
    for_lock: bool,
    then: Option<usize>,
}

impl Queue {
    /// For a wake of an address, whatever it means.
    pub(crate) fn of(address: usize) -> Queue {
        Queue { address, for_lock: false, then: None }
    }

    /// For a lock.
    pub(crate) fn lock(word: &AtomicU32) -> Queue {
        Queue { address: lock_address(word), for_lock: true, then: None }
    }

    /// For a condition, and for a lock then.
    pub(crate) fn condition(address: usize, lock: &AtomicU32) -> Queue {
        Queue { address, for_lock: false, then: Some(lock_address(lock)) }
    }

    fn parked(self, waiter: Arc<Waiter>) -> Parked {
        Parked { address: self.address, for_lock: self.for_lock, then: self.then, waiter }
    }
}

/// Something that waits.
pub(crate) struct Waiter {
    woken: AtomicBool,
    /// Where it waits: written with the queues locked.
    address: AtomicUsize,
    /// Notified, and moved to a lock's queue.
    moved: AtomicBool,
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
    fn new(address: usize, wake: Wake) -> Arc<Waiter> {
        let (woken, moved) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Waiter { woken, address: AtomicUsize::new(address), moved, wake })
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

fn index(address: usize) -> usize {
    // Fibonacci hashing: words are multiples of four bytes, often side by side.
    ((address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BUCKETS.trailing_zeros())) as usize
}

fn bucket(address: usize) -> MutexGuard<'static, VecDeque<Parked>> {
    LOT[index(address)].lock().unwrap_or_else(PoisonError::into_inner)
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

    fn waiter(&self, address: usize) -> Arc<Waiter> {
        let wake = match self {
            Sleeper::Thread => Wake::Thread(thread::current()),
            Sleeper::Agent(inbox) => Wake::Agent(inbox.clone()),
        };
        Waiter::new(address, wake)
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

/// Looks at whether it was woken before a thread sleeps: the other side may be about to.
const SPINS: u32 = 40;

/// Waits in a queue. `valid` is asked with the queue locked; `after` runs when this waits and can be woken.
pub(crate) fn park(
    queue: Queue,
    sleeper: &Sleeper,
    until: Until,
    valid: impl FnOnce() -> bool,
    after: impl FnOnce(),
) -> Rest {
    let waiter = sleeper.waiter(queue.address);
    {
        let mut bucket = bucket(queue.address);
        if !valid() {
            return Rest::Invalid;
        }
        bucket.push_back(queue.parked(waiter.clone()));
    }
    after();
    if sleeper.may_spin() {
        for _ in 0..SPINS {
            if waiter.is_woken() {
                return Rest::Woken;
            }
            std::hint::spin_loop();
        }
    }
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
                in_time = sleeper.sleep(until, queue.for_lock);
                continue;
            }
        };
        // Who is no longer in the queue was woken meanwhile.
        if !leave(&waiter) || (rest == Rest::TimedOut && waiter.moved.load(Ordering::Relaxed)) {
            sleeper.note("woken");
            return Rest::Woken;
        }
        sleeper.note(if rest == Rest::TimedOut { "timed out" } else { "stopped" });
        return rest;
    }
}

/// Has an agent get a task when the address is woken. Nothing if `valid`, asked with the queue locked, says no.
pub(crate) fn park_task(
    queue: Queue,
    inbox: &Arc<Inbox>,
    id: u32,
    valid: impl FnOnce() -> bool,
) -> Option<Arc<Waiter>> {
    let waiter = Waiter::new(queue.address, Wake::Task(inbox.clone(), id));
    let mut bucket = bucket(queue.address);
    if !valid() {
        return None;
    }
    bucket.push_back(queue.parked(waiter.clone()));
    Some(waiter)
}

/// Takes a waiter out of its queue; `false` if it was woken.
pub(crate) fn leave(waiter: &Arc<Waiter>) -> bool {
    loop {
        let address = waiter.address.load(Ordering::Relaxed);
        let mut bucket = bucket(address);
        // It may have moved before the queue was locked.
        if waiter.address.load(Ordering::Relaxed) == address {
            let at = bucket.iter().position(|parked| Arc::ptr_eq(&parked.waiter, waiter));
            return at.and_then(|at| bucket.remove(at)).is_some();
        }
    }
}

/// Wakes one of those that wait for a lock.
pub(crate) fn unpark_lock(word: &AtomicU32) {
    unpark(lock_address(word), 1);
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

/// Tells up to `max` of those that wait for a condition, first come first; how many. They are woken, or moved to the queue of
/// their lock if `is_taken`, asked with that queue locked, says that it is taken and that its owner will wake somebody.
pub(crate) fn notify(address: usize, max: usize, is_taken: impl Fn(&AtomicU32) -> bool) -> usize {
    let (mut woken, mut count, mut at) = (Vec::new(), 0, 0);
    let here = index(address);
    let mut bucket = bucket(address);
    while count < max && at < bucket.len() {
        if bucket[at].address != address {
            at += 1;
            continue;
        }
        let Some(Parked { then, waiter, .. }) = bucket.remove(at) else { break };
        count += 1;
        // Agents that take turns are woken in any case: whether the other queue can be locked depends on other threads.
        let Some(lock) = then.filter(|lock| *lock != address && waiter.domain() == 0) else {
            woken.push(waiter);
            continue;
        };
        let mut other = if index(lock) == here { None } else { Some(LOT[index(lock)].try_lock()) };
        let queue = match &mut other {
            None => Some(&mut *bucket),
            Some(Ok(other)) => Some(&mut **other),
            Some(Err(_)) => None,
        };
        // SAFETY: whoever waits holds the memory of its lock, too, and leaves the queue only under its lock, which is held
        // here. The address was exposed by `lock_address`.
        let word = unsafe { AtomicU32::from_ptr(ptr::with_exposed_provenance_mut(lock)) };
        match queue.filter(|_| is_taken(word)) {
            Some(queue) => {
                waiter.moved.store(true, Ordering::Relaxed);
                waiter.address.store(lock, Ordering::Relaxed);
                queue.push_back(Parked { address: lock, for_lock: true, then: None, waiter });
            }
            None => woken.push(waiter),
        }
    }
    drop(bucket);
    woken.iter().for_each(|waiter| waiter.wake());
    count
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
fn lock_address(word: &AtomicU32) -> usize {
    word.as_ptr().expose_provenance()
}
