//! Snapshots that move to a worker thread and back: the way of hosts whose threads share no memory, and of work that
//! outlives a frame.
//!
//! A ferry has one thread, started once, and one snapshot aboard at a time. The snapshot is sent by value, so nobody
//! else can touch it meanwhile; it comes back with what the job did, whether or not the job failed.
//!
//! # Rules
//! - Whatever happens to the worker, who waits is told: a snapshot that does not come back is an error, never a wait
//!   without end. What was lost is the buffers, not the world.
//! - A worker that is given up keeps what it has and ends after its job; what it wrote is never committed.
//! - Nothing is queued: a ferry that is away gives the snapshot back.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use peristyle_jobs::{Extra, JobRunner, Pool};

use crate::{
    call::{Manner, Step},
    snapshot::JobSnapshot,
};

/// What crosses.
struct Load {
    snapshot: JobSnapshot,
    runner: Arc<dyn JobRunner>,
    step: Step,
    /// JSON text and its version. The text moves too, and comes back.
    extra: Option<(String, u64)>,
    manner: Manner,
}

/// What came back.
#[derive(Debug)]
pub struct Landed {
    /// The snapshot, worked on; its [run report](JobSnapshot::run_report) says what failed.
    pub snapshot: JobSnapshot,
    /// The text of `extra`, to be used again.
    pub extra: Option<String>,
}

/// Why a snapshot did not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FerryError {
    /// The worker ended with the snapshot.
    #[error("the worker ended and took the snapshot with it; the world is as it was")]
    Lost,
    /// The worker still has it.
    #[error("the worker has had the snapshot for longer than {0:?}")]
    Overdue(Duration),
    /// Nothing was sent.
    #[error("no snapshot is away")]
    Idle,
}

/// A snapshot could not be sent; here it is.
pub struct SendError {
    /// What was to be sent.
    pub snapshot: Box<JobSnapshot>,
    /// The text of `extra`.
    pub extra: Option<String>,
    /// Whether the worker ended, else it is away with another snapshot.
    pub lost: bool,
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.lost { "the worker has ended" } else { "the worker is away with another snapshot" })
    }
}

impl std::error::Error for SendError {}

/// A worker thread to which snapshots move.
pub struct Ferry {
    /// None once the ferry is given up.
    out: Option<SyncSender<Load>>,
    /// Locked by who has the ferry alone, so that others may hold a reference to it.
    back: Mutex<Receiver<Landed>>,
    thread: Option<JoinHandle<()>>,
    is_away: bool,
}

impl Ferry {
    /// Starts the thread. With `workers` it splits what it gets over as many other threads of its own.
    ///
    /// # Errors
    /// The operating system could not start a thread.
    pub fn new(workers: usize) -> io::Result<Ferry> {
        let (out, arrivals) = sync_channel::<Load>(1);
        let (departures, back) = sync_channel::<Landed>(1);
        let mut pool = Pool::new(workers)?;
        let thread = Builder::new().name("peristyle-ferry".to_owned()).spawn(move || {
            // The pool's frames run on this thread, so what belongs to its lane 0 lives and ends here.
            while let Ok(Load { mut snapshot, runner, step, extra, manner }) = arrivals.recv() {
                let json = extra.as_ref().map(|(json, version)| Extra { json, version: *version });
                pool.scope(|scope| _ = snapshot.run(&*runner, scope, step, json, manner));
                drop(runner);
                if departures.send(Landed { snapshot, extra: extra.map(|(json, _)| json) }).is_err() {
                    break;
                }
            }
            drop(pool);
        })?;
        Ok(Ferry { out: Some(out), back: Mutex::new(back), thread: Some(thread), is_away: false })
    }

    /// Whether a snapshot was sent that has not come back.
    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// Sends a snapshot to be worked on. `extra` is JSON text and its version.
    ///
    /// # Errors
    /// [`SendError`], with the snapshot: the ferry is away, or its thread has ended.
    pub fn send(
        &mut self,
        snapshot: JobSnapshot,
        runner: &Arc<dyn JobRunner>,
        step: Step,
        extra: Option<(String, u64)>,
        manner: Manner,
    ) -> Result<(), SendError> {
        let refuse = |snapshot, extra: Option<(String, u64)>, lost| {
            Err(SendError { snapshot: Box::new(snapshot), extra: extra.map(|(json, _)| json), lost })
        };
        let Some(out) = self.out.as_ref().filter(|_| !self.is_away) else {
            return refuse(snapshot, extra, self.out.is_none());
        };
        // There is room: nothing is away.
        match out.send(Load { snapshot, runner: Arc::clone(runner), step, extra, manner }) {
            Ok(()) => {
                self.is_away = true;
                Ok(())
            }
            Err(error) => refuse(error.0.snapshot, error.0.extra, true),
        }
    }

    /// The snapshot, if it is back: none while the worker has it.
    ///
    /// # Errors
    /// [`FerryError::Idle`] or [`FerryError::Lost`].
    pub fn try_land(&mut self) -> Result<Option<Landed>, FerryError> {
        if !self.is_away {
            return Err(FerryError::Idle);
        }
        match self.back().try_recv() {
            Ok(landed) => {
                self.is_away = false;
                Ok(Some(landed))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.lost()),
        }
    }

    /// Waits for the snapshot, at most for `patience`.
    ///
    /// # Errors
    /// [`FerryError`]. After [`FerryError::Overdue`] the snapshot is still away and may be waited for again.
    pub fn land(&mut self, patience: Duration) -> Result<Landed, FerryError> {
        if !self.is_away {
            return Err(FerryError::Idle);
        }
        match self.back().recv_timeout(patience) {
            Ok(landed) => {
                self.is_away = false;
                Ok(landed)
            }
            Err(RecvTimeoutError::Timeout) => Err(FerryError::Overdue(patience)),
            Err(RecvTimeoutError::Disconnected) => Err(self.lost()),
        }
    }

    fn back(&mut self) -> &mut Receiver<Landed> {
        self.back.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&mut self) -> FerryError {
        self.is_away = false;
        self.out = None;
        FerryError::Lost
    }

    /// Gives the worker up, with the snapshot that it has: the thread ends when its job returns, and nobody waits for it.
    pub fn abandon(mut self) {
        self.thread = None;
    }
}

impl Drop for Ferry {
    /// Waits for the job that is running, unless the ferry was abandoned.
    fn drop(&mut self) {
        self.out = None;
        if let Some(thread) = self.thread.take() {
            // The panic hook has told what ended it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Ferry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ferry").field("is_away", &self.is_away).finish_non_exhaustive()
    }
}
