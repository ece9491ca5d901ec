//! Why a call failed, as a number and a text.

use peristyle_memory::OutOfMemory;
use peristyle_replica::{ReceiveError, ViewError};
use peristyle_schedule::{PullError, ScheduleError};
use peristyle_world::{DefineError, WorldError};

use crate::blocks::BeyondScratch;

macro_rules! statuses {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal,)*) => {
        /// What a negative result stands for: its absolute value is the number, from 1 on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Status {
            $($(#[doc = $doc])* $name,)*
        }

        impl Status {
            /// All, in order of their numbers.
            pub const ALL: &'static [Status] = &[$(Status::$name),*];

            /// Its name; stable.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Status::$name => $text,)*
                }
            }
        }
    };
}

statuses! {
    /// The entity was destroyed, or never was.
    Stale "stale",
    /// The handle is provisional.
    Provisional "provisional",
    /// The entity has no such component.
    Missing "missing",
    /// The memory is used up.
    OutOfMemory "out-of-memory",
    /// All indices are in use.
    EntitiesExhausted "entities-exhausted",
    /// A tick is running.
    NestedTick "nested-tick",
    /// No tick is running.
    NoTick "no-tick",
    /// There is a component or a resource of that name.
    NameTaken "name-taken",
    /// A field cannot be as it is described.
    BadField "bad-field",
    /// A number names nothing, or is out of range.
    BadArgument "bad-argument",
    /// A text is not what the function takes.
    BadText "bad-text",
    /// Rows are leased to jobs: structure stands still until they are settled.
    Leased "leased",
    /// A constraint names a system that there is not.
    UnknownSystem "unknown-system",
    /// There is a system of that name.
    DuplicateSystem "duplicate-system",
    /// There is no such stage.
    NoStage "no-stage",
    /// A constraint contradicts the order of the stages.
    WrongStage "wrong-stage",
    /// Systems wait for each other.
    Cycle "cycle",
    /// A frame is running.
    FrameRunning "frame-running",
    /// No frame is running, or the system is not.
    NoFrame "no-frame",
    /// A mirror and the world disagree.
    BadView "bad-view",
    /// A client's message is none.
    BadMessage "bad-message",
    /// A client sends more than may wait.
    Flooded "flooded",
    /// The connection is closed.
    Closed "closed",
}

impl Status {
    /// What a function returns for it.
    pub fn number(self) -> f64 {
        -1.0 - f64::from(self as u8)
    }
}

/// A call that failed. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What kind of thing is wrong.
    pub status: Status,
    /// What, and where.
    pub text: String,
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Failure {
        Failure { status, text: text.into() }
    }
}

impl From<WorldError> for Failure {
    #[cold]
    fn from(error: WorldError) -> Failure {
        let status = match &error {
            WorldError::Stale(_) => Status::Stale,
            WorldError::Provisional(_) => Status::Provisional,
            WorldError::Missing { .. } => Status::Missing,
            WorldError::OutOfMemory(_) => Status::OutOfMemory,
            WorldError::EntitiesExhausted => Status::EntitiesExhausted,
            WorldError::NestedTick => Status::NestedTick,
            WorldError::NoTick => Status::NoTick,
            _ => Status::BadArgument,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<OutOfMemory> for Failure {
    fn from(error: OutOfMemory) -> Failure {
        WorldError::from(error).into()
    }
}

impl From<DefineError> for Failure {
    fn from(error: DefineError) -> Failure {
        let status = match error {
            DefineError::DuplicateName(_) => Status::NameTaken,
            _ => Status::BadField,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Failure {
        let status = match &error {
            PullError::Schedule(ScheduleError::World(WorldError::OutOfMemory(_))) => Status::OutOfMemory,
            PullError::Schedule(ScheduleError::World(WorldError::NestedTick)) => Status::NestedTick,
            PullError::Schedule(ScheduleError::DuplicateName(_)) => Status::DuplicateSystem,
            PullError::Schedule(ScheduleError::UnknownName { .. }) => Status::UnknownSystem,
            PullError::Schedule(ScheduleError::NoStage { .. }) => Status::NoStage,
            PullError::Schedule(ScheduleError::WrongStage { .. }) => Status::WrongStage,
            PullError::Schedule(ScheduleError::Cycle(_)) => Status::Cycle,
            PullError::FrameRunning => Status::FrameRunning,
            PullError::NoFrame | PullError::NotRunning(_) => Status::NoFrame,
            _ => Status::BadArgument,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Failure {
        Failure::new(Status::BadView, error.to_string())
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Failure {
        let status = match error {
            ReceiveError::Closed => Status::Closed,
            ReceiveError::Flooded { .. } => Status::Flooded,
            _ => Status::BadMessage,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<BeyondScratch> for Failure {
    fn from(error: BeyondScratch) -> Failure {
        Failure::new(Status::BadArgument, error.to_string())
    }
}
