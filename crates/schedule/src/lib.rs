//! Systems, and the frames that run them on every core.
//!
//! A [`System`] has a stage, constraints (before, after), declared reads and writes, and a body: a function that runs
//! once a frame, a function over ranges of rows, a job of another language, or a function with the world to itself. A
//! [`Scheduler`] makes a [`Plan`] of them once and then runs frames. [`RunAhead`] has it run many on a thread of its own.
//! A [`Pull`] is the scheduler of hosts that run the systems themselves.
//!
//! # Rules
//! - Systems that conflict run in the plan's order; the others may run side by side. What a system touches is what its
//!   setup declared: there is no way to reach anything else.
//! - A job of another language is lent columns without Rust's rules, so no Rust system reads a column while it is lent.
//! - Structural changes wait for the end of the stage, or for a system that has the world to itself; they are merged in
//!   order of plan, then row, never of arrival. Serial mode gives the same world as any number of workers.
//! - No clock is read inside a tick but to decide where work runs.
//!
//! # Not here
//! Threads (`peristyle-jobs`), engines (`peristyle-agents`).

mod access;
mod check;
mod context;
mod cost;
mod error;
mod executor;
mod job;
mod lease;
mod merge;
mod plan;
mod preimage;
mod pull;
mod ranges;
mod rows;
#[cfg(not(target_arch = "wasm32"))]
mod run_ahead;
mod scheduler;
mod slot;
mod stage;
mod staging;
mod system;
mod touched;
mod typed;

pub use check::{CheckReport, Difference, Finding};
pub use context::{
    ColumnComponent, Columns, ColumnsMut, ComponentReads, Context, Despawn, RangeContext, Res, ResMut, Setup,
    SystemQuery, Tick,
};
pub use error::{JobFailure, PatchFailure, ScheduleError};
pub use executor::Mode;
pub use job::Job;
pub use plan::{Plan, Planned};
pub use pull::{Next, Pull, PullError, PullShape, PullSystem, Run};
#[cfg(not(target_arch = "wasm32"))]
pub use run_ahead::{
    ObserveError, Observer, RunAhead, RunAheadError, RunAheadOptions, RunEnd, RunReport, StartError, TickCopy,
    TickFailure, WhenFull,
};
pub use scheduler::{FrameReport, Options, Scheduler};
pub use stage::Stage;
pub use system::{System, Where};
pub use typed::ByType;
