//! Runs a job on a snapshot: the lease on its columns is made here, and nowhere else.
//!
//! Rows are cut into ranges whose first row is a multiple of 512, so no two lanes share a cache line of a column or a
//! bitset, let alone a byte of marks. A snapshot of few rows is one range and runs where it is. A job that takes parts is
//! given ranges of a chunk's size, all in one call; for one that takes a whole, all rows are one range: a snapshot is
//! contiguous anyway.
//!
//! # Rules
//! - A range runs once, on one lane. What panics fails its range, as what throws does.
//! - A range that failed keeps the rows that it marked, unless the run is atomic: then the world sees nothing of it. Patches
//!   of a call that failed never count.
//! - A job that writes columns beside the rows is called for one range after the other.
//! - Values of opaque components are looked up by entity in what the snapshot copied, so all shapes of calls have them.

use std::{
    any::Any,
    mem,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{self, NonNull},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use peristyle_jobs::{
    EntityLookup, Extra, JobCall, JobCallParts, JobError, JobRunner, JobShape, Lane, Lent, PatchSink, Scope,
    ValueLookup,
};
use peristyle_layout::{
    Entity, PatchBuffer, Scalar,
    chunk::{CHUNK_ROWS, RANGE_ROWS},
};

use serde_json::Value;

use crate::{columns::JobColumns, snapshot::JobSnapshot, source::fold, values::Values};

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

/// In which shape a job gets its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum CallShape {
    /// It is called for ranges of rows, on all lanes at once; for one after the other if it writes columns beside them.
    #[default]
    RowWise,
    /// It is called once for all rows, in parts of at most 16 384.
    Parts,
    /// It is called once for all rows, as one part.
    Whole,
}

/// How the calls of a run are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// In which shape the job gets its rows.
    pub shape: CallShape,
    /// Whether nothing of a call that fails is committed; also columns beside the rows are as they were then. Otherwise
    /// the rows that it had marked are committed.
    pub atomic: bool,
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

/// What runs need, kept for its room and empty between them.
#[derive(Default)]
pub(crate) struct Room {
    resources: Vec<Lent>,
    columns: Vec<Lent>,
    changed: Vec<Option<Lent>>,
    calls: Vec<JobCall<'static>>,
    /// What an atomic call would overwrite of columns beside the rows.
    saved: Vec<u8>,
}

// SAFETY: the vectors of addresses are empty but during a run, which one thread is in.
unsafe impl Send for Room {}
// SAFETY: as above.
unsafe impl Sync for Room {}

impl JobSnapshot {
    /// Runs `runner` on all rows, on the lanes of the scope, and waits for it.
    ///
    /// # Panics
    /// Inside of [`Scope::with_lane`].
    pub fn run(
        &mut self,
        runner: &dyn JobRunner,
        scope: &Scope<'_, '_>,
        step: Step,
        extra: Option<Extra<'_>>,
        manner: Manner,
    ) -> &RunReport {
        let rows = self.rows();
        let range_rows = match manner.shape {
            CallShape::Parts => CHUNK_ROWS,
            CallShape::Whole => rows.next_multiple_of(RANGE_ROWS).max(RANGE_ROWS),
            CallShape::RowWise if rows < SPLIT_ROWS => rows.next_multiple_of(RANGE_ROWS).max(RANGE_ROWS),
            CallShape::RowWise => {
                let even = rows.div_ceil(scope.lanes() * RANGES_PER_LANE);
                even.next_multiple_of(RANGE_ROWS).min(CHUNK_ROWS)
            }
        };
        let (is_parts, ranges) = (manner.shape == CallShape::Parts, rows.div_ceil(range_rows));
        let calls = if is_parts { ranges.min(1) } else { ranges };
        self.run.ranges = calls;
        self.run.failures.clear();
        let mut room = mem::take(&mut self.room);
        let mut given = mem::take(&mut self.given);
        given.iter_mut().for_each(|records| records.get_mut().unwrap_or_else(PoisonError::into_inner).clear());
        if self.shape().patches_anything() && given.len() < calls {
            given.resize_with(calls, Mutex::default);
        }
        let failures = Mutex::new(mem::take(&mut self.run.failures));
        let order = Mutex::new(mem::take(&mut self.order));
        let base = self.block.base();
        let snapshot = &*self;
        let entities = Lookup {
            indices: snapshot.indices(),
            handles: snapshot.handles(),
            entity_of: snapshot.entity_of(),
            values: &snapshot.values,
            order: OnceLock::new(),
            room: order,
        };
        let refused = unshown(self.shape(), runner).map(|component| {
            let runner = runner.name();
            JobError::Load(format!("`{runner}` cannot be shown component `{component}`, which has no columns"))
        });
        let run = Run { runner, refused, step, extra, snapshot, base, entities, given: &given };
        let rows_of = |range: usize| range * range_rows..((range + 1) * range_rows).min(rows);
        let settle = |rows: Range<usize>, result: Result<(), JobError>| {
            if let Err(error) = result {
                lock(&failures).push(RangeFailure { rows, error });
            }
        };
        let columns = snapshot.columns();
        let Room { resources, columns: lent_columns, changed, calls: lent_calls, saved } = &mut room;
        columns.locked(resources, &mut |resources| {
            if ranges > 1 && !is_parts && !columns.are_written() {
                let resources = Addresses(resources);
                let work = |range: u32, lane: &mut Lane| {
                    let rows = rows_of(range as usize);
                    settle(rows.clone(), run.range(range as usize, rows, resources.get(), lane));
                };
                let helpers = ranges.min(scope.lanes()).saturating_sub(1);
                if let Err(panic) = scope.run(&work, ranges as u32, helpers) {
                    // What a job panics with is caught below; this is another failure, of ours.
                    panic.resume();
                }
                return;
            }
            scope.with_lane(|lane| {
                for call in 0..calls {
                    let rows = if is_parts { 0..rows } else { rows_of(call) };
                    if manner.atomic {
                        save(columns, resources, saved);
                    }
                    let result = if is_parts {
                        let room = (&mut *lent_columns, &mut *changed, &mut *lent_calls);
                        run.parts((0..ranges).map(rows_of), resources, room, lane)
                    } else {
                        run.range(call, rows.clone(), resources, lane)
                    };
                    if manner.atomic && result.is_err() {
                        restore(columns, resources, saved);
                    }
                    settle(rows, result);
                }
            });
        });
        let Lookup { order, room: unused, .. } = run.entities;
        let order = order.into_inner().unwrap_or_else(|| unused.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        failures.sort_by_key(|failure| failure.rows.start);
        (self.order, self.room, self.given) = (order, room, given);
        if manner.atomic {
            failures.iter().for_each(|failure| self.forget(failure.rows.clone()));
        }
        self.run.failures = failures;
        &self.run
    }
}

/// Addresses that all lanes may know: what is done with them each call answers for.
#[derive(Clone, Copy)]
struct Addresses<'a>(&'a [Lent]);

// SAFETY: they are only addresses. Lanes get them to read: a job that writes such columns is called on one lane.
unsafe impl Sync for Addresses<'_> {}

impl<'a> Addresses<'a> {
    fn get(&self) -> &'a [Lent] {
        self.0
    }
}

/// Keeps what a call may overwrite of columns that are locked.
fn save(columns: &JobColumns, resources: &[Lent], saved: &mut Vec<u8>) {
    saved.clear();
    for lent in columns.written(resources) {
        // SAFETY: the columns are locked, so they are there, and nobody writes them: no call runs.
        saved.extend_from_slice(unsafe { std::slice::from_raw_parts(lent.ptr.as_ptr(), lent.bytes()) });
    }
}

/// Puts back what was kept.
fn restore(columns: &JobColumns, resources: &[Lent], saved: &[u8]) {
    let mut rest = saved;
    for lent in columns.written(resources) {
        let (first, others) = rest.split_at(lent.bytes());
        // SAFETY: as in `save`; nobody reads them either.
        unsafe { ptr::copy_nonoverlapping(first.as_ptr(), lent.ptr.as_ptr(), first.len()) };
        rest = others;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Columns of a call that fit on the stack.
const COLUMNS: usize = 64;

/// What all ranges of a run share.
struct Run<'a> {
    runner: &'a dyn JobRunner,
    /// Why it cannot be called.
    refused: Option<JobError>,
    step: Step,
    extra: Option<Extra<'a>>,
    snapshot: &'a JobSnapshot,
    /// The block's first byte, to write.
    base: *mut u8,
    entities: Lookup<'a>,
    /// Where the patches of each call go, if it may give any.
    given: &'a [Mutex<PatchBuffer>],
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

    /// Appends what is lent of some rows.
    fn lend(
        &self,
        rows: &Range<usize>,
        mut column: impl FnMut(Lent),
        mut changed: impl FnMut(Option<Lent>),
    ) -> (Lent, Option<Lent>) {
        let snapshot = self.snapshot;
        for at in snapshot.components() {
            (at.column..at.column + at.fields).for_each(|at| column(self.lent(at, rows)));
            changed(at.bits.map(|bitset| self.lent_bits(bitset, rows)));
        }
        let despawn = snapshot.shape().despawns.then(|| self.lent_bits(snapshot.despawn_bits(), rows));
        (self.lent(JobSnapshot::INDICES, rows), despawn)
    }

    /// Leases some rows, which start on a multiple of 512, to a call.
    ///
    /// # Safety
    /// No other call has these rows while the result lives, and `lent` is what [`Run::lend`] gave for them. `resources` are
    /// locked, and if one of them is written, no other call has them but parts of the same.
    unsafe fn lease<'c>(
        &'c self,
        rows: usize,
        (eids, despawn): (Lent, Option<Lent>),
        columns: &'c [Lent],
        changed: &'c [Option<Lent>],
        resources: &'c [Lent],
        patches: Option<&'c PatchSink>,
    ) -> JobCall<'c> {
        // SAFETY: every address is inside of the block that the snapshot owns, for rows that it has; columns and bits
        // start on cache lines. The snapshot is borrowed exclusively during the run, no reference to a declared column or
        // to bits exists meanwhile (lookups read the columns of ids, which jobs do not write), and no other call has these
        // rows: ranges start on multiples of 512, which are whole cache lines of every column and bitset. Lengths follow
        // the shape, from which the snapshot was made. The rest is the caller's duty.
        unsafe {
            JobCall::lease(JobCallParts {
                memory: None,
                patches,
                shape: self.snapshot.shape(),
                rows: rows as u32,
                eids,
                entities: &self.entities,
                values: (!self.snapshot.values.is_empty()).then_some(&self.entities as _),
                columns,
                changed,
                despawn,
                resources,
                dt: self.step.dt,
                time: self.step.time,
                extra: self.extra,
            })
        }
    }

    /// Runs call number `call` with a sink for its patches, which are kept if it succeeds. A job that cannot be called fails.
    fn with_patches(
        &self,
        call: usize,
        run: impl FnOnce(Option<&PatchSink>) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        if !self.snapshot.shape().patches_anything() {
            return run(None);
        }
        let sink = PatchSink::new(mem::take(&mut *lock(&self.given[call])));
        let result = run(Some(&sink));
        let mut records = sink.into_records();
        if result.is_err() {
            records.clear();
        }
        *lock(&self.given[call]) = records;
        result
    }

    /// Calls the job on some rows, which start on a multiple of 512. No two calls have a row in common.
    fn range(&self, call: usize, rows: Range<usize>, resources: &[Lent], lane: &mut Lane) -> Result<(), JobError> {
        let mut columns = Few::<_, COLUMNS>::new(self.lent(JobSnapshot::INDICES, &rows));
        let mut changed = Few::<_, COLUMNS>::new(None);
        let lent = self.lend(&rows, |column| columns.push(column), |bits| changed.push(bits));
        self.with_patches(call, |patches| {
            // SAFETY: `run` gives each range of rows out once, and locked the resources; it calls one range after the other
            // if they are written.
            let leased =
                unsafe { self.lease(rows.len(), lent, columns.as_slice(), changed.as_slice(), resources, patches) };
            caught(|| self.runner.run(lane, &leased))
        })
    }

    /// Calls the job once, on all rows.
    fn parts(
        &self,
        parts: impl Iterator<Item = Range<usize>> + Clone,
        resources: &[Lent],
        (columns, changed, calls): (&mut Vec<Lent>, &mut Vec<Option<Lent>>, &mut Vec<JobCall<'static>>),
        lane: &mut Lane,
    ) -> Result<(), JobError> {
        for rows in parts.clone() {
            self.lend(&rows, |column| columns.push(column), |bits| changed.push(bits));
        }
        let result = self.with_patches(0, |patches| {
            let components = self.snapshot.components();
            let (fields, bitsets) = (components.iter().map(|at| at.fields).sum::<usize>(), components.len());
            let mut leased = recycled(mem::take(calls));
            for (part, rows) in parts.enumerate() {
                let lent = self.lend(&rows, |_| (), |_| ());
                let columns = &columns[part * fields..][..fields];
                let changed = &changed[part * bitsets..][..bitsets];
                // SAFETY: parts are different rows, and there is no other call.
                leased.push(unsafe { self.lease(rows.len(), lent, columns, changed, resources, patches) });
            }
            let result = caught(|| self.runner.run_parts(lane, &leased));
            *calls = recycled(leased);
            result
        });
        columns.clear();
        changed.clear();
        result
    }
}

/// The storage of an emptied vector, for calls of another lifetime.
fn recycled<'a>(mut calls: Vec<JobCall<'_>>) -> Vec<JobCall<'a>> {
    calls.clear();
    // Collecting in place keeps the allocation.
    calls.into_iter().map(|_| -> JobCall<'a> { unreachable!("the vector is empty") }).collect()
}

/// A runner that panics fails its call as one whose job throws.
fn caught(run: impl FnOnce() -> Result<(), JobError>) -> Result<(), JobError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let message = message(&*payload);
        // A payload may panic when it is dropped; what it throws then is leaked.
        catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(mem::forget);
        Err(JobError::Panicked(message))
    })
}

pub(crate) fn lent(ptr: *mut u8, len: usize, scalar: Scalar) -> Lent {
    Lent { ptr: NonNull::new(ptr).expect("a snapshot with rows has memory"), len: len as u32, scalar }
}

/// The first component of a shape that a runner cannot be shown: it is opaque, and the runner takes columns only.
pub(crate) fn unshown<'a>(shape: &'a JobShape, runner: &dyn JobRunner) -> Option<&'a str> {
    let opaque = shape.components.iter().find(|component| component.opaque)?;
    (!runner.takes_values()).then_some(&*opaque.name)
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
    values: &'a Values,
    /// Rows by index; empty if they are in that order.
    order: OnceLock<Vec<u32>>,
    /// Room for `order`, from the last run.
    room: Mutex<Vec<u32>>,
}

impl Lookup<'_> {
    /// The row of that index.
    fn row(&self, index: u32) -> Option<usize> {
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
        if order.is_empty() {
            return indices.binary_search(&index).ok();
        }
        let at = order.binary_search_by_key(&index, |row| indices[*row as usize]).ok()?;
        Some(order[at] as usize)
    }
}

impl EntityLookup for Lookup<'_> {
    /// An index that no row has gives the first handle it could have had.
    fn entity(&self, index: u32) -> Entity {
        self.row(index).map_or_else(|| fold(index, 0), |row| (self.entity_of)(self.handles[row]))
    }
}

impl ValueLookup for Lookup<'_> {
    fn value(&self, component: u32, entity: Entity) -> Result<Value, String> {
        let row = self.row(entity.index()).filter(|row| (self.entity_of)(self.handles[*row]) == entity);
        let row = row.ok_or("the entity is not among the rows")?;
        self.values.get(component, row).ok_or("the job did not declare it")?.clone()
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
                values: &Values::default(),
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
