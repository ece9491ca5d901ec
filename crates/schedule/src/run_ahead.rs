//! Running ahead: a scheduler on a thread of its own, which runs many ticks without a round trip, and observers that look
//! at copies of chosen columns.
//!
//! ```text
//!  RunAhead ── commands ─▶ runner: claim a copy, run a tick, copy columns, publish ── ring of N + 1 copies ─▶ Observer
//!           ◀── reports ──                                                                               └─▶ Observer
//! ```
//!
//! Commands, reports and the ring are [mailboxes](peristyle_memory::mailbox) in the world's memory. The runner claims a
//! copy before it runs the tick that will be copied, so it is at most N ticks ahead of the slowest observer, and each tick
//! that ran can be seen.
//!
//! # Rules
//! - A copy that an observer holds is not written; what an observer borrows it cannot release.
//! - A tick runs whole or not at all: runs begin and end at tick boundaries.
//! - A tick that fails, by an error or a panic, is observed like the others, with what went wrong and the columns as they
//!   are then; it ends its run. The world is as [`Scheduler::run_frame`] leaves it, and can be had back.
//! - A steady run allocates nothing: copies keep their blocks, and get larger ones when rows outgrow them.
//!
//! # Not here
//! Who paces the ticks. `dt` and `time` come with the command; no clock is read.

mod copies;
mod observer;
mod runner;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use peristyle_memory::mailbox::{
    Interrupt, MailboxError, MailboxOptions, Receiver, RecvError, SendError, Sender, Wait, mailbox, mailbox_to_many,
};

use self::{
    copies::{Copied, Copier},
    runner::{Command, Report, Runner},
};
pub use self::{
    copies::{TickCopy, TickFailure},
    observer::{ObserveError, Observer},
};
use crate::{Scheduler, context::ColumnComponent};

/// Runs that wait for their turn, and the one that is running.
const RUNS_MAX: u32 = 8;

/// No tick has this number.
const NO_TICK: u64 = u64::MAX;

/// What the runner does when observers hold all copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits until the slowest observer releases one.
    #[default]
    Block,
    /// It ends the run at this tick boundary.
    Refuse,
}

/// How a [`RunAhead`] is made.
#[derive(Debug, Clone)]
pub struct RunAheadOptions {
    ahead: u32,
    full: WhenFull,
    observers: u32,
    spin: Option<Duration>,
    choices: Vec<copies::Choice>,
}

impl RunAheadOptions {
    /// Up to `ahead` ticks ahead of one observer, which sees no columns yet.
    pub fn new(ahead: u32) -> RunAheadOptions {
        RunAheadOptions { ahead, full: WhenFull::Block, observers: 1, spin: None, choices: Vec::new() }
    }

    /// Copies every column of `C`. Rows that have all observed components are copied.
    pub fn observe<C: ColumnComponent>(mut self) -> RunAheadOptions {
        self.choices.push(copies::Choice::of::<C>());
        self
    }

    /// Copies some columns of a component, by their flattened names; none of them if only its rows matter.
    pub fn observe_fields(mut self, component: &str, fields: &[&str]) -> RunAheadOptions {
        self.choices.push(copies::Choice::named(component, fields));
        self
    }

    /// Makes so many observers, 32 at most, each of which sees every tick.
    pub fn observers(mut self, count: u32) -> RunAheadOptions {
        self.observers = count;
        self
    }

    /// What happens when observers hold all copies.
    pub fn when_full(mut self, full: WhenFull) -> RunAheadOptions {
        self.full = full;
        self
    }

    /// How long a side spins before it sleeps, at most; see [`MailboxOptions::spin`].
    pub fn spin(mut self, at_most: Duration) -> RunAheadOptions {
        self.spin = Some(at_most);
        self
    }
}

/// Why a scheduler could not be made to run ahead, or could not be told something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunAheadError {
    /// There is no such component.
    #[error("the world has no component `{0}`")]
    NoComponent(String),
    /// The component has no such column.
    #[error("component `{component}` has no column `{field}`")]
    NoField {
        /// The component.
        component: String,
        /// The column.
        field: String,
    },
    /// The component is opaque.
    #[error("component `{0}` is opaque: only columns can be copied")]
    Opaque(String),
    /// A column was chosen twice.
    #[error("column `{field}` of component `{component}` is observed twice")]
    Twice {
        /// The component.
        component: String,
        /// The column.
        field: String,
    },
    /// More ticks ahead than a ring can hold, no observer or too many, or no memory for it.
    #[error("cannot make the ring of copies: {0}")]
    Ring(#[from] MailboxError),
    /// The thread could not be started.
    #[error("cannot start the runner's thread: {0}")]
    Thread(#[from] io::Error),
    /// So many runs are not over yet.
    #[error("{runs} runs are not over yet: wait for one")]
    Busy {
        /// Runs that are not over.
        runs: u32,
    },
    /// A run is not over, and the caller did not want to wait, or not so long.
    #[error("the run is not over yet")]
    Running,
    /// The runner's thread is gone.
    #[error("the runner died")]
    Died,
}

/// A scheduler that could not be made to run ahead, as it was.
#[derive(thiserror::Error)]
#[error("{reason}")]
pub struct StartError {
    /// The scheduler.
    pub scheduler: Box<Scheduler>,
    /// What is wrong.
    #[source]
    pub reason: RunAheadError,
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEnd {
    /// All its ticks ran.
    Done,
    /// It was told to stop.
    Stopped,
    /// Its last tick failed. Observers get that tick with what went wrong.
    Failed,
    /// The ring gave no copy for the next tick: observers held all ([`WhenFull::Refuse`]), one died, or all are gone.
    Ring(SendError),
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunReport {
    /// Ticks that it ran.
    pub ticks: u64,
    /// Number of the world's last tick.
    pub tick: u64,
    /// Why it ended.
    pub end: RunEnd,
}

/// Commands a scheduler that runs on a thread of its own.
///
/// ```
/// use peristyle_memory::mailbox::Wait;
/// use peristyle_schedule::{Options, RunAhead, RunAheadOptions, RunEnd, Scheduler, System};
/// use peristyle_world::{Component, World};
///
/// #[derive(Component, Clone, Copy)]
/// struct Position { x: f32 }
///
/// let mut world = World::new()?;
/// world.spawn_batch((0..100).map(|i| Position { x: i as f32 }))?;
/// let mut scheduler = Scheduler::new(world, Options::default())?;
/// scheduler.add(System::new("move").each_chunk::<&mut Position>(|_, position| {
///     position.x.iter_mut().for_each(|x| *x += 1.0);
/// }))?;
///
/// let (mut ahead, mut observers) = RunAhead::start(scheduler, RunAheadOptions::new(3).observe::<Position>())?;
/// ahead.run(10, 0.1, 0.0)?;
/// // The runner makes ticks 1 to 4, and waits; any of them can be looked at.
/// let observer = &mut observers[0];
/// observer.wait(4, Wait::Forever)?;
/// for number in [3, 1, 4] {
///     let copy = observer.tick(number).unwrap();
///     assert_eq!(copy.column::<f32>("Position", "x")?[5], 5.0 + number as f32);
/// }
/// observer.release(4);
/// assert_eq!(ahead.stop()?.map(|report| report.end), Some(RunEnd::Stopped));
/// let scheduler = ahead.into_scheduler()?;
/// assert!(scheduler.world().tick() >= 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropped, it stops the runner at the next tick boundary and drops the scheduler.
pub struct RunAhead {
    /// None once the runner shall end.
    commands: Option<Sender<Command>>,
    reports: Receiver<Report>,
    /// Number of the tick after which runs end.
    stop_after: Arc<AtomicU64>,
    interrupt: Interrupt<Copied>,
    thread: Option<thread::JoinHandle<Scheduler>>,
    /// Runs without a report.
    runs: u32,
}

impl RunAhead {
    /// Moves a scheduler to a thread of its own, which waits for commands.
    ///
    /// # Errors
    /// [`StartError`] gives the scheduler back, and says what is wrong with the options, or that there is no memory or no
    /// thread.
    pub fn start(mut scheduler: Scheduler, options: RunAheadOptions) -> Result<(RunAhead, Vec<Observer>), StartError> {
        let give_back = |scheduler, reason| StartError { scheduler: Box::new(scheduler), reason };
        match RunAhead::prepare(&mut scheduler, options) {
            Err(reason) => Err(give_back(scheduler, reason)),
            Ok((mut ahead, observers, make)) => {
                // The thread takes the runner from here, so that it is not lost if there is no thread.
                let seat = Arc::new(Mutex::new(Some(make.runner(scheduler))));
                let take = |seat: &Mutex<Option<Runner>>| seat.lock().unwrap_or_else(PoisonError::into_inner).take();
                let theirs = seat.clone();
                let spawned = thread::Builder::new()
                    .name("peristyle-ahead".to_owned())
                    .spawn(move || take(&theirs).expect("put there before the thread started").work());
                match spawned {
                    Ok(thread) => {
                        ahead.thread = Some(thread);
                        Ok((ahead, observers))
                    }
                    Err(error) => {
                        let runner = take(&seat).expect("no thread took it");
                        Err(give_back(runner.into_scheduler(), error.into()))
                    }
                }
            }
        }
    }

    /// Makes everything but the thread.
    fn prepare(
        scheduler: &mut Scheduler,
        options: RunAheadOptions,
    ) -> Result<(RunAhead, Vec<Observer>, Make), RunAheadError> {
        let RunAheadOptions { ahead, full, observers, spin, choices } = options;
        let copier = Copier::new(scheduler.world_mut(), &choices)?;
        let memory = scheduler.world().memory().clone();
        let options = |capacity, slot_bytes| {
            let options = MailboxOptions::new(capacity, slot_bytes);
            MailboxOptions { spin: spin.unwrap_or(options.spin), ..options }
        };
        let ring = options(ahead.saturating_add(1), copies::DESCRIPTOR_BYTES as u32);
        let (ring, receivers) = mailbox_to_many::<Copied>(&memory, ring, observers)?;
        let (commands, commanded) = mailbox(&memory, options(RUNS_MAX, 0))?;
        // A report for each command that can be there: the runner never waits for room.
        let (reporter, reports) = mailbox(&memory, options(RUNS_MAX, 0))?;
        let stop_after = Arc::new(AtomicU64::new(NO_TICK));
        let observers = receivers.into_iter().map(|ring| Observer::new(ring, copier.chosen().clone())).collect();
        let ahead = RunAhead {
            commands: Some(commands),
            reports,
            stop_after: stop_after.clone(),
            interrupt: ring.interrupt(),
            thread: None,
            runs: 0,
        };
        Ok((ahead, observers, Make { commands: commanded, reports: reporter, ring, copier, full, stop_after }))
    }

    /// Has `ticks` ticks run, after the runs before this one; returns at once. Each moves the world by `dt` simulated
    /// seconds; the first is at simulated time `time`.
    ///
    /// # Errors
    /// [`RunAheadError::Busy`] if eight runs are not over; [`RunAheadError::Died`].
    pub fn run(&mut self, ticks: u64, dt: f64, time: f64) -> Result<(), RunAheadError> {
        if self.runs == RUNS_MAX {
            return Err(RunAheadError::Busy { runs: self.runs });
        }
        let commands = self.commands.as_mut().ok_or(RunAheadError::Died)?;
        let mut claim = commands.claim(Wait::Forever).map_err(|_| RunAheadError::Died)?;
        *claim.value_mut() = Command { ticks, dt, time };
        claim.publish();
        self.runs += 1;
        Ok(())
    }

    /// Runs that are not over, as far as was [waited](RunAhead::wait) for them.
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// Waits for the end of the oldest run; none if there is no run.
    ///
    /// A runner that waits for room in the ring goes on only when its slowest observer releases a copy.
    ///
    /// # Errors
    /// [`RunAheadError::Running`], as `wait` allows; [`RunAheadError::Died`].
    pub fn wait(&mut self, wait: Wait) -> Result<Option<RunReport>, RunAheadError> {
        if self.runs == 0 {
            return Ok(None);
        }
        let report = match self.reports.recv(wait) {
            Ok(report) => report.value().0,
            Err(RecvError::Empty { .. }) => return Err(RunAheadError::Running),
            Err(_) => return Err(RunAheadError::Died),
        };
        self.runs -= 1;
        if self.runs == 0 {
            // The runner waits for a command, so nobody sees this half-done.
            self.stop_after.store(NO_TICK, Relaxed);
            self.interrupt.clear();
        }
        Ok(report)
    }

    /// Has the runs that were begun end after tick `tick`; if that has passed, at the next boundary. Returns at once.
    ///
    /// A tick that is more than the ring's N ahead of the slowest observer's oldest copy has not passed.
    pub fn stop_at(&self, tick: u64) {
        if self.runs > 0 {
            // Relaxed: it hands nothing over.
            self.stop_after.store(tick, Relaxed);
        }
    }

    /// Ends all runs at the next tick boundary, and waits for that; gives the report of the last of them that ran ticks, or
    /// else of the last.
    ///
    /// # Errors
    /// [`RunAheadError::Died`].
    pub fn stop(&mut self) -> Result<Option<RunReport>, RunAheadError> {
        if self.runs > 0 {
            self.interrupt.raise();
        }
        let mut last: Option<RunReport> = None;
        while let Some(report) = self.wait(Wait::Forever)? {
            if report.ticks > 0 || last.is_none_or(|last| last.ticks == 0) {
                last = Some(report);
            }
        }
        Ok(last)
    }

    /// Ends all runs at the next tick boundary, and gives the scheduler back, with its world. Observers keep what they hold.
    ///
    /// # Errors
    /// [`RunAheadError::Died`].
    pub fn into_scheduler(mut self) -> Result<Scheduler, RunAheadError> {
        self.end().ok_or(RunAheadError::Died)
    }

    /// Ends the thread.
    fn end(&mut self) -> Option<Scheduler> {
        self.interrupt.raise();
        self.commands = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for RunAhead {
    fn drop(&mut self) {
        // If the thread panicked, the panic hook has told.
        drop(self.end());
    }
}

impl fmt::Debug for RunAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAhead").field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// What a runner is made of, but for the scheduler.
struct Make {
    commands: Receiver<Command>,
    reports: Sender<Report>,
    ring: Sender<Copied>,
    copier: Copier,
    full: WhenFull,
    stop_after: Arc<AtomicU64>,
}

impl Make {
    fn runner(self, scheduler: Scheduler) -> Runner {
        let Make { commands, reports, ring, copier, full, stop_after } = self;
        Runner { scheduler, commands, reports, ring, copier, full, stop_after }
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Scheduler>();
    is_send::<RunAhead>();
    is_send::<Observer>();
};
