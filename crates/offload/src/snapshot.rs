//! A job's view of a world: typed columns, entity ids, changed bits.
//!
//! A snapshot is taken from a [`Source`], worked on, and committed to a source; then it is taken again, into the same
//! memory. Each declared field is one contiguous column of all rows; of an opaque component there is a value per row.
//!
//! # Rules
//! - Bits are zero when a snapshot was taken and after it was committed: nothing is written twice.
//! - A commit reads bits first. It looks at rows, columns and entities only where a bit is set.
//! - Patches that the job gave are applied in order of rows, after the columns and before despawn bits.
//! - Rows are gathered and scattered some thousand at a time, all columns of them, so that a world that keeps structs has
//!   its memory read once and not once per field.

use std::{
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use peristyle_jobs::{Access, JobShape};
use peristyle_layout::{Entity, INDEX_MAX, PatchBuffer, Scalar};
use peristyle_memory::{Element, bits};

use crate::{
    block::{Block, ColumnRef},
    call::{Room, RunReport},
    columns::{JobColumns, SharedColumns},
    error::{SnapshotError, SpecError},
    patch::{Change, PatchCommit},
    source::{Column, NoValues, Placed, Source, fold},
    values::{OpaqueValue, Values},
};

/// Rows that are gathered together: few enough that a struct's second field is read from a cache, enough that calls do
/// not count.
const GATHER_ROWS: usize = 2048;
/// Rows that are committed together: 1 % of them are enough to keep the memory busy, and lists of all of them fit a cache.
const COMMIT_ROWS: usize = 16_384;

const HANDLES: usize = 0;
const INDICES: usize = 1;
/// Parts of the block before the declared columns.
const IDS: usize = 2;

/// Rows of a world as columns, for one job.
pub struct JobSnapshot {
    shape: JobShape,
    /// Each component's first column in the block, and its bitset if it is written.
    components: Vec<ComponentAt>,
    pub(crate) block: Block,
    pub(crate) values: Values,
    rows: usize,
    entity_of: fn(u64) -> Entity,
    pub(crate) run: RunReport,
    commit: CommitReport,
    changed: Vec<u32>,
    placed: Placed,
    /// Room for looking rows up by index.
    pub(crate) order: Vec<u32>,
    /// What the job has beside the rows.
    columns: JobColumns,
    /// The patches of each call of the last run.
    pub(crate) given: Vec<Mutex<PatchBuffer>>,
    pub(crate) room: Room,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ComponentAt {
    pub(crate) column: usize,
    pub(crate) fields: usize,
    pub(crate) bits: Option<usize>,
}

/// What a commit wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitReport {
    /// Per written component, in declared order.
    pub components: Vec<ComponentCommit>,
    /// The job's patches.
    pub patches: PatchCommit,
    /// Entities despawned.
    pub despawned: usize,
    /// Despawn bits of entities that were gone already.
    pub despawned_stale: usize,
}

/// What a commit wrote of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentCommit {
    /// The component's name.
    pub name: String,
    /// Rows written.
    pub written: usize,
    /// Changed rows skipped, because their entity is gone or no longer has what the job asked for.
    pub stale: usize,
}

impl CommitReport {
    /// Rows written, over all components.
    pub fn written(&self) -> usize {
        self.components.iter().map(|component| component.written).sum()
    }

    /// Changed rows skipped, over all components, and despawn bits and patches of entities that were gone.
    pub fn stale(&self) -> usize {
        let rows = self.components.iter().map(|component| component.stale).sum::<usize>();
        rows + self.despawned_stale + self.patches.stale
    }
}

impl JobSnapshot {
    /// An empty snapshot for a job of that shape. It has no memory yet. Resources of the shape are left out: they are those
    /// of [`JobSnapshot::with_columns`].
    pub fn new(mut shape: JobShape) -> JobSnapshot {
        shape.resources.clear();
        let (mut column, mut bitset) = (IDS, 0);
        let mut components = Vec::with_capacity(shape.components.len());
        let mut commit = CommitReport::default();
        for component in &shape.components {
            let written = component.access == Access::Write;
            components.push(ComponentAt { column, fields: component.fields.len(), bits: written.then_some(bitset) });
            column += component.fields.len();
            if written {
                bitset += 1;
                commit.components.push(ComponentCommit { name: component.name.clone(), written: 0, stale: 0 });
            }
        }
        let fields = shape.components.iter().flat_map(|component| &component.fields).map(|field| field.scalar);
        let columns = [Scalar::U64, Scalar::U32].into_iter().chain(fields);
        // The last bitset is for despawning, whether or not the job may.
        let block = Block::new(columns, bitset + 1);
        JobSnapshot {
            components,
            block,
            values: Values::new(&shape),
            rows: 0,
            entity_of: |handle| fold(handle as u32, (handle >> 32) as u32),
            run: RunReport::default(),
            commit,
            changed: Vec::with_capacity(COMMIT_ROWS),
            placed: Placed { stayed: Vec::with_capacity(COMMIT_ROWS), moved: Vec::new(), stale: 0 },
            order: Vec::new(),
            columns: JobColumns::default(),
            given: Vec::new(),
            room: Room::default(),
            shape,
        }
    }

    /// Gives the job columns beside the rows.
    ///
    /// # Errors
    /// [`SpecError::DuplicateResource`] if it has others of that name.
    pub fn with_columns(mut self, columns: &SharedColumns, access: Access) -> Result<JobSnapshot, SpecError> {
        self.columns.add(columns, access)?;
        self.shape.resources = self.columns.shapes();
        Ok(self)
    }

    pub(crate) fn with_job_columns(mut self, columns: &JobColumns) -> JobSnapshot {
        self.columns = columns.clone();
        self.shape.resources = self.columns.shapes();
        self
    }

    pub(crate) fn columns(&self) -> &JobColumns {
        &self.columns
    }

    /// What the job declared.
    pub fn shape(&self) -> &JobShape {
        &self.shape
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The entity index of each row: unique in this snapshot.
    pub fn indices(&self) -> &[u32] {
        self.block.column(INDICES, 0..self.rows).of().expect("a column of indices")
    }

    /// The world's own handle of each row, in 64 bits.
    pub fn handles(&self) -> &[u64] {
        self.block.column(HANDLES, 0..self.rows).of().expect("a column of handles")
    }

    /// The handle of a row as jobs know it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn entity(&self, row: usize) -> Entity {
        (self.entity_of)(self.handles()[row])
    }

    /// A column, by the names of component and field; none if there is no such column of `E`.
    pub fn column<E: Element>(&self, component: &str, field: &str) -> Option<&[E]> {
        self.block.column(self.find(component, field)?, 0..self.rows).of()
    }

    /// The value of a row of an opaque component, as it was when the snapshot was taken; none if there is no such component
    /// or row.
    pub fn value(&self, component: &str, row: usize) -> Option<&OpaqueValue> {
        let id = self.shape.components[self.position(component)?].id;
        self.values.get(id, row).filter(|_| row < self.rows)
    }

    /// A column, to write, and the component's changed bits, in which row `i` is bit `i % 64` of word `i / 64`: for jobs
    /// that are run by hand. None if there is no such column of `E`, or the job declared to only read it.
    pub fn column_mut<E: Element>(&mut self, component: &str, field: &str) -> Option<&mut [E]> {
        let column = self.find(component, field)?;
        self.written(component)?;
        self.block.column_mut(column, 0..self.rows).of()
    }

    /// Marks a row of a written component as changed; false if the job does not write such a component.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn mark(&mut self, component: &str, row: usize) -> bool {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let bitset = self.written(component);
        bitset.map(|bitset| bits::set(self.block.bits_mut(bitset, self.rows), row)).is_some()
    }

    /// The changed bits of a written component: row `i` is bit `i % 64` of word `i / 64`.
    pub fn changed(&self, component: &str) -> Option<&[u64]> {
        Some(self.block.bits(self.written(component)?, self.rows))
    }

    fn position(&self, component: &str) -> Option<usize> {
        self.shape.components.iter().position(|shape| shape.name == component)
    }

    fn find(&self, component: &str, field: &str) -> Option<usize> {
        let component = self.position(component)?;
        let field = self.shape.components[component].fields.iter().position(|known| known.name == field)?;
        Some(self.components[component].column + field)
    }

    fn written(&self, component: &str) -> Option<usize> {
        self.components[self.position(component)?].bits
    }

    pub(crate) fn components(&self) -> &[ComponentAt] {
        &self.components
    }

    pub(crate) fn despawn_bits(&self) -> usize {
        self.commit.components.len()
    }

    pub(crate) const INDICES: usize = INDICES;

    pub(crate) fn entity_of(&self) -> fn(u64) -> Entity {
        self.entity_of
    }

    /// Zeroes the bits of some rows, which begin and end on multiples of 64 or at the end: what was done to them is not
    /// committed.
    pub(crate) fn forget(&mut self, rows: Range<usize>) {
        for bitset in 0..=self.despawn_bits() {
            self.block.bits_mut(bitset, self.rows)[bits::words_of(&rows)].fill(0);
        }
    }

    fn forget_patches(&mut self) {
        self.given.iter_mut().for_each(|records| records.get_mut().unwrap_or_else(PoisonError::into_inner).clear());
    }

    /// What the last run did.
    pub fn run_report(&self) -> &RunReport {
        &self.run
    }

    /// What the last commit wrote.
    pub fn commit_report(&self) -> &CommitReport {
        &self.commit
    }

    /// Takes the source's rows, in place of what was there. Allocates only if there are more rows than ever before,
    /// and for values of opaque components.
    ///
    /// # Errors
    /// [`SnapshotError`]; the snapshot is empty then.
    pub fn take<S: Source>(&mut self, source: &mut S) -> Result<(), SnapshotError> {
        self.rows = 0;
        self.entity_of = S::entity;
        let rows = source.count();
        if u32::try_from(rows).is_err() {
            return Err(SnapshotError::TooManyRows(rows));
        }
        self.block.reserve(rows)?;
        self.values.reset(rows)?;
        for start in (0..rows).step_by(GATHER_ROWS) {
            let range = start..(start + GATHER_ROWS).min(rows);
            let [handles, indices] = self.block.columns_mut([HANDLES, INDICES], range.clone());
            let indices: &mut [u32] = indices.of().expect("a column of indices");
            source.ids(range.clone(), indices, handles.of().expect("a column of handles"));
            if indices.iter().fold(0, |all, index| all | index) > INDEX_MAX {
                let at = indices.iter().position(|index| *index > INDEX_MAX).expect("one of them is");
                return Err(SnapshotError::Index { index: indices[at], row: start + at });
            }
            for (component, at) in self.components.iter().enumerate() {
                for field in 0..at.fields {
                    let out = self.block.column_mut(at.column + field, range.clone());
                    source.gather(Column { component, field }, range.clone(), out);
                }
            }
            self.values.gather(range.clone(), |at, out| {
                let none = |NoValues| SnapshotError::NoValues { component: self.shape.components[at].name.clone() };
                source.values(at, range.clone(), out).map_err(none)
            })?;
        }
        self.rows = rows;
        self.forget(0..rows);
        self.forget_patches();
        Ok(())
    }

    /// Writes marked rows of living entities back, applies the job's patches, then despawns those whose despawn bit is set;
    /// clears all bits and forgets the patches.
    pub fn commit<S: Source>(&mut self, source: &mut S) -> &CommitReport {
        source.begin_commit();
        for (component, at) in self.components.iter().enumerate() {
            let Some(bitset) = at.bits else { continue };
            let report = &mut self.commit.components[bitset];
            (report.written, report.stale) = (0, 0);
            for first in (0..self.rows).step_by(COMMIT_ROWS) {
                let rows = first..(first + COMMIT_ROWS).min(self.rows);
                if !take_bits(&mut self.block, bitset, self.rows, rows, &mut self.changed) {
                    continue;
                }
                let handles = self.block.column(HANDLES, 0..self.rows).of().expect("a column of handles");
                self.placed.clear();
                source.place(&self.changed, handles, &mut self.placed);
                report.written += self.placed.rows();
                report.stale += self.placed.stale;
                for field in 0..at.fields {
                    let values: ColumnRef<'_> = self.block.column(at.column + field, 0..self.rows);
                    source.scatter(Column { component, field }, &self.placed, handles, values);
                }
                source.mark(component, &self.placed, handles);
            }
        }
        self.commit.patches.clear();
        let mut index = 0;
        for records in &mut self.given {
            let records = records.get_mut().unwrap_or_else(PoisonError::into_inner);
            for record in records.iter() {
                let applied = source.patch(record.entity, Change::of(&record));
                self.commit.patches.count(index, record.entity, applied);
                index += 1;
            }
            records.clear();
        }
        (self.commit.despawned, self.commit.despawned_stale) = (0, 0);
        let bitset = self.despawn_bits();
        for first in (0..self.rows).step_by(COMMIT_ROWS) {
            let rows = first..(first + COMMIT_ROWS).min(self.rows);
            if !take_bits(&mut self.block, bitset, self.rows, rows, &mut self.changed) {
                continue;
            }
            let handles: &[u64] = self.block.column(HANDLES, 0..self.rows).of().expect("a column of handles");
            for &row in &self.changed {
                let despawned = source.despawn(handles[row as usize]);
                *(if despawned { &mut self.commit.despawned } else { &mut self.commit.despawned_stale }) += 1;
            }
        }
        &self.commit
    }
}

impl fmt::Debug for JobSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.shape.components.iter().map(|component| &*component.name).collect();
        f.debug_struct("JobSnapshot").field("rows", &self.rows).field("components", &names).finish_non_exhaustive()
    }
}

/// Lists the rows whose bit is set and clears the bits; false if there are none. `rows` starts on a multiple of 64.
fn take_bits(block: &mut Block, bitset: usize, all: usize, rows: Range<usize>, out: &mut Vec<u32>) -> bool {
    out.clear();
    let words = &mut block.bits_mut(bitset, all)[bits::words_of(&rows)];
    if words.iter().fold(0, |any, word| any | word) == 0 {
        return false;
    }
    for (index, word) in words.iter_mut().enumerate() {
        let first = rows.start + index * bits::WORD;
        // A job may have set bits beyond the last row.
        let set = std::mem::take(word) & bits::word_mask(0, &(0..rows.end - first));
        bits::for_each_one(set, first, |row| out.push(row as u32));
    }
    !out.is_empty()
}
