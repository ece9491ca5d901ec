//! Worlds of entities, held as columns.
//!
//! Entities with the same components share a table; a table's rows lie in chunks of at most 16 384; in a chunk each
//! field of each component is one contiguous column. Queries walk chunks; structural changes go through `&mut World`, at
//! once or by commands merged in a fixed order.
//!
//! # Rules
//! - A handle names one entity for ever; a stale one is an error.
//! - A full-sized chunk never moves.
//! - Changes are tracked row by row for every consumer that asked, and cleared by that consumer alone.
//! - References into columns are made in `columnar`, `component` and `query` only, from `&World`, `&mut World`, or a
//!   [`SharedWorld`] whose user answers for exclusive access.
//!
//! # Not here
//! Threads and plans (`peristyle-schedule`), jobs (`peristyle-jobs`), JavaScript.

mod bundle;
mod by_number;
mod columnar;
mod commands;
mod component;
mod copy_out;
mod defined;
mod entities;
mod error;
mod hash;
mod hierarchy;
mod observers;
mod opaque;
mod patch;
mod prefab;
mod put;
mod query;
mod removed;
mod resources;
mod shared;
mod table;
mod track;
mod world;

pub use bundle::{Bundle, ColumnarBundle};
pub use columnar::{Base, ColumnVisitor, Columnar, flattened, pack, unpack};
pub use commands::{CommandBuffer, Merged};
pub use component::{
    Columns, Component, ComponentId, ComponentInfo, Components, DefineError, Kind, Opaque, OpaqueType, RowMutOf, RowOf,
    SlicesMutOf, SlicesOf, Storage,
};
pub use copy_out::{ColumnReader, ColumnSlice, RemovalsOf, RowRef};
pub use entities::Place;
pub use error::WorldError;
pub use hierarchy::{Children, Parent};
pub use observers::Observer;
pub use patch::{
    PatchError, PatchJsonError, PatchReport, PatchValue, REFUSALS_KEPT, Refused, Undo, UndoGap, Undone, WorldPatch,
};
pub use peristyle_derive::{Columnar, Component};
pub use peristyle_layout::{
    Entity, Field, PatchBuffer, PatchBytes, PatchDecodeError, PatchKind, PatchRecord, Scalar,
    schema::{self, Described},
};
pub use peristyle_memory::{Bool, Element, Memory, OutOfMemory, RegionError};
pub use prefab::Prefab;
pub use query::{
    Added, AnyOf, Changed, ChunkFilter, Handles, Marks, Prepared, Query, QueryData, QueryFilter, QuerySpec, QueryState,
    ReadOnly, Terms, Tracked, With, Without,
};
pub use removed::{FellBehind, LOG_ENTITIES, Removals};
pub use resources::{ColumnResource, ResourceId};
pub use shared::{ChunkRef, LentColumn, SharedWorld};
pub use table::TableId;
pub use track::Consumer;
pub use world::{Spawned, World};

// The derive macros name this crate from within it too.
extern crate self as peristyle_world;
