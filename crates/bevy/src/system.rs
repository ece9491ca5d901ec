//! Offloaded systems, as Bevy's scheduler sees them.
//!
//! # Rules
//! - What a system tells the scheduler is what was declared, plus reading [`OffloadStep`]; it reaches nothing else.
//! - Patches and despawns wait for the next sync point, as commands do.
//! - The pool is one for all offloaded systems of a world, and so are its lanes: two of them that Bevy starts at the same
//!   time use all lanes one after the other.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bevy_ecs::{
    change_detection::{CheckChangeTicks, Tick},
    component::{Component, ComponentId, Mutable},
    query::FilteredAccessSet,
    resource::Resource,
    system::{IntoSystem, RunSystemError, System, SystemAccess, SystemIn, SystemStateFlags},
    world::{DeferredWorld, FromWorld, World, unsafe_world_cell::UnsafeWorldCell},
};
use bevy_utils::prelude::DebugName;
use peristyle_jobs::{Access, JobError, JobRunner, JobShape, Pool, default_workers};
use peristyle_offload::{
    Describe, Described, JobSnapshotSpec, Offload, OffloadError, PatchCommit, Report, SharedColumns, SpecError, Step,
    Way,
};
use serde::Serialize;

use crate::source::{Bevy, Tables};

/// The simulated time that offloaded systems give their jobs. The application sets it, once a frame.
#[derive(Resource, Debug, Clone, Copy, Default, PartialEq)]
pub struct OffloadStep(pub Step);

/// The lanes on which the jobs of a world's offloaded systems run. Without this resource the first offloaded system makes
/// it, with a worker for each core but one.
///
/// Lane 0 is whatever thread Bevy runs the system on: a job of another language has an engine on each of those.
#[derive(Resource, Clone)]
pub struct OffloadPool(Arc<Mutex<Pool>>);

impl OffloadPool {
    /// A pool of `workers` threads.
    ///
    /// # Errors
    /// The operating system could not start a thread.
    pub fn new(workers: usize) -> io::Result<OffloadPool> {
        Ok(OffloadPool(Arc::new(Mutex::new(Pool::new(workers)?))))
    }
}

impl FromWorld for OffloadPool {
    /// A worker for each core but one; none if threads cannot be started.
    fn from_world(_: &mut World) -> OffloadPool {
        let workers = [default_workers(), 0];
        let pool = workers.into_iter().find_map(|workers| OffloadPool::new(workers).ok());
        pool.expect("a pool without threads starts none")
    }
}

type OnReport = Box<dyn Fn(&Report<'_>) + Send + Sync>;
type OnPatches = Arc<dyn Fn(&PatchCommit) + Send + Sync>;

/// Makes a job a system. Declare what it reads and writes, then add it to a schedule.
pub fn offloaded(job: impl JobRunner + 'static) -> Offloaded {
    Offloaded {
        offload: Offload::new(JobShape::default(), job),
        spec: JobSnapshotSpec::new(),
        columns: Vec::new(),
        is_pipelined: false,
        on_report: None,
        on_patches: None,
    }
}

/// A job on its way to become a system.
#[must_use = "it does nothing until it is added to a schedule"]
pub struct Offloaded {
    offload: Offload,
    spec: JobSnapshotSpec<Bevy>,
    columns: Vec<(SharedColumns, Access)>,
    is_pipelined: bool,
    on_report: Option<OnReport>,
    on_patches: Option<OnPatches>,
}

impl Offloaded {
    fn declare(self, declare: impl FnOnce(JobSnapshotSpec<Bevy>) -> JobSnapshotSpec<Bevy>) -> Offloaded {
        Offloaded { spec: declare(self.spec), ..self }
    }

    fn offload(self, change: impl FnOnce(Offload) -> Offload) -> Offloaded {
        Offloaded { offload: change(self.offload), ..self }
    }

    /// The job reads `C`, and sees entities that have it.
    pub fn reads<C: Component + Describe>(self) -> Offloaded {
        self.declare(JobSnapshotSpec::reads::<C>)
    }

    /// The job writes `C`, which implies reading, and sees entities that have it.
    pub fn writes<C: Component<Mutability = Mutable> + Describe>(self) -> Offloaded {
        self.declare(JobSnapshotSpec::writes::<C>)
    }

    /// The job reads what is described of a component, maybe of another crate: columns, or copies of its values
    /// [by its `serde`](Described::by_serde).
    pub fn reads_as<C: Component>(self, described: Described<C>) -> Offloaded {
        self.declare(|spec| spec.reads_as(described))
    }

    /// The job writes what is described of a component by columns; its other fields stay as they are.
    pub fn writes_as<C: Component<Mutability = Mutable>>(self, described: Described<C>) -> Offloaded {
        self.declare(|spec| spec.writes_as(described))
    }

    /// The job sees entities that have a `C`, which it does not touch.
    pub fn with<C: Component>(self) -> Offloaded {
        self.declare(JobSnapshotSpec::with::<C>)
    }

    /// The job sees entities that have no `C`.
    pub fn without<C: Component>(self) -> Offloaded {
        self.declare(JobSnapshotSpec::without::<C>)
    }

    /// The job may set, add and remove `C` by patches, as it may what it writes. Nothing of `C` is lent, and entities need
    /// not have one. Patches are applied at the next sync point: see [`Offloaded::on_patches`].
    pub fn patches<C: Component<Mutability = Mutable> + Describe>(self) -> Offloaded {
        self.declare(JobSnapshotSpec::patches::<C>)
    }

    /// The job may patch what is described of a component: by columns, or [by its `serde`](Described::by_serde).
    pub fn patches_as<C: Component<Mutability = Mutable>>(self, described: Described<C>) -> Offloaded {
        self.declare(|spec| spec.patches_as(described))
    }

    /// The job reads columns beside the rows: `snap.res[name]`. Who else has them is waited for.
    pub fn reads_columns(mut self, columns: &SharedColumns) -> Offloaded {
        self.columns.push((columns.clone(), Access::Read));
        self
    }

    /// The job writes columns beside the rows. It is called for one range of rows after the other then.
    pub fn writes_columns(mut self, columns: &SharedColumns) -> Offloaded {
        self.columns.push((columns.clone(), Access::Write));
        self
    }

    /// Has the job called once for all rows, in parts of at most 16 384.
    pub fn parts(self) -> Offloaded {
        self.offload(Offload::parts)
    }

    /// Has the job called once for all rows, as one part.
    pub fn whole(self) -> Offloaded {
        self.offload(Offload::whole)
    }

    /// The job may set despawn bits, and destroy by patches. Entities go at the next sync point.
    pub fn despawns(self) -> Offloaded {
        self.declare(JobSnapshotSpec::despawns)
    }

    /// Gives each call what `extra` returns for the frame. It is serialised once per frame.
    pub fn extra<T: Serialize>(self, extra: impl Fn(Step) -> T + Send + Sync + 'static) -> Offloaded {
        self.offload(|offload| offload.extra(extra))
    }

    /// Commits nothing of a range whose call failed. Otherwise the rows that it had marked are committed.
    pub fn atomic(self) -> Offloaded {
        self.offload(Offload::atomic)
    }

    /// Has the job done by a thread of its own from one run of the system to the next: a run commits what the last one
    /// started, waiting for it if need be, and starts the next. No frame waits for a job that takes less than one.
    pub fn pipelined(self) -> Offloaded {
        let moved =
            |offload: Offload| offload.with_way(Way::Transferred).unwrap_or_else(|_| unreachable!("not in place"));
        Offloaded { is_pipelined: true, ..self.offload(moved) }
    }

    /// How long a pipelined system waits for its job before it gives the worker up; for ever by default.
    pub fn patience(self, patience: Duration) -> Offloaded {
        self.offload(|offload| offload.patience(patience))
    }

    /// Threads beside its own that a pipelined system's job has; none by default.
    pub fn workers(self, workers: usize) -> Offloaded {
        self.offload(|offload| offload.ferry_workers(workers))
    }

    /// Calls `f` after each commit with what was done. Who asks for this is told of calls that failed; otherwise they fail
    /// the system, and Bevy's error handler decides.
    pub fn on_report(self, f: impl Fn(&Report<'_>) + Send + Sync + 'static) -> Offloaded {
        Offloaded { on_report: Some(Box::new(f)), ..self }
    }

    /// Calls `f` with what became of the patches of a run, when they were applied: at the sync point after it. What names an
    /// entity that had gone by the time of the commit is refused then, and told [before](Offloaded::on_report).
    pub fn on_patches(self, f: impl Fn(&PatchCommit) + Send + Sync + 'static) -> Offloaded {
        Offloaded { on_patches: Some(Arc::new(f)), ..self }
    }
}

/// Tells Bevy that this becomes a system.
pub struct IsOffloaded;

impl IntoSystem<(), (), IsOffloaded> for Offloaded {
    type System = OffloadedSystem;

    fn into_system(this: Offloaded) -> OffloadedSystem {
        let name = this.offload.name().to_owned();
        OffloadedSystem {
            debug_name: DebugName::owned(name.clone()),
            name,
            last_run: Tick::new(0),
            declared: Some(this),
            ready: None,
        }
    }
}

/// Why a run of an offloaded system failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// What was declared makes no snapshot.
    #[error("offloaded system `{system}`: {error}")]
    Spec {
        /// The job.
        system: String,
        /// Why.
        error: SpecError,
    },
    /// No snapshot, or it did not come back.
    #[error("offloaded system `{system}`: {error}")]
    Offload {
        /// The job.
        system: String,
        /// Why.
        error: OffloadError,
    },
    /// Calls of the job failed; what they marked is committed, unless the system is atomic.
    #[error("offloaded system `{system}`: {failed} of {calls} calls failed, the first with: {first}")]
    Job {
        /// The job.
        system: String,
        /// Calls that failed.
        failed: usize,
        /// All calls.
        calls: usize,
        /// What the first of them failed with.
        first: JobError,
    },
}

/// An offloaded system.
pub struct OffloadedSystem {
    name: String,
    debug_name: DebugName,
    last_run: Tick,
    /// Until the system meets its world.
    declared: Option<Offloaded>,
    /// From then on.
    ready: Option<Result<Ready, SpecError>>,
}

struct Ready {
    offload: Offload,
    tables: Tables,
    pool: OffloadPool,
    step: ComponentId,
    is_pipelined: bool,
    on_report: Option<OnReport>,
    on_patches: Option<OnPatches>,
}

impl Ready {
    fn new(declared: Offloaded, world: &mut World) -> Result<Ready, SpecError> {
        let Offloaded { offload, spec, columns, is_pipelined, on_report, on_patches } = declared;
        let tables = Tables::new(spec.build()?, world);
        let pool = world.get_resource_or_init::<OffloadPool>().clone();
        let step = world.register_component::<OffloadStep>();
        let offload = columns.iter().try_fold(
            offload.reshaped(tables.shape().clone()),
            |offload, (columns, access)| match access {
                Access::Read => offload.reads_columns(columns),
                Access::Write => offload.writes_columns(columns),
            },
        )?;
        Ok(Ready { offload, tables, pool, step, is_pipelined, on_report, on_patches })
    }

    fn access(&self) -> SystemAccess {
        let mut access = FilteredAccessSet::new();
        access.add(self.tables.access().clone());
        access.add_resource_read(self.step);
        SystemAccess::Shared(access)
    }

    /// One run, on what was declared.
    ///
    /// # Safety
    /// Nobody conflicts with `access`.
    unsafe fn run(&mut self, name: &str, world: UnsafeWorldCell<'_>, this_run: Tick) -> Result<(), SystemError> {
        let Ready { offload, tables, pool, step, is_pipelined, on_report, .. } = self;
        // SAFETY: `access` has the resource, to read.
        let step = unsafe { world.get_resource_by_id(*step) };
        // SAFETY: its type is the one that was registered.
        let step = step.map_or_else(Step::default, |step| unsafe { step.deref::<OffloadStep>() }.0);
        // SAFETY: the caller's duty; `access` has what the tables reach.
        let mut source = unsafe { tables.of_cell(world, this_run) };
        let failed = |error| SystemError::Offload { system: name.to_owned(), error };
        let mut result = Ok(());
        let mut tell = |report: Report<'_>| {
            if let Some(on_report) = on_report {
                on_report(&report);
            } else if let Some(failure) = report.run.failures.first() {
                let (system, first) = (name.to_owned(), failure.error.clone());
                let (failed, calls) = (report.run.failures.len(), report.run.ranges);
                result = Err(SystemError::Job { system, failed, calls, first });
            }
        };
        if *is_pipelined {
            if offload.is_away() {
                tell(offload.finish(&mut source).map_err(failed)?);
            }
            offload.start(&mut source, step).map_err(failed)?;
        } else {
            let mut pool = pool.0.lock().unwrap_or_else(PoisonError::into_inner);
            tell(offload.run(&mut source, &mut pool, step).map_err(failed)?);
        }
        result
    }
}

impl OffloadedSystem {
    fn ready(&mut self) -> Option<&mut Ready> {
        self.ready.as_mut()?.as_mut().ok()
    }
}

impl System for OffloadedSystem {
    type In = ();
    type Out = ();

    fn name(&self) -> DebugName {
        self.debug_name.clone()
    }

    fn flags(&self) -> SystemStateFlags {
        // Patches and despawns are deferred.
        SystemStateFlags::DEFERRED
    }

    unsafe fn run_unsafe(&mut self, _: SystemIn<'_, Self>, world: UnsafeWorldCell) -> Result<(), RunSystemError> {
        let this_run = world.increment_change_tick();
        let result = match self.ready.as_mut().expect("a system is initialised before it runs") {
            // SAFETY: the caller vouches for what `initialize` gave.
            Ok(ready) => unsafe { ready.run(&self.name, world, this_run) },
            Err(error) => Err(SystemError::Spec { system: self.name.clone(), error: error.clone() }),
        };
        self.last_run = this_run;
        Ok(result?)
    }

    #[cfg(feature = "hotpatching")]
    fn refresh_hotpatch(&mut self) {}

    fn apply_deferred(&mut self, world: &mut World) {
        let Some(Ready { tables, on_patches, .. }) = self.ready() else { return };
        if let (Some(commit), Some(tell)) = (tables.apply(world), on_patches) {
            tell(&commit);
        }
    }

    fn queue_deferred(&mut self, mut world: DeferredWorld) {
        let Some(Ready { tables, on_patches, .. }) = self.ready() else { return };
        let (Some((mut deferred, patchers)), tell) = (tables.take_deferred(), on_patches.clone()) else { return };
        world.commands().queue(move |world: &mut World| {
            if let (Some(commit), Some(tell)) = (deferred.apply(&patchers, world), tell) {
                tell(&commit);
            }
        });
    }

    fn initialize(&mut self, world: &mut World) -> SystemAccess {
        self.last_run = Tick::new(world.change_tick().get().wrapping_sub(Tick::MAX.get()));
        if let Some(declared) = self.declared.take() {
            self.ready = Some(Ready::new(declared, world));
        }
        match &self.ready {
            Some(Ok(ready)) => ready.access(),
            _ => SystemAccess::None,
        }
    }

    fn check_change_tick(&mut self, check: CheckChangeTicks) {
        self.last_run.check_tick(check);
    }

    fn get_last_run(&self) -> Tick {
        self.last_run
    }

    fn set_last_run(&mut self, last_run: Tick) {
        self.last_run = last_run;
    }
}
