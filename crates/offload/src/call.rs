//! Runs a job on a snapshot: the lease on its columns is made here, and nowhere else.
//!
//! Rows are cut into ranges whose first row is a multiple of 512, so no two lanes share a cache line of a column or a
//! bitset, let alone a byte of marks. A snapshot of few rows is one range and runs where it is.
//!
//! # Rules
//! - A range runs once, on one lane. What panics fails its range, as what throws does.
//! - A range that failed keeps the rows that it marked, unless the run is atomic: then the world sees nothing of it.

use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    sync::{Mutex, OnceLock, PoisonError},
};

use peristyle_jobs::{EntityLookup, Extra, JobCall, JobCallParts, JobError, JobRunner, Lane, Lent, Scope};
use peristyle_layout::{
    Entity, Scalar,
    chunk::{CHUNK_ROWS, RANGE_ROWS},
};

use crate::{snapshot::JobSnapshot, source::fold};

/// Fewer rows are one range: a round trip to a worker costs more than it saves.
const SPLIT_ROWS: usize = 8192;
/// Ranges per lane: some, so that a lane that is slower than the others takes fewer.
const RANGES_PER_LANE: usize = 4;

/// The simulated time of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Step {
    /// Simulated seconds that the frame moves the world by.
    pub dt: f64,
    /// Simulated time in seconds.
    pub time: f64,
}

/// A range whose call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeFailure {
    /// Its rows in the snapshot.
    pub rows: Range<usize>,
    /// What happened.
    pub error: JobError,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Calls of the job.
    pub ranges: usize,
    /// Calls that failed, in order of rows.
    pub failures: Vec<RangeFailure>,
}

impl JobSnapshot {
    /// Runs `runner` once on each range of rows, on all lanes of the scope, and waits for it.
    ///
    /// If `atomic`, the marks of a range that failed are dropped, so that nothing of it is committed.
    ///
    /// # Panics
    /// Inside of [`Scope::with_lane`].
    pub fn run(
        &mut self,
        runner: &dyn JobRunner,
        scope: &Scope<'_, '_>,
        step: Step,
        extra: Option<Extra<'_>>,
        atomic: bool,
    ) -> &RunReport {
        let rows = self.rows();
        let range_rows = if rows < SPLIT_ROWS {
            rows.next_multiple_of(RANGE_ROWS).max(RANGE_ROWS)
        } else {
            let even = rows.div_ceil(scope.lanes() * RANGES_PER_LANE);
            even.next_multiple_of(RANGE_ROWS).min(CHUNK_ROWS)
        };
        let ranges = rows.div_ceil(range_rows);
        self.run.ranges = ranges;
        self.run.failures.clear();
        let failures = Mutex::new(std::mem::take(&mut self.run.failures));
        let room = Mutex::new(std::mem::take(&mut self.order));
        let base = self.block.base();
        let snapshot = &*self;
        let entities = Lookup {
            indices: snapshot.indices(),
            handles: snapshot.handles(),
            entity_of: snapshot.entity_of(),
            order: OnceLock::new(),
            room,
        };
        let run = Run { runner, step, extra, snapshot, base, entities };
        let work = |range: u32, lane: &mut Lane| {
            let start = range as usize * range_rows;
            let rows = start..(start + range_rows).min(rows);
            if let Err(error) = run.range(rows.clone(), lane) {
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(RangeFailure { rows, error });
            }
        };
        if ranges == 1 {
            scope.with_lane(|lane| work(0, lane));
        } else if let Err(panic) = scope.run(&work, ranges as u32, ranges.min(scope.lanes()).saturating_sub(1)) {
            // What a job panics with is caught below; this is another failure, of ours.
            panic.resume();
        }
        let Lookup { order, room, .. } = run.entities;
        let order = order.into_inner().unwrap_or_else(|| room.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        failures.sort_by_key(|failure| failure.rows.start);
        self.order = order;
        if atomic {
            failures.iter().for_each(|failure| self.forget(failure.rows.clone()));
        }
        self.run.failures = failures;
        &self.run
    }
}

/// Columns of a call that fit on the stack.
const COLUMNS: usize = 64;

/// What all ranges of a run share.
struct Run<'a> {
    runner: &'a dyn JobRunner,
    step: Step,
    extra: Option<Extra<'a>>,
    snapshot: &'a JobSnapshot,
    /// The block's first byte, to write.
    base: *mut u8,
    entities: Lookup<'a>,
}

// SAFETY: what keeps it from being so is an address. `range` alone uses it, whose calls have different rows, and the
// snapshot is borrowed exclusively for as long as this lives.
unsafe impl Sync for Run<'_> {}

impl Run<'_> {
    fn lent(&self, column: usize, rows: &Range<usize>) -> Lent {
        let (at, scalar) = self.snapshot.block.column_at(column, rows.start);
        lent(self.base.wrapping_add(at), rows.len(), scalar)
    }

    fn lent_bits(&self, bitset: usize, rows: &Range<usize>) -> Lent {
        let at = self.snapshot.block.bits_at(bitset, rows.start);
        lent(self.base.wrapping_add(at), rows.len().div_ceil(64) * 8, Scalar::U8)
    }

    /// Calls the job on some rows, which start on a multiple of 512. No two calls have a row in common.
    fn range(&self, rows: Range<usize>, lane: &mut Lane) -> Result<(), JobError> {
        let (snapshot, indices) = (self.snapshot, self.lent(JobSnapshot::INDICES, &rows));
        let mut columns = Few::<_, COLUMNS>::new(indices);
        let mut changed = Few::<_, COLUMNS>::new(None);
        for at in snapshot.components() {
            (at.column..at.column + at.fields).for_each(|column| columns.push(self.lent(column, &rows)));
            changed.push(at.bits.map(|bitset| self.lent_bits(bitset, &rows)));
        }
        let despawns = snapshot.shape().despawns;
        // SAFETY: every address is inside of the block that the snapshot owns, for `rows` that it has; columns and bits
        // start on cache lines. The snapshot is borrowed exclusively during the run, no reference to a declared column or
        // to bits exists meanwhile (lookups read the columns of ids, which jobs do not write), and no other call has these
        // rows: ranges start on multiples of 512, which are whole cache lines of every column and bitset. Lengths follow
        // the shape, from which the snapshot was made.
        let leased = unsafe {
            JobCall::lease(JobCallParts {
                memory: None,
                patches: None,
                shape: snapshot.shape(),
                rows: rows.len() as u32,
                eids: indices,
                entities: &self.entities,
                columns: columns.as_slice(),
                changed: changed.as_slice(),
                despawn: despawns.then(|| self.lent_bits(snapshot.despawn_bits(), &rows)),
                resources: &[],
                dt: self.step.dt,
                time: self.step.time,
                extra: self.extra,
            })
        };
        catch_unwind(AssertUnwindSafe(|| self.runner.run(lane, &leased))).unwrap_or_else(|payload| {
            let message = message(&*payload);
            // A payload may panic when it is dropped; what it throws then is leaked.
            catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(std::mem::forget);
            Err(JobError::Panicked(message))
        })
    }
}

fn lent(ptr: *mut u8, len: usize, scalar: Scalar) -> Lent {
    Lent { ptr: NonNull::new(ptr).expect("a snapshot with rows has memory"), len: len as u32, scalar }
}

/// The text of a panic, if it had one.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without text").to_owned()
}

/// Gives the handles of rows by their index. Rows are sorted by index when the first is asked for; most worlds have them
/// in that order anyway.
struct Lookup<'a> {
    indices: &'a [u32],
    handles: &'a [u64],
    entity_of: fn(u64) -> Entity,
    /// Rows by index; empty if they are in that order.
    order: OnceLock<Vec<u32>>,
    /// Room for `order`, from the last run.
    room: Mutex<Vec<u32>>,
}

impl EntityLookup for Lookup<'_> {
    /// An index that no row has gives the first handle it could have had.
    fn entity(&self, index: u32) -> Entity {
        let indices = self.indices;
        let order = self.order.get_or_init(|| {
            let mut order = std::mem::take(&mut *self.room.lock().unwrap_or_else(PoisonError::into_inner));
            order.clear();
            if !indices.is_sorted() {
                order.extend(0..indices.len() as u32);
                order.sort_unstable_by_key(|row| indices[*row as usize]);
            }
            order
        });
        let row = if order.is_empty() {
            indices.binary_search(&index).ok()
        } else {
            let at = order.binary_search_by_key(&index, |row| indices[*row as usize]).ok();
            at.map(|at| order[at] as usize)
        };
        row.map_or_else(|| fold(index, 0), |row| (self.entity_of)(self.handles[row]))
    }
}

/// A list that lives on the stack while it is short.
struct Few<T: Copy, const N: usize> {
    few: [T; N],
    len: usize,
    many: Vec<T>,
}

impl<T: Copy, const N: usize> Few<T, N> {
    fn new(filler: T) -> Few<T, N> {
        Few { few: [filler; N], len: 0, many: Vec::new() }
    }
    fn push(&mut self, value: T) {
        if self.len < N {
            self.few[self.len] = value;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(value);
        }
        self.len += 1;
    }
    fn as_slice(&self) -> &[T] {
        if self.many.is_empty() { &self.few[..self.len] } else { &self.many }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_found_in_any_order_of_indices() {
        for indices in [[2, 5, 70_000, 70_001], [70_001, 2, 70_000, 5]] {
            let handles = indices.map(|index| u64::from(index) << 32 | u64::from(index));
            let lookup = Lookup {
                indices: &indices,
                handles: &handles,
                entity_of: |handle| fold(handle as u32, (handle >> 32) as u32),
                order: OnceLock::new(),
                room: Mutex::default(),
            };
            for index in indices {
                assert_eq!(lookup.entity(index), Entity::new(index, index + 1));
            }
            assert_eq!(lookup.entity(4_464), Entity::new(4_464, 1), "70 000 is not 4 464, its remainder by 65 536");
        }
    }

    #[test]
    fn short_lists_and_long_ones_read_the_same() {
        for len in [0, 1, 3, 4, 9] {
            let mut list = Few::<usize, 3>::new(0);
            (0..len).for_each(|value| list.push(value));
            assert_eq!(list.as_slice(), (0..len).collect::<Vec<_>>());
        }
    }
}
