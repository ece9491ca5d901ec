//! Why systems cannot be scheduled, and how jobs failed.

use std::fmt;

use peristyle_jobs::JobError;
use peristyle_world::{PatchError, WorldError};

use crate::Stage;

/// Why a scheduler, a plan or a frame could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Two systems have the same name.
    #[error("two systems are named `{0}`")]
    DuplicateName(String),
    /// A constraint names a system that there is not.
    #[error("system `{system}` is to run {relation} `{unknown}`, but there is no such system")]
    UnknownName {
        /// The system with the constraint.
        system: String,
        /// `before` or `after`.
        relation: &'static str,
        /// The name.
        unknown: String,
    },
    /// Constraints go round in a circle.
    #[error("systems wait for each other: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// A constraint contradicts the order of the stages.
    #[error("system `{system}` ({system_stage}) is to run {relation} `{other}` ({other_stage}), whose stage comes {}",
        if *.relation == "before" { "earlier" } else { "later" })]
    WrongStage {
        /// The system with the constraint.
        system: String,
        /// Its stage.
        system_stage: Stage,
        /// `before` or `after`.
        relation: &'static str,
        /// The other system.
        other: String,
        /// The other system's stage.
        other_stage: Stage,
    },
    /// A system's stage is not one of the frame's.
    #[error("system `{system}` is of stage {stage}, which is none of the frame's stages")]
    NoStage {
        /// The system.
        system: String,
        /// Its stage.
        stage: Stage,
    },
    /// A system without a body.
    #[error("system `{0}` does nothing: give it a body")]
    NoBody(String),
    /// A job was declared to use an opaque component, and is of a kind that reaches columns only, as kernels are: they know
    /// nothing but the world's memory.
    #[error("job `{system}` uses component `{component}`, which is opaque, but `{job}` reaches columns only")]
    OpaqueComponent {
        /// The system.
        system: String,
        /// The component.
        component: String,
        /// What runs.
        job: String,
    },
    /// A job was declared to use an opaque component whose values nobody can give it.
    #[error(
        "job `{system}` uses component `{component}`, which is opaque, and its serde is not registered: \
        `World::register_serde` does it"
    )]
    NoSerde {
        /// The system.
        system: String,
        /// The component.
        component: String,
    },
    /// A job was declared to use columns that the world does not have.
    #[error("job `{system}` uses resource `{resource}`, but the world has no such columns")]
    NoColumns {
        /// The system.
        system: String,
        /// The resource.
        resource: String,
    },
    /// A job was declared to take parts that takes one call at a time only.
    #[error("job `{system}` is to take all parts at once, but `{job}` takes one at a time")]
    NoParts {
        /// The system.
        system: String,
        /// What runs.
        job: String,
    },
    /// A job cannot run on this world.
    #[error("job `{system}` {error}")]
    Job {
        /// The system.
        system: String,
        /// What keeps it from running.
        error: JobError,
    },
    /// A job's `extra` has no JSON form.
    #[error("the extra value of job `{system}` cannot be serialised: {source}")]
    Extra {
        /// The system.
        system: String,
        /// Why.
        source: serde_json::Error,
    },
    /// There are too many ranges: of all systems together, some million.
    #[error("systems over rows are cut into more than a million ranges altogether")]
    TooManyBuffers,
    /// The pool's threads could not be started.
    #[error("cannot start worker threads: {0}")]
    Threads(#[from] std::io::Error),
    /// The world refused.
    #[error(transparent)]
    World(#[from] WorldError),
}

/// One call of a job that failed. The frame went on; what the call wrote stays, as changed rows, or is undone if the job
/// is atomic.
#[derive(Debug, Clone)]
pub struct JobFailure {
    /// The system.
    pub system: String,
    /// The tick.
    pub tick: u64,
    /// Rows of the failed call.
    pub rows: usize,
    /// What happened.
    pub error: JobError,
}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job `{}` failed on {} rows in tick {}: {}", self.system, self.rows, self.tick, self.error)
    }
}

/// One patch that was not applied: its entity was gone, or something is wrong with it. The others went on.
#[derive(Debug)]
pub struct PatchFailure {
    /// The system that gave it.
    pub system: String,
    /// The tick.
    pub tick: u64,
    /// Its position among the patches of its range.
    pub index: usize,
    /// Why.
    pub error: PatchError,
}

impl fmt::Display for PatchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PatchFailure { system, tick, index, error } = self;
        write!(f, "`{system}` gave patches[{index}] in tick {tick}, which was not applied: {error}")
    }
}
