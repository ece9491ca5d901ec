//! The thread that runs ticks.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use peristyle_memory::mailbox::{Receiver, SendError, Sender, Wait};

use super::{
    RunEnd, RunReport, WhenFull,
    copies::{Copied, Copier, TickFailure},
};
use crate::{Scheduler, context::Tick};

/// Ticks to run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Command {
    pub(crate) ticks: u64,
    pub(crate) dt: f64,
    pub(crate) time: f64,
}

/// What a run did; none before the first.
#[derive(Debug, Default)]
pub(crate) struct Report(pub(crate) Option<RunReport>);

/// A scheduler, and its end of the mailboxes.
pub(crate) struct Runner {
    pub(crate) scheduler: Scheduler,
    pub(crate) commands: Receiver<Command>,
    pub(crate) reports: Sender<Report>,
    pub(crate) ring: Sender<Copied>,
    pub(crate) copier: Copier,
    pub(crate) full: WhenFull,
    pub(crate) stop_after: Arc<AtomicU64>,
}

impl Runner {
    /// Carries out commands until nobody gives any.
    pub(crate) fn work(mut self) -> Scheduler {
        while let Ok(command) = self.commands.recv(Wait::Forever).map(|command| *command.value()) {
            let (ticks, end) = self.run(command);
            let report = RunReport { ticks, tick: self.scheduler.world().tick(), end };
            // Nobody may want to know any more.
            if let Ok(mut claim) = self.reports.claim(Wait::Forever) {
                *claim.value_mut() = Report(Some(report));
                claim.publish();
            }
        }
        self.scheduler.leave_thread();
        self.scheduler
    }

    pub(crate) fn into_scheduler(self) -> Scheduler {
        self.scheduler
    }

    /// Runs ticks until there is a reason to end; gives how many ran.
    fn run(&mut self, command: Command) -> (u64, RunEnd) {
        for ran in 0..command.ticks {
            match self.run_tick(command.dt, command.time + ran as f64 * command.dt) {
                Ok(true) => {}
                Ok(false) => return (ran + 1, RunEnd::Failed),
                Err(end) => return (ran, end),
            }
        }
        (command.ticks, RunEnd::Done)
    }

    /// Runs a tick, and publishes its copy; false if it failed.
    fn run_tick(&mut self, dt: f64, time: f64) -> Result<bool, RunEnd> {
        let Runner { scheduler, ring, copier, full, stop_after, .. } = self;
        // Relaxed: it is a number, no more.
        if scheduler.world().tick() >= stop_after.load(Relaxed) {
            return Err(RunEnd::Stopped);
        }
        let wait = match full {
            WhenFull::Block => Wait::Forever,
            WhenFull::Refuse => Wait::Never,
        };
        let mut claim = ring.claim(wait).map_err(|error| match error {
            SendError::Interrupted => RunEnd::Stopped,
            error => RunEnd::Ring(error),
        })?;
        // The scheduler sees to it that the world is as it says after an error, and after a panic too.
        let outcome = match catch_unwind(AssertUnwindSafe(|| scheduler.run_frame(dt, time))) {
            Ok(outcome) => outcome.map_err(TickFailure::Error),
            Err(panic) => Err(TickFailure::Panic(text_of(&*panic))),
        };
        let tick = Tick { number: scheduler.world().tick(), dt, time };
        let copied = claim.value_mut();
        // Copying only reads the world; a copy that it leaves half-made is emptied.
        let copying =
            catch_unwind(AssertUnwindSafe(|| copier.copy(scheduler.world(), copied).map_err(TickFailure::Copy)));
        let copying = copying.unwrap_or_else(|panic| Err(TickFailure::Panic(text_of(&*panic))));
        let is_ok = copied.conclude(tick, outcome, copying);
        let descriptor = copied.descriptor();
        claim.bytes_mut().copy_from_slice(&descriptor);
        claim.publish();
        Ok(is_ok)
    }
}

/// What a panic says.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words").to_owned()
}
