//! A job on a world, frame after frame: snapshot, run, commit, in the way that fits.

use std::{fmt, mem, sync::Arc, time::Duration};

use peristyle_jobs::{Access, Extra, JobRunner, JobShape, Pool};
use serde::Serialize;

use crate::{
    call::{CallShape, Manner, RunReport, Step, unshown},
    columns::{JobColumns, SharedColumns},
    error::{OffloadError, SpecError},
    ferry::{Ferry, FerryError, Landed},
    snapshot::{CommitReport, JobSnapshot},
    source::Source,
};

/// How a job gets at a world's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// The job works on the world's own columns: no copy, no commit.
    InPlace,
    /// Declared columns are copied into buffers that all lanes share and that are reused; changed rows are copied back.
    Copied,
    /// As copied, and the buffers themselves move to a worker and back.
    Transferred,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::InPlace => "in place",
            Way::Copied => "copied",
            Way::Transferred => "transferred",
        })
    }
}

/// What a host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Whether threads see each other's memory.
    pub shared_memory: bool,
}

impl Host {
    /// The host that this runs on. Only WebAssembly built without atomics has threads that share nothing.
    pub const fn this() -> Host {
        Host { shared_memory: !cfg!(target_family = "wasm") || cfg!(target_feature = "atomics") }
    }

    /// The cheapest way on this host, for a world whose columns jobs can reach or for one whose cannot.
    pub const fn way(self, has_columns: bool) -> Way {
        match (has_columns, self.shared_memory) {
            (true, true) => Way::InPlace,
            (false, true) => Way::Copied,
            (_, false) => Way::Transferred,
        }
    }
}

/// What a frame of an offloaded system did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// How the job got at its rows.
    pub way: Way,
    /// Rows that it saw.
    pub rows: usize,
    /// Its calls.
    pub run: &'a RunReport,
    /// What was written back.
    pub commit: &'a CommitReport,
}

/// Writes JSON text; the text is compared with the last one to see whether there is a new version.
type ExtraOf = Box<dyn Fn(Step, &mut Vec<u8>) -> serde_json::Result<()> + Send + Sync>;

/// A job on a world that is not Peristyle's own.
///
/// [`Offload::run`] does a whole frame. Where the frame should not wait, [`Offload::start`] sends the snapshot off and
/// [`Offload::finish`] commits it, in a later frame if need be.
pub struct Offload {
    runner: Arc<dyn JobRunner>,
    shape: JobShape,
    way: Way,
    manner: Manner,
    columns: JobColumns,
    patience: Duration,
    extra: Option<ExtraOf>,
    /// The text of `extra`, and its version.
    json: String,
    json_next: Vec<u8>,
    version: u64,
    /// None while they are away.
    buffers: Option<JobSnapshot>,
    ferry: Option<Ferry>,
    ferry_workers: usize,
}

impl Offload {
    /// A job of that shape, copied or transferred as this host can.
    pub fn new(shape: JobShape, runner: impl JobRunner + 'static) -> Offload {
        Offload::shared(shape, Arc::new(runner))
    }

    /// As [`Offload::new`], for a runner that others have too.
    pub fn shared(shape: JobShape, runner: Arc<dyn JobRunner>) -> Offload {
        Offload {
            buffers: Some(JobSnapshot::new(shape.clone())),
            runner,
            shape,
            way: Host::this().way(false),
            manner: Manner::default(),
            columns: JobColumns::default(),
            patience: Duration::MAX,
            extra: None,
            json: String::new(),
            json_next: Vec::new(),
            version: 0,
            ferry: None,
            ferry_workers: 0,
        }
    }

    /// Takes a way, whatever the host could do.
    ///
    /// # Errors
    /// [`OffloadError::NotInPlace`]: this is for worlds that are copied.
    pub fn with_way(mut self, way: Way) -> Result<Offload, OffloadError> {
        if way == Way::InPlace {
            return Err(OffloadError::NotInPlace(self.runner.name().to_owned()));
        }
        self.way = way;
        Ok(self)
    }

    /// The same job for another shape: for who knows a world only later.
    #[must_use]
    pub fn reshaped(mut self, shape: JobShape) -> Offload {
        self.shape = shape;
        self.renewed()
    }

    /// With buffers of the shape, and the resources that were given.
    fn renewed(mut self) -> Offload {
        self.shape.resources = self.columns.shapes();
        self.buffers = Some(self.fresh());
        self
    }

    fn fresh(&self) -> JobSnapshot {
        JobSnapshot::new(self.shape.clone()).with_job_columns(&self.columns)
    }

    /// Has the job called once for all rows, in parts of at most 16 384: [`OffloadError::NoParts`] if it cannot be.
    #[must_use]
    pub fn parts(mut self) -> Offload {
        self.manner.shape = CallShape::Parts;
        self
    }

    /// Has the job called once for all rows, as one part.
    #[must_use]
    pub fn whole(mut self) -> Offload {
        self.manner.shape = CallShape::Whole;
        self
    }

    /// The job reads columns beside the rows: `snap.res[name]`.
    ///
    /// # Errors
    /// [`SpecError::DuplicateResource`] if it has others of that name.
    pub fn reads_columns(mut self, columns: &SharedColumns) -> Result<Offload, SpecError> {
        self.columns.add(columns, Access::Read)?;
        Ok(self.renewed())
    }

    /// The job writes columns beside the rows. It is called for one range after the other then.
    ///
    /// # Errors
    /// As [`Offload::reads_columns`].
    pub fn writes_columns(mut self, columns: &SharedColumns) -> Result<Offload, SpecError> {
        self.columns.add(columns, Access::Write)?;
        Ok(self.renewed())
    }

    /// Commits nothing of a range whose call failed, and has columns beside the rows as they were before it. Otherwise the
    /// rows that it had marked are committed.
    #[must_use]
    pub fn atomic(mut self) -> Offload {
        self.manner.atomic = true;
        self
    }

    /// How long [`Offload::finish`] waits for a transferred snapshot before it gives the worker up; for ever by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Offload {
        self.patience = patience;
        self
    }

    /// How many threads beside its own the worker of a transferred snapshot has; none by default.
    #[must_use]
    pub fn ferry_workers(mut self, workers: usize) -> Offload {
        self.ferry_workers = workers;
        self
    }

    /// Gives each call what `extra` returns for the frame. It is serialised once per frame.
    #[must_use]
    pub fn extra<T: Serialize>(mut self, extra: impl Fn(Step) -> T + Send + Sync + 'static) -> Offload {
        self.extra = Some(Box::new(move |step, out| serde_json::to_writer(out, &extra(step))));
        self
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        self.runner.name()
    }

    /// What the job declared.
    pub fn shape(&self) -> &JobShape {
        &self.shape
    }

    /// How the job gets at its rows.
    pub fn way(&self) -> Way {
        self.way
    }

    /// What the last frame did; none while a snapshot is away.
    pub fn report(&self) -> Option<Report<'_>> {
        let snapshot = self.buffers.as_ref()?;
        let (run, commit) = (snapshot.run_report(), snapshot.commit_report());
        Some(Report { way: self.way, rows: snapshot.rows(), run, commit })
    }

    /// Whether a snapshot is away.
    pub fn is_away(&self) -> bool {
        self.ferry.as_ref().is_some_and(Ferry::is_away)
    }

    /// A whole frame: snapshot, run, commit. If the job's snapshots are transferred, waits for this one; `pool` is not
    /// used then.
    ///
    /// # Errors
    /// [`OffloadError`]; the world is as it was. That the job failed is no error but [reported](Report::run).
    pub fn run<S: Source>(&mut self, source: &mut S, pool: &mut Pool, step: Step) -> Result<Report<'_>, OffloadError> {
        if self.way == Way::Transferred {
            self.start(source, step)?;
            return self.finish(source);
        }
        let mut snapshot = self.snapshot()?;
        let ran = self.take(&mut snapshot, source, step).map(|()| {
            let json = self.extra.is_some().then_some(Extra { json: &self.json, version: self.version });
            pool.scope(|scope| _ = snapshot.run(&*self.runner, scope, step, json, self.manner));
        });
        self.settle(snapshot, ran.map(|()| source))
    }

    /// Takes a snapshot and sends it to the worker, whatever the way; [`Offload::finish`] has it committed.
    ///
    /// # Errors
    /// [`OffloadError`]; nothing was sent.
    pub fn start<S: Source>(&mut self, source: &mut S, step: Step) -> Result<(), OffloadError> {
        let mut snapshot = self.snapshot()?;
        let sent = self.take(&mut snapshot, source, step).and_then(|()| {
            Ok(match &mut self.ferry {
                Some(ferry) => ferry,
                ferry => ferry.insert(Ferry::new(self.ferry_workers)?),
            })
        });
        let ferry = match sent {
            Ok(ferry) => ferry,
            Err(error) => {
                self.buffers = Some(snapshot);
                return Err(error);
            }
        };
        let extra = self.extra.is_some().then(|| (mem::take(&mut self.json), self.version));
        if let Err(error) = ferry.send(snapshot, &self.runner, step, extra, self.manner) {
            // Only a worker that ended refuses: the snapshot was here, so nothing was away.
            self.buffers = Some(*error.snapshot);
            self.json = error.extra.unwrap_or_default();
            self.ferry = None;
            return Err(FerryError::Lost.into());
        }
        Ok(())
    }

    /// Waits for the snapshot that was sent, and commits it.
    ///
    /// # Errors
    /// [`OffloadError::Ferry`]: it did not come back, or not in time. Nothing is committed, then or later; the next frame
    /// has a new worker and new buffers.
    pub fn finish<S: Source>(&mut self, source: &mut S) -> Result<Report<'_>, OffloadError> {
        let ferry = self.ferry.as_mut().ok_or(FerryError::Idle)?;
        match ferry.land(self.patience) {
            Ok(Landed { snapshot, extra }) => {
                self.json = extra.unwrap_or_default();
                self.settle(snapshot, Ok(source))
            }
            Err(error) => {
                if error != FerryError::Idle {
                    self.ferry.take().into_iter().for_each(Ferry::abandon);
                    self.buffers = Some(self.fresh());
                    self.json.clear();
                }
                Err(error.into())
            }
        }
    }

    fn snapshot(&mut self) -> Result<JobSnapshot, OffloadError> {
        if self.is_away() {
            return Err(OffloadError::Away(self.runner.name().to_owned()));
        }
        if self.manner.shape == CallShape::Parts && !self.runner.takes_parts() {
            return Err(OffloadError::NoParts(self.runner.name().to_owned()));
        }
        if let Some(component) = unshown(&self.shape, &*self.runner) {
            let (job, component) = (self.runner.name().to_owned(), component.to_owned());
            return Err(OffloadError::NoValues { job, component });
        }
        // They are gone if a source panicked while it was read or written.
        Ok(self.buffers.take().unwrap_or_else(|| self.fresh()))
    }

    /// Takes the snapshot, and the text of `extra`.
    fn take<S: Source>(&mut self, snapshot: &mut JobSnapshot, source: &mut S, step: Step) -> Result<(), OffloadError> {
        if let Some(extra) = &self.extra {
            self.json_next.clear();
            extra(step, &mut self.json_next)
                .map_err(|error| OffloadError::Extra { job: self.runner.name().to_owned(), error })?;
            if self.version == 0 || self.json.as_bytes() != self.json_next {
                self.version += 1;
                self.json.clear();
                // `serde_json` writes UTF-8.
                self.json.push_str(&String::from_utf8_lossy(&self.json_next));
            }
        }
        Ok(snapshot.take(source)?)
    }

    /// Commits, unless something failed, and has the buffers for the next frame.
    fn settle<S: Source>(
        &mut self,
        mut snapshot: JobSnapshot,
        source: Result<&mut S, OffloadError>,
    ) -> Result<Report<'_>, OffloadError> {
        let committed = source.map(|source| _ = snapshot.commit(source));
        self.buffers = Some(snapshot);
        committed.map(|()| self.report().expect("the buffers are here"))
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").field("job", &self.runner.name()).field("way", &self.way).finish_non_exhaustive()
    }
}
