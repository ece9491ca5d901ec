//! Deterministic mode: agents in turn, by a seed, in virtual time.
//!
//! Each agent keeps its thread, and has a *seat*. One seat at a time has the turn; it gives it up between tasks and where it
//! blocks (`Atomics.wait`, a lock, a condition, the end of a worker). Then the seed decides which of the seats that can go on
//! is next. Time stands still while any can; then it moves to the next time that somebody waits for. So what a program does
//! depends on the program, the seed, and what Rust gives it between runs.
//!
//! # Rules
//! - Agents run only while Rust waits for them: in [`Cluster::run`], and in the waiting calls of handles. What Rust posts
//!   before is there, in order, when they begin.
//! - A turn that does not end is refused, by the processor time that it took: a program that spins until another agent does
//!   something would wait for ever. So are turns without end at one time.
//! - The lock is a leaf: channels and inboxes are locked first.
//! - What the engine does on threads of its own is waited for with the turn in hand.
//!
//! # Not here
//! Collections: what weak references and finalizers show depends on them. `memory.atomic.wait` of WebAssembly: it blocks the
//! engine, and is refused when it does not end. Threads of Rust's that post or lock while agents run.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::control::Control;
use super::realm::Realm;
use crate::{AgentError, Cluster};

/// How a cluster is deterministic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deterministic {
    /// Decides who is next, and seeds `Math.random`.
    pub seed: u64,
    /// Processor time after which a turn is refused. 2 s unless told.
    pub turn_time: Duration,
    /// Turns that may pass without time moving. A million unless told.
    pub turns_at_once: u64,
}

impl Deterministic {
    /// With this seed, and the default limits.
    pub fn seed(seed: u64) -> Deterministic {
        Deterministic { seed, turn_time: Duration::from_secs(2), turns_at_once: 1_000_000 }
    }
}

/// Why agents of a deterministic cluster cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The cluster is not deterministic.
    #[error("the cluster is not deterministic")]
    NotDeterministic,
    /// Whoever asks has a turn itself: this runs in a callback of an agent's.
    #[error("agents are run from a turn of one")]
    InTurn,
    /// A turn of this agent did not end, or turns went on and on without time moving. All agents were stopped.
    #[error("agent {agent} spins: in turns, nothing that it waits for can happen meanwhile")]
    Spins {
        /// Its number, from 0 in the order of spawning, and its name.
        agent: String,
    },
    /// This agent blocks where it cannot give its turn away. All agents were stopped.
    #[error("agent {agent} blocks outside of its turns")]
    Blocks {
        /// Its number, from 0 in the order of spawning, and its name.
        agent: String,
    },
    /// These agents block in a task, and nobody is left to wake them but Rust.
    #[error("deadlock: {}", .waiting.join(", "))]
    Deadlock {
        /// Number and name of each, and what it waits for.
        waiting: Vec<String>,
    },
}

/// One turn, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Virtual time since the cluster was made.
    pub time: Duration,
    /// The agent's number, from 0 in the order of spawning, and its name.
    pub agent: Arc<str>,
    /// What it was given the turn for: `start`, `message`, `timer`, `call`, `worker`, `engine`, `woken`, `timed out`.
    pub what: &'static str,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.time, self.agent, self.what)
    }
}

/// Turns that are remembered; there may be more.
const LOG_MAX: usize = 1 << 20;

pub(crate) struct Turns {
    options: Deterministic,
    now_ns: AtomicU64,
    state: Mutex<State>,
    /// Told when agents have stopped running, and when one could go on again.
    changed: Condvar,
}

struct State {
    seats: Vec<SeatState>,
    running: Option<usize>,
    /// Whether agents may run.
    open: bool,
    /// Nobody drives any more: agents run when they can.
    for_good: bool,
    /// Nobody can go on.
    quiet: bool,
    /// Times that are not to come in this run.
    limit_ns: u64,
    random: u64,
    turns: u64,
    turns_at_once: u64,
    failed: Option<RunError>,
    log: Vec<Turn>,
}

struct SeatState {
    label: Arc<str>,
    status: Status,
    /// Something came for it while it had the turn.
    poked: bool,
    wake: Arc<Condvar>,
    control: Weak<Control>,
    /// It is in real time with what it does: its thread starts, or the engine works for it elsewhere.
    excused: bool,
    thread: Option<CpuClock>,
}

/// What a seat does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ready,
    Running,
    /// Waits, at most until a time.
    Waits {
        until_ns: Option<u64>,
        wish: Wish,
    },
    Left,
}

/// What a seat waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A task: it does not block.
    Task,
    Lock,
    Notification,
    /// The end of the agent on another seat.
    EndOf(usize),
}

impl Turns {
    pub(crate) fn new(options: Deterministic) -> Turns {
        let state = State {
            seats: Vec::new(),
            running: None,
            open: false,
            for_good: false,
            quiet: true,
            limit_ns: u64::MAX,
            random: options.seed,
            turns: 0,
            turns_at_once: 0,
            failed: None,
            log: Vec::new(),
        };
        Turns { options, now_ns: AtomicU64::new(0), state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time.
    pub(crate) fn now_ns(&self) -> u64 {
        // Whoever asks has the turn, which it got by the lock.
        self.now_ns.load(Ordering::Relaxed)
    }

    /// A seat for a new agent, which is to begin.
    pub(crate) fn sit(self: &Arc<Turns>, name: &str) -> Arc<Seat> {
        let mut state = self.lock();
        let index = state.seats.len();
        let label = if name.is_empty() { index.to_string() } else { format!("{index} {name}") };
        let wake = Arc::new(Condvar::new());
        state.seats.push(SeatState {
            label: label.into(),
            status: Status::Ready,
            poked: false,
            wake: wake.clone(),
            control: Weak::new(),
            excused: true,
            thread: None,
        });
        self.pick(&mut state);
        drop(state);
        self.changed.notify_all();
        Arc::new(Seat { turns: self.clone(), index, wake })
    }

    /// Gives the turn to somebody, if nobody has it.
    fn pick(&self, state: &mut State) {
        if !state.open || state.running.is_some() {
            return;
        }
        loop {
            let ready = state.seats.iter().filter(|seat| seat.status == Status::Ready).count();
            if ready != 0 {
                // The upper bits of a product: no remainder favours the first.
                let chosen = ((u128::from(random(&mut state.random)) * ready as u128) >> 64) as usize;
                let mut seats = state.seats.iter_mut().enumerate().filter(|(_, seat)| seat.status == Status::Ready);
                let Some((index, seat)) = seats.nth(chosen) else { return };
                seat.status = Status::Running;
                seat.wake.notify_one();
                (state.running, state.quiet) = (Some(index), false);
                state.turns += 1;
                state.turns_at_once += 1;
                if state.turns_at_once > self.options.turns_at_once {
                    // Whoever drives looks.
                    self.changed.notify_all();
                }
                return;
            }
            let next = state.seats.iter().filter_map(|seat| match seat.status {
                Status::Waits { until_ns, .. } => until_ns,
                _ => None,
            });
            let Some(next) = next.min().filter(|next| *next <= state.limit_ns) else {
                if state.limit_ns != u64::MAX {
                    self.now_ns.fetch_max(state.limit_ns, Ordering::Relaxed);
                }
                (state.open, state.quiet) = (state.for_good, true);
                self.changed.notify_all();
                return;
            };
            let now = next.max(self.now_ns());
            self.now_ns.store(now, Ordering::Relaxed);
            state.turns_at_once = 0;
            for seat in &mut state.seats {
                if matches!(seat.status, Status::Waits { until_ns: Some(until), .. } if until <= now) {
                    seat.status = Status::Ready;
                }
            }
        }
    }

    /// Lets agents run until none can go on, or up to a time.
    pub(crate) fn run(&self, limit: Option<Duration>) -> Result<(), RunError> {
        // SAFETY: the realm is not used further.
        let here = unsafe { Realm::here() };
        if here.and_then(|realm| realm.inbox.turns()).is_some_and(|turns| ptr::eq(&**turns, self)) {
            return Err(RunError::InTurn);
        }
        let mut state = self.lock();
        state.limit_ns = limit.map_or(u64::MAX, |limit| {
            self.now_ns().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        });
        (state.open, state.quiet, state.turns_at_once) = (true, false, 0);
        self.pick(&mut state);
        let mut since = (0, None, Instant::now());
        while !state.quiet && state.failed.is_none() {
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            if let Some(error) = self.look(&state, &mut since) {
                state = self.fail(state, error);
            }
        }
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let waiting: Vec<_> = state.seats.iter().filter_map(|seat| seat.is_stuck(&state.seats)).collect();
        if waiting.is_empty() { Ok(()) } else { Err(RunError::Deadlock { waiting }) }
    }

    /// Whether the turn should have ended. `since` says when it was first seen.
    fn look(&self, state: &State, since: &mut (u64, Option<Duration>, Instant)) -> Option<RunError> {
        let seat = &state.seats[state.running?];
        let agent = seat.label.to_string();
        if state.turns_at_once > self.options.turns_at_once {
            return Some(RunError::Spins { agent });
        }
        let took = seat.thread.and_then(CpuClock::now);
        if since.0 != state.turns || seat.excused {
            *since = (state.turns, took, Instant::now());
            return None;
        }
        let limit = self.options.turn_time;
        let is_late = since.2.elapsed() > limit * PATIENCE;
        match (took, since.1) {
            (Some(took), Some(before)) if took - before > limit => Some(RunError::Spins { agent }),
            // A busy machine gives little time to a turn that spins; one that takes next to none waits.
            (Some(took), Some(before)) if is_late && took - before < limit / PATIENCE => {
                Some(RunError::Blocks { agent })
            }
            (Some(_), Some(_)) => None,
            _ => is_late.then_some(RunError::Spins { agent }),
        }
    }

    /// Ends it all.
    fn fail<'a>(&'a self, mut state: MutexGuard<'a, State>, error: RunError) -> MutexGuard<'a, State> {
        let why = error.to_string();
        (state.failed, state.open, state.for_good) = (Some(error), true, true);
        let controls: Vec<_> = state.seats.iter().filter_map(|seat| seat.control.upgrade()).collect();
        drop(state);
        for control in controls {
            control.stop(&why);
        }
        self.lock()
    }

    /// Runs agents until something is so; waits for other threads of Rust's if agents alone cannot make it so.
    ///
    /// # Errors
    /// [`RunError`], if it is not so then.
    pub(crate) fn drive(&self, is_done: impl Fn() -> bool) -> Result<(), RunError> {
        loop {
            let ran = self.run(None);
            if is_done() {
                return Ok(());
            }
            ran?;
            // Asked without the lock, which is a leaf.
            while !is_done() {
                let state = self.lock();
                if state.seats.iter().any(|seat| seat.status == Status::Ready) {
                    break;
                }
                drop(self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// Nobody drives any more.
    pub(crate) fn open_for_good(&self) {
        let mut state = self.lock();
        (state.open, state.for_good) = (true, true);
        self.pick(&mut state);
    }

    fn log(&self) -> Vec<Turn> {
        self.lock().log.clone()
    }
}

/// How often whoever drives looks whether the turn goes on and on.
const LOOK: Duration = Duration::from_millis(20);
/// Times the processor time of a turn that it may take on the wall; and the part of it that shows that it does something.
const PATIENCE: u32 = 10;

impl SeatState {
    /// Who it is and what it waits for, if only others can wake it.
    fn is_stuck(&self, seats: &[SeatState]) -> Option<String> {
        let Status::Waits { until_ns: None, wish } = self.status else { return None };
        let what = match wish {
            Wish::Task => return None,
            Wish::Lock => "a lock".to_owned(),
            Wish::Notification => "a notification".to_owned(),
            Wish::EndOf(other) => format!("the end of {}", seats[other].label),
        };
        Some(format!("{} waits for {what}", self.label))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// An agent's place among those that take turns.
pub(crate) struct Seat {
    pub(crate) turns: Arc<Turns>,
    index: usize,
    wake: Arc<Condvar>,
}

impl Seat {
    /// Whom to stop if it spins.
    pub(crate) fn is_controlled_by(&self, control: &Arc<Control>) {
        self.turns.lock().seats[self.index].control = Arc::downgrade(control);
    }

    /// Numbers for this seat alone, by the seed.
    pub(crate) fn seed(&self) -> (u64, u64) {
        let mut state = self.turns.options.seed ^ (self.index as u64).wrapping_mul(0xA24B_AED4_963E_E407);
        (random(&mut state), random(&mut state))
    }

    /// On the agent's thread: waits for its first turn.
    pub(crate) fn begin(&self) {
        let mut state = self.turns.lock();
        let seat = &mut state.seats[self.index];
        (seat.thread, seat.excused) = (CpuClock::of_this_thread(), false);
        self.wait_for_turn(state);
        self.note("start");
    }

    /// Gives the turn up, and waits for the next one.
    pub(crate) fn pause(&self, status: Status) {
        let mut state = self.turns.lock();
        let seat = &mut state.seats[self.index];
        let poked = std::mem::take(&mut seat.poked);
        seat.status = if poked { Status::Ready } else { status };
        if let Status::Waits { wish: Wish::EndOf(other), .. } = status
            && state.seats[other].status == Status::Left
        {
            state.seats[self.index].status = Status::Ready;
        }
        state.running = None;
        self.turns.pick(&mut state);
        self.wait_for_turn(state);
    }

    fn wait_for_turn(&self, mut state: MutexGuard<'_, State>) {
        while state.seats[self.index].status != Status::Running {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Something came for it: it can go on. Called by any thread.
    pub(crate) fn poke(&self) {
        let mut state = self.turns.lock();
        let seat = &mut state.seats[self.index];
        match seat.status {
            Status::Waits { .. } => {
                seat.status = Status::Ready;
                self.turns.pick(&mut state);
                drop(state);
                self.turns.changed.notify_all();
            }
            Status::Running => seat.poked = true,
            Status::Ready | Status::Left => {}
        }
    }

    /// Says what the turn is for.
    pub(crate) fn note(&self, what: &'static str) {
        let time = Duration::from_nanos(self.turns.now_ns());
        let mut state = self.turns.lock();
        let agent = state.seats[self.index].label.clone();
        if state.log.len() < LOG_MAX {
            state.log.push(Turn { time, agent, what });
        }
    }

    /// Whether the engine works for it elsewhere, in real time.
    pub(crate) fn excuse(&self, excused: bool) {
        self.turns.lock().seats[self.index].excused = excused;
    }

    /// Waits until the agent on another seat has ended.
    pub(crate) fn wait_for_end(&self, other: &Seat) {
        while self.turns.lock().seats[other.index].status != Status::Left {
            self.pause(Status::Waits { until_ns: None, wish: Wish::EndOf(other.index) });
        }
    }

    /// The agent has ended.
    fn leave(&self) {
        let mut state = self.turns.lock();
        state.seats[self.index].status = Status::Left;
        state.seats[self.index].thread = None;
        for seat in &mut state.seats {
            if matches!(seat.status, Status::Waits { wish: Wish::EndOf(other), .. } if other == self.index) {
                seat.status = Status::Ready;
            }
        }
        if state.running == Some(self.index) {
            state.running = None;
        }
        self.turns.pick(&mut state);
        drop(state);
        self.turns.changed.notify_all();
    }
}

/// Leaves a seat when it is dropped: last on the agent's thread, or where there is no thread.
pub(crate) struct Seated(pub(crate) Option<Arc<Seat>>);

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(seat) = &self.0 {
            seat.leave();
        }
    }
}

/// The processor time of a thread that lives.
#[derive(Clone, Copy)]
struct CpuClock(#[cfg(target_os = "linux")] libc::clockid_t);

#[cfg(target_os = "linux")]
impl CpuClock {
    fn of_this_thread() -> Option<CpuClock> {
        let mut clock = 0;
        // SAFETY: this thread lives, and the place can be written to.
        let got = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        (got == 0).then_some(CpuClock(clock))
    }

    /// Nothing if the thread has ended: the kernel knows it by a number.
    fn now(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the place can be written to.
        let got = unsafe { libc::clock_gettime(self.0, &mut time) };
        (got == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

#[cfg(not(target_os = "linux"))]
impl CpuClock {
    /// Elsewhere only the wall's time counts.
    fn of_this_thread() -> Option<CpuClock> {
        None
    }

    fn now(self) -> Option<Duration> {
        None
    }
}

impl Cluster {
    /// A cluster whose spawned agents take turns, by a seed and in virtual time: the same program does the same in the same
    /// order on every run. See [deterministic clusters](crate#deterministic-clusters).
    ///
    /// # Errors
    /// [`AgentError::Engine`].
    pub fn deterministic(options: Deterministic) -> Result<Cluster, AgentError> {
        Cluster::make(crate::Limits::default(), Some(Arc::new(Turns::new(options))))
    }

    fn turns(&self) -> Result<&Turns, RunError> {
        self.0.shared.turns.as_deref().ok_or(RunError::NotDeterministic)
    }

    /// Runs the agents of a deterministic cluster until none can go on without Rust.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run(&self) -> Result<(), RunError> {
        self.turns()?.run(None)
    }

    /// As [`Cluster::run`], for no longer than this of virtual time.
    ///
    /// # Errors
    /// As [`Cluster::run`].
    pub fn run_for(&self, limit: Duration) -> Result<(), RunError> {
        self.turns()?.run(Some(limit))
    }

    /// The turns that agents of a deterministic cluster have had, the first million of them: two runs that have the same went
    /// the same way.
    ///
    /// # Errors
    /// [`RunError::NotDeterministic`].
    pub fn interleaving(&self) -> Result<Vec<Turn>, RunError> {
        Ok(self.turns()?.log())
    }
}
