//! Locks and conditions on words of shared memory: the algorithm that scripts and Rust share.
//!
//! ```text
//!  bits 31..1                      bit 0
//! | owner, 0 while nobody has it  | somebody may be parked |
//! ```
//!
//! Locking without contention is one compare-and-exchange from 0 to the owner, unlocking one exchange to 0: scripts do both
//! without a call (`web/locks.js`). Who finds the word taken sets bit 0 and parks in the [lot](super::lot); who unlocks and
//! finds the bit set wakes one. Whoever was parked takes the lock with the bit set, as others may still be parked. A lock
//! that becomes free goes to whoever comes first, not to who waited longest.
//!
//! A condition's word is never written: its address names the queue.
//!
//! # Rules
//! - An owner is an agent or a thread of Rust's; its number is never used again. It asks for a lock that it has: an error.
//! - An owner that ends with a lock leaves it *abandoned* for good: what the lock protects may be half done, so everybody
//!   else gets an error, those that wait included.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};

use super::lot::{self, Queue, Rest, Sleeper, Until};

const FREE: u32 = 0;
const CONTENDED: u32 = 1;
/// The word of a lock whose owner ended; no owner's.
const ABANDONED: u32 = u32::MAX - 1;
/// Looks at a taken lock before parking: what is done under a lock is often over sooner than a thread sleeps.
const SPINS: u32 = 40;

/// Why a lock was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Who asks has the lock.
    #[error("whoever asks for the lock has it already")]
    Recursive,
    /// The agent or thread that had the lock ended without unlocking it.
    #[error("the lock's owner ended without unlocking it")]
    Abandoned,
    /// It was not to be had in time.
    #[error("the lock was not to be had in time")]
    TimedOut,
    /// The agent on whose thread this runs was told to stop.
    #[error("the agent was told to stop")]
    Stopped,
}

static OWNERS: RwLock<Option<HashSet<u32>>> = RwLock::new(None);

/// Someone who can have locks. Its drop abandons those that it has.
#[derive(Debug)]
pub(crate) struct Owner {
    word: u32,
    /// With whom it takes turns.
    domain: usize,
}

impl Owner {
    pub(crate) fn new(domain: usize) -> Owner {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // 2^30 owners can live in a process; a number comes again only after that.
        let number = (NEXT.fetch_add(1, Ordering::Relaxed) & (u32::MAX >> 2)).max(1);
        let word = number << 1;
        OWNERS.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(word);
        Owner { word, domain }
    }

    /// What stands in the word of a lock that it has.
    pub(crate) fn word(&self) -> u32 {
        self.word
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(owners) = &mut *OWNERS.write().unwrap_or_else(PoisonError::into_inner) {
            owners.remove(&self.word);
        }
        // Its locks are abandoned. And it may have ended between giving a lock back and waking somebody, or between being woken
        // and taking the lock: then nobody has the lock, or somebody who knows of nobody parked. Agents that take turns among
        // themselves are not to be woken by the end of others, whenever that is.
        lot::unpark_locks(self.domain, |word, same| {
            let owner = word & !CONTENDED;
            (owner != FREE && !lives(owner)) || (same && word & CONTENDED == 0)
        });
    }
}

fn lives(owner: u32) -> bool {
    OWNERS.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|owners| owners.contains(&owner))
}

/// Takes a lock that is free; whether it was.
pub(crate) fn try_lock(word: &AtomicU32, me: u32) -> Result<bool, LockError> {
    // Acquire, paired with the release in `unlock`.
    match word.compare_exchange(FREE, me, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => Ok(true),
        Err(taken) => check(word, taken, me).map(|()| false),
    }
}

/// Whether a lock that is taken is worth waiting for.
fn check(word: &AtomicU32, taken: u32, me: u32) -> Result<(), LockError> {
    let owner = taken & !CONTENDED;
    if owner == me {
        return Err(LockError::Recursive);
    }
    if owner == ABANDONED {
        return Err(LockError::Abandoned);
    }
    if owner != FREE && !lives(owner) {
        // Whoever comes first says so to all.
        let _ = word.compare_exchange(taken, ABANDONED, Ordering::Relaxed, Ordering::Relaxed);
        return Err(LockError::Abandoned);
    }
    Ok(())
}

/// Takes a lock.
pub(crate) fn lock(word: &AtomicU32, me: u32, sleeper: &Sleeper, until: Until) -> Result<(), LockError> {
    take(word, me, me, sleeper, until)
}

/// As [`lock`]; `mine` is what the word becomes at first.
fn take(word: &AtomicU32, me: u32, mut mine: u32, sleeper: &Sleeper, until: Until) -> Result<(), LockError> {
    let mut spins = if sleeper.may_spin() { SPINS } else { 0 };
    loop {
        let taken = match word.compare_exchange(FREE, mine, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return Ok(()),
            Err(taken) => taken,
        };
        check(word, taken, me)?;
        if sleeper.is_stopped() {
            return Err(LockError::Stopped);
        }
        if spins > 0 && taken & CONTENDED == 0 {
            spins -= 1;
            std::hint::spin_loop();
            continue;
        }
        let Some(parks) = contend(word, taken) else { continue };
        mine = me | CONTENDED;
        match lot::park(Queue::lock(word), sleeper, until, || parks(word), || ()) {
            Rest::Woken | Rest::Invalid => {}
            Rest::TimedOut => return Err(LockError::TimedOut),
            Rest::Stopped => return Err(LockError::Stopped),
        }
    }
}

/// Sets the bit that says that somebody parks. Gives what is to be asked with the queue locked; nothing if the word changed.
pub(crate) fn contend(word: &AtomicU32, taken: u32) -> Option<impl Fn(&AtomicU32) -> bool + use<>> {
    let marked = taken | CONTENDED;
    if taken == FREE
        || (taken != marked && word.compare_exchange(taken, marked, Ordering::Relaxed, Ordering::Relaxed).is_err())
    {
        return None;
    }
    // An owner that ends is first forgotten, and then looks at every queue.
    Some(move |word: &AtomicU32| word.load(Ordering::Relaxed) == marked && lives(taken & !CONTENDED))
}

/// As [`contend`], for who waits by a task: whether it is to park. Whoever has the lock may be the agent itself.
pub(crate) fn contend_later(word: &AtomicU32) -> Result<Option<impl Fn(&AtomicU32) -> bool + use<>>, LockError> {
    let taken = word.load(Ordering::Relaxed);
    // No owner has this number: nobody is refused as the one who has the lock.
    check(word, taken, u32::MAX)?;
    Ok(contend(word, taken))
}

/// Gives a lock back.
pub(crate) fn unlock(word: &AtomicU32) {
    // Release, paired with the acquire of whoever takes it next.
    if word.swap(FREE, Ordering::Release) & CONTENDED != 0 {
        wake(word);
    }
}

/// Wakes one of those that wait for a lock.
pub(crate) fn wake(word: &AtomicU32) {
    lot::unpark_lock(word);
}

/// Gives a lock back, waits for a condition and takes the lock again; whether it was notified, and did not time out. After
/// an error the lock is not had.
pub(crate) fn wait(
    condition: &AtomicU32,
    word: &AtomicU32,
    me: u32,
    sleeper: &Sleeper,
    until: Until,
) -> Result<bool, LockError> {
    // Notified after the lock was given back, this is in the queue already.
    let queue = Queue::condition(condition.as_ptr().addr(), word);
    match lot::park(queue, sleeper, until, || true, || unlock(word)) {
        Rest::Stopped => Err(LockError::Stopped),
        // It may have been parked for the lock, with others.
        rest => take(word, me, me | CONTENDED, sleeper, Until::Ever).map(|()| rest != Rest::TimedOut),
    }
}

/// Wakes up to `max` of those that wait for a condition; how many.
pub(crate) fn notify(condition: &AtomicU32, max: usize) -> usize {
    lot::notify(condition.as_ptr().addr(), max, |word| {
        contend(word, word.load(Ordering::Relaxed)).is_some_and(|parks| parks(word))
    })
}
