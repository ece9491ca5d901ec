//! Job snapshots of any entity component system.
//!
//! A system that says what it reads and writes can leave the thread that owns its world. A [`Source`] gives a world's
//! rows column by column; a [`JobSnapshot`] holds them as typed columns with entity ids and one changed bitset per
//! component; any [`JobRunner`](peristyle_jobs::JobRunner) works on it, row-wise on all lanes, or on all rows at once, in
//! parts or as a whole; a commit writes back the rows whose bit is set, of entities that are still there, and applies the
//! patches that the job gave. [`Offload`] does all of that once a frame. Columns that are not the world's
//! ([`SharedColumns`]) can be given to jobs beside it.
//!
//! There are three [`Way`]s, chosen by what source and host can do, and reported:
//!
//! | way | what crosses | for |
//! |---|---|---|
//! | in place | nothing: no copy, no commit | Peristyle's own world (`JobSnapshotSpec::into_job`, feature `schedule`) |
//! | copied | columns into buffers that are reused, changed rows back | any other world in this process |
//! | transferred | as copied, and the buffers themselves move to a worker and back | hosts whose threads share no memory; work that outlives a frame |
//!
//! # Rules
//! - What a job sees follows from what was declared, and so do the columns.
//! - While a snapshot is transferred nobody else has it: it moves, so the compiler sees to that.
//! - A commit touches rows whose bit is set, and no others; a component without set bits is not looked at.
//! - An entity that is gone, or left what the job asked for, is skipped and counted. It is never an error.
//! - A frame of a world of steady size allocates nothing.
//! - A patch that cannot be applied is reported, and the others go on.
//! - What is no numbers has no columns: declared [by its `serde`](Described::by_serde) to be read, its values are copied
//!   when the snapshot is taken, and calls give those; written it is by patches.
//! - Unsafe code is in `block` (typed views of one allocation), `call` (leases) and, for one function of it, `hecs`.
//!
//! # Not here
//! Bevy (`peristyle-bevy`); engines (`peristyle-agents`), whose runners work here like any other; jobs that are Rust
//! functions ([`RustJob`]), which are those of `peristyle-jobs`.

mod block;
mod call;
mod columns;
mod describe;
mod error;
mod ferry;
mod offload;
mod patch;
mod segments;
mod snapshot;
mod source;
mod spec;
mod values;

#[cfg(feature = "hecs")]
pub mod hecs;
#[cfg(feature = "schedule")]
mod in_place;

pub use block::{ColumnMut, ColumnRef, prefetch};
pub use call::{CallShape, Manner, RangeFailure, RunReport, Step};
pub use columns::{LockedColumns, SharedColumns};
pub use describe::{AHEAD, Describe, Described, Numeric};
pub use error::{OffloadError, SnapshotError, SpecError};
pub use ferry::{Ferry, FerryError, Landed, SendError};
#[cfg(feature = "schedule")]
pub use in_place::InPlace;
pub use offload::{Host, Offload, Report, Way};
pub use patch::{Applied, Change, PatchCommit, PatchFault, REFUSALS_KEPT, RefusedPatch};
pub use segments::Segments;
pub use snapshot::{CommitReport, ComponentCommit, JobSnapshot};
pub use source::{Column, NoValues, Placed, Source, fold};
pub use spec::{Backend, Declared, DeclaredParts, Filters, JobSnapshotSpec, Patches, Reads, Writes};
pub use values::OpaqueValue;

// Jobs that are Rust functions, and what they are given.
#[doc(no_inline)]
pub use peristyle_jobs::{AccessError, Marks, RustCall, RustJob};
// What patches are made of.
#[doc(no_inline)]
pub use peristyle_layout::{PatchBuffer, PatchBytes, PatchKind, PatchRecord};
// What `#[derive(Columnar)]` names in a crate that knows this one only.
#[doc(no_inline)]
pub use peristyle_world::{Base, ColumnVisitor, Columnar, Entity, Field, Scalar, flattened, pack, schema, unpack};
