#![doc = include_str!("../../../README.md")]
//!
//! # Where things are
//!
//! Worlds, components and queries stand at the root, with the scheduler's names that programs use; the other crates
//! are modules.
#![forbid(unsafe_code)]

#[cfg(feature = "agents")]
#[doc(inline)]
pub use peristyle_agents as agents;
#[cfg(feature = "gateway")]
#[doc(inline)]
pub use peristyle_gateway as gateway;
#[doc(inline)]
pub use peristyle_jobs as jobs;
#[cfg(feature = "math")]
#[doc(inline)]
pub use peristyle_math as math;
#[doc(inline)]
pub use peristyle_memory as memory;
#[cfg(feature = "mirror")]
#[doc(inline)]
pub use peristyle_mirror as mirror;
#[doc(inline)]
pub use peristyle_offload as offload;
#[cfg(feature = "replica")]
#[doc(inline)]
pub use peristyle_replica as replica;
#[cfg(feature = "runtime")]
#[doc(inline)]
pub use peristyle_runtime as runtime;
#[doc(inline)]
pub use peristyle_schedule as schedule;
#[doc(inline)]
pub use peristyle_schedule::{
    ByType, CheckReport, Context, FrameReport, Job, JobFailure, Mode, Options, Plan, RangeContext, ScheduleError,
    Scheduler, Setup, Stage, System, Tick, Where,
};
#[doc(inline)]
pub use peristyle_timeline as timeline;
#[doc(inline)]
pub use peristyle_world::*;
