//! The same declarations on Peristyle's own world, whose columns jobs reach where they lie.
//!
//! Nothing is copied and nothing is committed: the scheduler leases the columns of the tables themselves, and publishes
//! the marks when a range is done.

use peristyle_jobs::JobRunner;
use peristyle_schedule::Job;
use peristyle_world::{Columnar, Columns, Component};

use crate::{
    describe::Described,
    error::SpecError,
    offload::Way,
    spec::{Backend, DeclaredParts, Filters, JobSnapshotSpec, Patches, Reads, Writes},
};

/// Peristyle's world, as what can be declared of it.
pub struct InPlace;

/// How a component is declared to the scheduler.
pub struct Declare(fn(Job) -> Job);

/// How a filter is declared to the scheduler: for entities with the component, and without it.
pub struct DeclareFilter {
    with: fn(Job) -> Job,
    without: fn(Job) -> Job,
}

impl Backend for InPlace {
    type Component = Declare;
    type Filter = DeclareFilter;
}

impl<C: Component<Storage = Columns<C>> + Columnar> Reads<C> for InPlace {
    fn reads(_: Described<C>) -> Declare {
        Declare(Job::reads::<C>)
    }
}

impl<C: Component<Storage = Columns<C>> + Columnar> Writes<C> for InPlace {
    fn writes(_: Described<C>) -> Declare {
        Declare(Job::writes::<C>)
    }
}

impl<C: Component> Patches<C> for InPlace {
    fn patches(_: Described<C>) -> Declare {
        Declare(Job::patches::<C>)
    }
}

impl<C: Component> Filters<C> for InPlace {
    fn filter() -> DeclareFilter {
        DeclareFilter { with: Job::with::<C>, without: Job::without::<C> }
    }
}

impl JobSnapshotSpec<InPlace> {
    /// How a job gets at the rows of such a world: its columns are there for it to reach.
    pub const WAY: Way = Way::InPlace;

    /// The job for the scheduler of such a world. Components have the names that they have in the world.
    ///
    /// # Errors
    /// [`SpecError`] if names collide or cannot be used; [`SpecError::InColumns`] if a component that is read is described by
    /// its `serde`.
    pub fn into_job(self, runner: impl JobRunner + 'static) -> Result<Job, SpecError> {
        let DeclaredParts { shape, mut components, patches, with, without } = self.build()?.into_parts();
        if let Some(opaque) = shape.components.iter().find(|component| component.opaque) {
            return Err(SpecError::InColumns(opaque.name.clone()));
        }
        components.extend(patches.into_iter().map(|(_, declare)| declare));
        let job = components.into_iter().fold(Job::new(runner), |job, Declare(declare)| declare(job));
        let job = with.into_iter().fold(job, |job, filter| (filter.with)(job));
        let job = without.into_iter().fold(job, |job, filter| (filter.without)(job));
        Ok(if shape.despawns { job.despawns() } else { job })
    }
}
