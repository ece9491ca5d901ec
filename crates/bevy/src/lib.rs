//! Systems of a Bevy world that run as Peristyle's jobs.
//!
//! One line takes a system off Bevy's threads: it says what it reads and writes, and gets a snapshot of just those
//! columns. The job may be a Rust function or anything else that runs jobs, such as a JavaScript module.
//!
//! ```
//! use bevy_app::{App, Update};
//! use bevy_ecs::prelude::*;
//! use peristyle_bevy::{Columnar, RustJob, offloaded};
//!
//! #[derive(Component, Columnar, Clone, Copy)]
//! struct Position { x: f32 }
//! #[derive(Component, Columnar, Clone, Copy)]
//! struct Velocity { x: f32 }
//!
//! let job = RustJob::new("move", |call| {
//!     let (velocity, position) = (call.column::<f32>("Velocity", "x")?, call.column_mut::<f32>("Position", "x")?);
//!     position.iter_mut().zip(velocity).for_each(|(x, v)| *x += v);
//!     call.marks("Position")?.mark_all();
//!     Ok(())
//! });
//!
//! let mut app = App::new();
//! app.world_mut().spawn((Position { x: 1.0 }, Velocity { x: 0.5 }));
//! app.add_systems(Update, offloaded(job).reads::<Velocity>().writes::<Position>());
//! app.update();
//!
//! let mut query = app.world_mut().query::<&Position>();
//! assert_eq!(query.single(app.world()).unwrap().x, 1.5);
//! ```
//!
//! # Rules
//! - What is declared is declared to Bevy's scheduler too, so systems that conflict do not run side by side.
//! - Bevy's change detection sees the rows that were committed: no more, no less.
//! - Patches of a job, like its despawns, are applied at the next sync point, in the order in which they were given; what
//!   cannot be applied is told to who asked by [`Offloaded::on_patches`].
//! - An entity that died, or left what the job asked for, between snapshot and commit is skipped and counted.
//! - Jobs have no clock: `dt` and `time` are those of the resource [`OffloadStep`], which the application sets.
//! - Unsafe code is in `table` (slices of table columns) and `system` (what Bevy asks of a system).
//!
//! # Not here
//! Bevy's own tasks: jobs run on lanes of Peristyle's pool ([`OffloadPool`]), because a lane carries what a job cannot
//! do without, such as a JavaScript engine.

mod patch;
mod source;
mod system;
mod table;

pub use source::{Bevy, BevySource, Tables};
pub use system::{IsOffloaded, OffloadPool, OffloadStep, Offloaded, OffloadedSystem, SystemError, offloaded};

#[doc(no_inline)]
pub use peristyle_offload::{
    AccessError, CommitReport, ComponentCommit, Describe, Described, JobSnapshot, JobSnapshotSpec, LockedColumns,
    Marks, Offload, OffloadError, PatchCommit, PatchFault, RefusedPatch, Report, RunReport, RustCall, RustJob,
    SharedColumns, SpecError, Step, Way, columns,
};
// What `#[derive(Columnar)]` names in a crate that knows this one only.
#[doc(no_inline)]
pub use peristyle_offload::{Base, ColumnVisitor, Columnar, Entity, Field, Scalar, flattened, pack, schema, unpack};
