//! The job contract of Peristyle, and the pool of threads that runs jobs.
//!
//! A [`Pool`] has workers beside the thread that runs frames; together they are its lanes. In a
//! [`Scope`] the frame's thread opens tasks, each a [`Work`] with a number of ranges, and all lanes run
//! ranges until none is left.
//!
//! # Not here
//! The world, the plan and the JavaScript engine: a job sees numbers, a lane carries what it is given.
#![warn(missing_docs)]

mod board;
mod contract;
mod lane;
mod patches;
mod pool;
mod queue;
mod rust;
mod scope;
mod sleep;
mod sync;
mod values;
mod wait;
mod watch;

#[cfg(all(loom, test))]
mod models;

pub use crate::board::{JobPanic, RANGES_MAX, Work};
pub use crate::contract::{
    Access, ComponentShape, EntityLookup, Extra, JobCall, JobCallParts, JobError, JobRunner, JobShape, Lent,
    PatchShape, ResourceShape,
};
pub use crate::lane::Lane;
pub use crate::patches::PatchSink;
pub use crate::pool::{Close, Pool, PoolOptions, Supervisor, default_workers};
pub use crate::queue::{Pending, RefuseReason, Refused, TaskError};
pub use crate::rust::{AccessError, Marks, RustCall, RustJob, RustParts};
pub use crate::scope::{BoardFull, Scope, TASKS_MAX, Task};
pub use crate::values::ValueLookup;
pub use crate::wait::block_on;
pub use crate::watch::{Overrun, Stop, StopReason};
