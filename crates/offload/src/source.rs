//! What a world has to offer to have its rows offloaded.

use std::ops::Range;

use peristyle_layout::{Entity, GENERATION_MAX, INDEX_MAX};

use crate::{
    block::{ColumnMut, ColumnRef},
    patch::{Applied, Change, PatchFault},
    values::OpaqueValue,
};

/// One declared column: which component, and which of its columns, in declared order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Position of the component among the declared ones.
    pub component: usize,
    /// Position of the column among the component's.
    pub field: usize,
}

/// Where the entities of changed rows are now, as [`Source::place`] found them. Rows ascend in each list.
#[derive(Debug, Default)]
pub struct Placed {
    /// Rows whose entity is where it was when the snapshot was taken.
    pub stayed: Vec<u32>,
    /// Rows whose entity lives elsewhere in the world now.
    pub moved: Vec<u32>,
    /// How many rows have an entity that is gone, or that no longer has what the job asked for.
    pub stale: usize,
}

impl Placed {
    pub(crate) fn clear(&mut self) {
        self.stayed.clear();
        self.moved.clear();
        self.stale = 0;
    }

    /// Rows to write.
    pub fn rows(&self) -> usize {
        self.stayed.len() + self.moved.len()
    }
}

/// What a source says that gives no values of opaque components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this source gives columns, and no values")]
pub struct NoValues;

/// A world as a list of rows, column by column. A snapshot is taken from one and committed to one.
///
/// Calls come in this order: `count`, then `ids`, `gather` and `values` for ranges of those rows; later, maybe frames later, and
/// with the world changed meanwhile, `begin_commit`, then for each written component `place`, `scatter` for its columns and
/// `mark`, then `patch` for each patch of the job, then `despawn`. What `count` found (which
/// table holds which rows) has to be kept until then. Ranges are some thousand rows, so a call may be dynamic inside, a
/// row should not.
pub trait Source {
    /// Finds the rows that match what was declared, and gives their number.
    fn count(&mut self) -> usize;

    /// Puts index and handle of the entities of `rows` into `indices` and `handles`, which are as long. An index is
    /// unique among the living; a handle for ever, or as nearly so as the world's own handles are.
    fn ids(&mut self, rows: Range<usize>, indices: &mut [u32], handles: &mut [u64]);

    /// Copies a column's `rows` into `out`, which is as long.
    fn gather(&mut self, column: Column, rows: Range<usize>, out: ColumnMut<'_>);

    /// Puts copies of the `rows`' values of an opaque component, by its position among the declared ones, into `out`, which
    /// is as long. A value that its `serde` refuses is the reason. Asked only of components that are opaque in the shape.
    ///
    /// # Errors
    /// [`NoValues`]: a source that does not say how gives none. The snapshot is not taken then.
    fn values(&mut self, component: usize, rows: Range<usize>, out: &mut [OpaqueValue]) -> Result<(), NoValues> {
        let _ = (component, rows, out);
        Err(NoValues)
    }

    /// Readies for a commit. Structure may have changed since `count`.
    fn begin_commit(&mut self) {}

    /// Says which of the `changed` rows, which ascend, have an entity that is alive and has what the job asked for, and
    /// whether it is where it was. `handles` are those of all rows of the snapshot; `placed` is empty.
    fn place(&mut self, changed: &[u32], handles: &[u64], placed: &mut Placed);

    /// Writes the placed rows of a column back. `values` and `handles` are those of all rows of the snapshot.
    fn scatter(&mut self, column: Column, placed: &Placed, handles: &[u64], values: ColumnRef<'_>);

    /// Tells the world that the placed rows of a component have changed, if it keeps such marks.
    fn mark(&mut self, component: usize, placed: &Placed, handles: &[u64]) {
        let _ = (component, placed, handles);
    }

    /// Despawns an entity, at once or as soon as the world lets it; false if it is gone already.
    fn despawn(&mut self, handle: u64) -> bool;

    /// Applies one patch to the living entity that jobs know as `entity`, be it among the rows or not, at once or as soon as
    /// the world lets it. What it does to rows shows in no snapshot that was taken before.
    ///
    /// # Errors
    /// [`PatchFault`]; the world is as it was. A world that does not say how refuses all.
    fn patch(&mut self, entity: Entity, change: Change<'_>) -> Result<Applied, PatchFault> {
        let _ = (entity, change);
        Err(PatchFault::Unsupported)
    }

    /// The handle as jobs know it, a safe integer: 31 bits of index and 20 bits of generation.
    ///
    /// By default the low half of a handle is the index and the upper half the generation, of which jobs see the
    /// remainder: a handle that a job keeps for a million lives of its index may name another entity. Commits use
    /// the whole handle.
    fn entity(handle: u64) -> Entity
    where
        Self: Sized,
    {
        fold(handle as u32, (handle >> 32) as u32)
    }
}

/// A handle for jobs, of `index`, which is at most [`INDEX_MAX`], and what fits of `generation`.
pub fn fold(index: u32, generation: u32) -> Entity {
    Entity::new(index & INDEX_MAX, generation % GENERATION_MAX + 1)
}
